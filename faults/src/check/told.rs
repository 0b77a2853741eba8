//! What the services answer and what devices know: registrations, devices and digital twins belong together, twins show the
//! last message, devices know their desired properties, nobody is connected who should not be.

use std::collections::{BTreeMap, BTreeSet};

use pollux_client::Rest;
use pollux_client::rest::Paging;
use serde_json::Value;

use super::{Case, Subject, finally};
use crate::ledger::Life;
use crate::load::{GROUP, device::number_of};
use crate::report::none;

/// More rows than there are.
const ROWS: usize = 1_000_000;
/// The port of MQTT, as /proc writes it.
const MQTT: &str = ":22B3";
/// An established connection, as /proc writes it.
const ESTABLISHED: &str = "01";

pub(super) async fn all(subject: Subject<'_>) -> Vec<Case> {
    let ledger = &subject.load.ledger;
    let twins_back = none("steps back", &subject.watch.take_twins_wrong()).map(|()| String::new());
    vec![
        (
            "no answer contradicts what was acknowledged",
            none("answers", &ledger.take_wrong()).map(|()| String::new()),
        ),
        ("no device is connected twice", finally(async || sockets(subject)).await),
        ("each node knows who is connected", finally(async || connected(subject).await).await),
        (
            "devices, registrations and digital twins are those that were acknowledged",
            finally(async || registry(subject).await).await,
        ),
        (
            "each digital twin shows the last acknowledged message",
            finally(async || twins(subject).await).await,
        ),
        ("no value and no time of a digital twin went back", twins_back),
        (
            "the hub has each acknowledged change of desired properties, and its device knows it",
            finally(async || desired(subject).await).await,
        ),
    ]
}

/// Connections that the nodes' kernels have, next to those that devices have.
fn sockets(subject: Subject<'_>) -> Result<String, String> {
    let nodes = subject.processes.len();
    let devices = subject.load.ledger.connected(nodes);
    let mut sockets = Vec::new();
    for process in subject.processes {
        let table =
            std::fs::read_to_string(format!("/proc/{process}/net/tcp")).map_err(|error| error.to_string())?;
        let open = table.lines().filter(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, _, state) = (fields.next(), fields.next(), fields.next());
            local.is_some_and(|local| local.ends_with(MQTT)) && state == Some(ESTABLISHED)
        });
        sockets.push(open.count());
    }
    if sockets == devices {
        return Ok(format!("{devices:?} on the nodes"));
    }
    Err(format!("the nodes have {sockets:?} connections, the devices {devices:?}"))
}

/// What the nodes say of connections on all of them.
async fn connected(subject: Subject<'_>) -> Result<String, String> {
    let ledger = &subject.load.ledger;
    let expected: usize = ledger.connected(subject.processes.len()).iter().sum();
    for (index, target) in subject.load.targets.all.iter().enumerate() {
        let answer = target.hub.get("/statistics/service").send().await.map_err(|error| error.to_string())?;
        let count = answer.body["connectedDeviceCount"].as_u64().unwrap_or(0);
        if count != expected as u64 {
            return Err(format!("node-{} says that {count} of {expected} devices are connected", index + 1));
        }
    }
    let rows = by_id(devices(subject).await?, "deviceId");
    let mut wrong = Vec::new();
    for device in &ledger.devices {
        let is = device.state.lock().connected.is_some();
        let said = rows.get(&device.id).map(|row| row["connectionState"] == "Connected");
        if said.unwrap_or(false) != is {
            wrong.push(format!("{} is connected: {is}, the hub says {said:?}", device.id));
        }
    }
    none("devices", &wrong).map(|()| String::new())
}

/// Ids that are twice in a list; and all of them.
fn ids(rows: &[Value], name: &str) -> Result<BTreeSet<String>, String> {
    let (mut ids, mut twice) = (BTreeSet::new(), Vec::new());
    for row in rows {
        let id = row[name].as_str().unwrap_or_default().to_owned();
        if !ids.insert(id.clone()) {
            twice.push(id);
        }
    }
    none("are there twice", &twice)?;
    Ok(ids)
}

async fn rows(service: &Rest, paging: Paging) -> Result<Vec<Value>, String> {
    service.pages(paging).page_size(1000).collect(ROWS).await.map_err(|error| error.to_string())
}

async fn devices(subject: Subject<'_>) -> Result<Vec<Value>, String> {
    let query =
        Paging::Header { path: "/devices/query".to_owned(), query: "SELECT * FROM devices".to_owned() };
    rows(&subject.load.targets.next().hub, query).await
}

