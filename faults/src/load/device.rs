//! A device: connected to some node, one message in flight, told of its desired properties. When its connection is lost it
//! connects to the next node that is ready, reads its twin, and sends again what was not acknowledged.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pollux_client::Credential;
use pollux_client::device::{ConnectError, PublishAck, RefusalCode};
use pollux_client::hub_device::{HubDevice, HubEvent, HubOptions};
use pollux_client::properties::Properties;
use pollux_model::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Load, Phase};
use crate::ledger::{Device, Life};

/// For a connection with all that belongs to it.
const CONNECT: Duration = Duration::from_secs(10);
/// For a PUBACK.
const PUBACK: Duration = Duration::from_secs(5);
/// In seconds.
const KEEP_ALIVE: u16 = 20;
/// Between two attempts to connect: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// A connection.
struct Link {
    hub: HubDevice,
    events: Receiver<HubEvent>,
    node: usize,
    /// Version and number of the desired properties.
    told: (u64, u64),
}

/// A message on its way.
struct InFlight {
    number: u64,
    ack: PublishAck,
    until: Instant,
}

/// Lives for good.
pub(crate) async fn run(load: Arc<Load>, device: Arc<Device>) {
    // Not all at once, where nothing went wrong.
    sleep(load.part_of(Duration::from_secs(2))).await;
    let mut pause = BACK_OFF.0;
    loop {
        while device.state.lock().life != Life::Alive {
            device.wake.notified().await;
        }
        match connect(&load, &device, load.targets.pick()).await {
            Ok(link) => {
                pause = BACK_OFF.0;
                session(&load, &device, link).await;
            }
            Err(_) => {
                load.ledger.counts.refused.fetch_add(1, Ordering::Relaxed);
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
        sleep(pause / 2 + load.part_of(pause / 2)).await;
    }
}

async fn connect(load: &Load, device: &Device, node: usize) -> Result<Link> {
    let link = timeout(CONNECT, attempt(load, device, node)).await.context("not connected in time")??;
    load.ledger.counts.connects.fetch_add(1, Ordering::Relaxed);
    Ok(link)
}

async fn attempt(load: &Load, device: &Device, node: usize) -> Result<Link> {
    let credential = Credential::Key(device.key.clone());
    let options = HubOptions {
        keep_alive: KEEP_ALIVE,
        ..HubOptions::new(&load.targets.hub_host, &device.id, credential)
    };
    let alive = device.alive();
    let connected = HubDevice::connect(&load.targets.all[node].mqtt, options).await;
    if let Err(ConnectError::Refused(code @ (RefusalCode::NotAuthorized | RefusalCode::UserNameOrPassword))) =
        &connected
        && alive.is_some()
        && device.alive() == alive
    {
        let text =
            format!("node-{} refuses {}, which is registered and enabled: {code}", node + 1, device.id);
        load.ledger.wrong(text);
    }
    let (hub, events) = connected?;
    hub.subscribe_desired().await?;
    let desired = hub.twin().await?["desired"].take();
    let version = desired["$version"].as_u64().context("the twin has no version")?;
    Ok(Link { hub, events, node, told: (version, number_of(&desired)) })
}

/// The number that desired properties or a patch of them carry.
pub(crate) fn number_of(desired: &Value) -> u64 {
    desired["n"].as_u64().unwrap_or(0)
}

/// What a node says that is asked to let a device in. The connection is given up at once.
pub(crate) async fn knock(load: &Load, device: &Device, node: usize) -> Result<(), ConnectError> {
    let options = HubOptions::new(&load.targets.hub_host, &device.id, Credential::Key(device.key.clone()));
    let connected = HubDevice::connect(&load.targets.all[node].mqtt, options);
    match timeout(CONNECT, connected).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Err(ConnectError::Timeout(CONNECT)),
    }
}

async fn session(load: &Arc<Load>, device: &Arc<Device>, mut link: Link) {
    begin(load, device, &link);
    let mut phase = load.phase.subscribe();
    let mut in_flight: Option<InFlight> = None;
    let mut next = Instant::now() + load.part_of(load.pace);
    loop {
        let due = due(device, *phase.borrow_and_update(), next).filter(|_| in_flight.is_none());
        let until = in_flight.as_ref().map(|one| one.until);
        tokio::select! {
            event = link.events.recv() => match event {
                None => break,
                Some(HubEvent::Desired { version, patch }) => {
                    if !told(load, device, &link, version.unwrap_or(0), number_of(&patch)) {
                        link.hub.mqtt().vanish().await;
                        break;
                    }
                }
                Some(_) => {}
            },
            acked = puback(&mut in_flight) => {
                let Ok(number) = acked else { break };
                in_flight = None;
                acknowledged(load, device, link.node, number, *phase.borrow());
            }
            () = at(due) => {
                next = Instant::now() + load.pace;
                match send(load, device, &link.hub).await {
                    Some(sent) => in_flight = Some(sent),
                    None => break,
                }
            }
            () = at(until) => {
                link.hub.mqtt().vanish().await;
                break;
            }
            () = device.wake.notified() => {}
            changed = phase.changed() => {
                if changed.is_err() {
                    break;
                }
                // After a pause not all at once.
                next = Instant::now() + load.part_of(load.pace);
            }
        }
        let move_to = device.state.lock().move_to.take();
        if let Some(node) = move_to
            && let Ok(newer) = connect(load, device, node).await
        {
            in_flight = None;
            supersede(load, std::mem::replace(&mut link, newer));
            begin(load, device, &link);
        }
    }
    end(load, device);
}

fn begin(load: &Load, device: &Device, link: &Link) {
    let mut state = device.state.lock();
    state.connected = Some(link.node);
    state.connected_since = Some(Instant::now());
    state.told = Some(link.told);
    if matches!(state.life, Life::Disabled | Life::Deleted) {
        // It was let in just before.
        state.to_be_cut.get_or_insert(Instant::now());
    }
    drop(state);
    load.ledger.counts.told.fetch_add(1, Ordering::Relaxed);
}

fn end(load: &Load, device: &Device) {
    let mut state = device.state.lock();
    state.connected = None;
    state.told = None;
    state.move_to = None;
    if let Some(since) = state.to_be_cut.take() {
        load.ledger.cut_after(since.elapsed());
    }
    if state.life != Life::Alive
        && let Some((number, _)) = state.pending.take()
    {
        state.telemetry.give_up(number);
    }
}

/// The old connection stays as it is: to end it is the server's.
fn supersede(load: &Arc<Load>, mut old: Link) {
    load.superseded.fetch_add(1, Ordering::Relaxed);
    let load = Arc::clone(load);
    tokio::spawn(async move {
        while old.events.recv().await.is_some() {}
        load.superseded.fetch_sub(1, Ordering::Relaxed);
    });
}

/// When the next message is to be sent.
fn due(device: &Device, phase: Phase, next: Instant) -> Option<Instant> {
    let state = device.state.lock();
    match phase {
        _ if state.pending.is_some() => Some(Instant::now()),
        Phase::Running => Some(next),
        Phase::Pausing(round) => (state.settled < round).then(Instant::now),
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

async fn puback(in_flight: &mut Option<InFlight>) -> Result<u64> {
    match in_flight {
        Some(one) => {
            (&mut one.ack).await?;
            Ok(one.number)
        }
        None => pending().await,
    }
}

/// Sends what is to be sent again, or a new number.
async fn send(load: &Load, device: &Device, hub: &HubDevice) -> Option<InFlight> {
    let (number, time) = {
        let mut state = device.state.lock();
        match state.pending.clone() {
            Some((number, time)) => {
                state.telemetry.repeat(number);
                load.ledger.counts.sent_again.fetch_add(1, Ordering::Relaxed);
                (number, time)
            }
            None => {
                let (number, time) = (state.telemetry.take(), SystemClock.now().to_string());
                state.pending = Some((number, time.clone()));
                (number, time)
            }
        }
    };
    let properties = Properties::json().system("ctime", time);
    let ack = hub.send_start(json!({ "Temperature": number }).to_string(), &properties).await.ok()?;
    Some(InFlight { number, ack, until: Instant::now() + PUBACK })
}

fn acknowledged(load: &Load, device: &Device, node: usize, number: u64, phase: Phase) {
    let mut state = device.state.lock();
    state.telemetry.acknowledge(number);
    state.pending = None;
    if let Phase::Pausing(round) = phase {
        state.settled = round;
    }
    drop(state);
    load.ledger.acknowledged(node);
}

/// Whether what the device is told follows what it knows; else it has to read its twin.
fn told(load: &Load, device: &Device, link: &Link, version: u64, number: u64) -> bool {
    load.ledger.counts.told.fetch_add(1, Ordering::Relaxed);
    let mut state = device.state.lock();
    let known = state.told.map_or(0, |told| told.0);
    if version <= known {
        return true; // it was on its way when the twin was read
    }
    if version == known + 1 {
        state.told = Some((version, number));
        return true;
    }
    drop(state);
    let (id, node) = (&device.id, link.node + 1);
    load.ledger.wrong(format!(
        "{id} on node-{node} knows version {known} of its desired properties and is told {version}"
    ));
    false
}