async fn digital_twins(subject: Subject<'_>) -> Result<Vec<Value>, String> {
    let query = Paging::Token { path: "/query".to_owned(), query: "SELECT * FROM DIGITALTWINS".to_owned() };
    rows(&subject.load.targets.next().twins, query).await
}

async fn registry(subject: Subject<'_>) -> Result<String, String> {
    let ledger = &subject.load.ledger;
    let mut registered: BTreeSet<String> = ledger.fresh.lock().clone();
    registered.extend(ledger.devices.iter().map(|device| device.id.clone()));
    let gone = ledger.devices.iter().filter(|device| device.state.lock().life == Life::Deleted);
    let gone: BTreeSet<String> = gone.map(|device| device.id.clone()).collect();
    let there: BTreeSet<String> = registered.difference(&gone).cloned().collect();
    differ("devices", &ids(&devices(subject).await?, "deviceId")?, &there)?;
    differ("digital twins", &ids(&digital_twins(subject).await?, "$dtId")?, &there)?;
    let query = Paging::Header {
        path: format!("/registrations/{GROUP}/query"),
        query: "SELECT * FROM registrations".to_owned(),
    };
    let records = rows(&subject.load.targets.next().dps, query).await?;
    differ("registrations", &ids(&records, "registrationId")?, &registered)?;
    let unassigned = records.iter().filter(|record| record["status"] != "assigned");
    none(
        "registrations are not assigned",
        &unassigned.map(|record| record["registrationId"].to_string()).collect::<Vec<_>>(),
    )?;
    Ok(format!("{} devices, {} deleted", there.len(), gone.len()))
}

fn differ(what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>) -> Result<(), String> {
    none(&format!("{what} are missing"), &expected.difference(found).cloned().collect::<Vec<_>>())?;
    none(
        &format!("{what} are there and should not be"),
        &found.difference(expected).cloned().collect::<Vec<_>>(),
    )
}

fn by_id(rows: Vec<Value>, name: &str) -> BTreeMap<String, Value> {
    rows.into_iter().map(|row| (row[name].as_str().unwrap_or_default().to_owned(), row)).collect()
}

async fn twins(subject: Subject<'_>) -> Result<String, String> {
    let twins = by_id(digital_twins(subject).await?, "$dtId");
    let mut wrong = Vec::new();
    for device in &subject.load.ledger.devices {
        let state = device.state.lock();
        let shown = twins.get(&device.id).and_then(|twin| twin["Temperature"].as_f64());
        let said = state.telemetry.acked;
        if state.life == Life::Alive && shown != Some(said as f64) {
            wrong.push(format!("{} said {said}, its twin shows {shown:?}", device.id));
        }
    }
    none("twins", &wrong).map(|()| String::new())
}

async fn desired(subject: Subject<'_>) -> Result<String, String> {
    let twins = by_id(devices(subject).await?, "deviceId");
    let mut wrong = Vec::new();
    for device in &subject.load.ledger.devices {
        let state = device.state.lock();
        if state.life != Life::Alive {
            continue;
        }
        let desired = twins.get(&device.id).map_or(&Value::Null, |twin| &twin["properties"]["desired"]);
        let (version, number) = (desired["$version"].as_u64().unwrap_or(0), number_of(desired));
        let lost = number < state.desired_number && !state.desired.is_given_up(number);
        if lost || number > state.desired.sent || version < state.desired_version {
            let (acked, sent) = (state.desired_number, state.desired.sent);
            wrong.push(format!(
                "the hub has {number} for {}, acknowledged was {acked}, sent {sent}",
                device.id
            ));
        } else if state.told != Some((version, number)) {
            let (told, node) = (state.told, state.connected.map_or(0, |node| node + 1));
            let since = state.connected_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
            let change = state.desired_through.map_or_else(String::new, |(asked, acked, node)| {
                let (asked, acked) = (asked.elapsed().as_secs_f64(), acked.elapsed().as_secs_f64());
                format!(", changed through node-{} {asked:.2} to {acked:.2} s ago", node + 1)
            });
            wrong.push(format!(
                "{}, connected to node-{node} {since:.2} s ago, knows {told:?}, the hub has {:?}{change}",
                device.id,
                (version, number)
            ));
        }
    }
    none("devices", &wrong).map(|()| String::new())
}
