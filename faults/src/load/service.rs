//! What services do to devices: desired properties changed, new devices registered, devices deleted or disabled and
//! brought back. Each goes to a node that is ready; what has no answer is asked again where that does no harm.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pollux_client::Credential;
use pollux_client::provisioning_device::{RegisterError, Registration, register};
use pollux_client::rest::{Response, RestError};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::{Load, MODEL};
use crate::ledger::{Device, Life};

/// Changes of desired properties a second; registrations; deletes and disables.
const DESIRED: f64 = 24.0;
const FRESH: f64 = 1.0;
const LEAVE: f64 = 1.0;
/// Operations of a kind at the same time.
const AT_ONCE: usize = 40;
/// Before something is asked again.
const AGAIN: Duration = Duration::from_millis(300);
/// How long a device stays away at most.
const AWAY: Duration = Duration::from_secs(5);

/// Starts all of it.
pub(crate) fn start(load: &Arc<Load>) {
    tokio::spawn(rate(Arc::clone(load), DESIRED, |load| async move {
        if let Some(device) = claim(&load, |_| true) {
            change_desired(&load, &device).await;
            device.state.lock().desired_busy = false;
        }
    }));
    tokio::spawn(rate(Arc::clone(load), FRESH, |load| async move { register_fresh(&load).await }));
    tokio::spawn(rate(Arc::clone(load), LEAVE, |load| async move {
        if let Some(device) = claim(&load, |device| device.mortal) {
            leave_and_return(&load, &device).await;
            device.state.lock().desired_busy = false;
        }
    }));
}

/// Begins one operation after the other while the load goes on.
async fn rate<F>(load: Arc<Load>, per_second: f64, operation: fn(Arc<Load>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        sleep(Duration::from_secs_f64(1.0 / per_second)).await;
        load.running().await;
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let operation = operation(Arc::clone(&load));
        tokio::spawn(async move {
            operation.await;
            drop(permit);
        });
    }
}

/// A device that nobody else is busy with, by chance.
fn claim(load: &Load, fits: impl Fn(&Device) -> bool) -> Option<Arc<Device>> {
    let devices = &load.ledger.devices;
    for _ in 0..20 {
        let index = usize::try_from(load.below(u64::try_from(devices.len()).ok()?)).ok()?;
        let device = &devices[index];
        let mut state = device.state.lock();
        if state.life == Life::Alive && !state.desired_busy && fits(device) {
            state.desired_busy = true;
            return Some(Arc::clone(device));
        }
    }
    None
}

async fn change_desired(load: &Load, device: &Device) {
    let _under_way = load.begin();
    let number = device.state.lock().desired.take();
    let body = json!({ "properties": { "desired": { "n": number } } });
    let path = format!("/twins/{}", device.id);
    let (asked, node) = (Instant::now(), load.targets.pick());
    let answer = load.targets.all[node].hub.patch(&path).json(body).send().await;
    let mut state = device.state.lock();
    match answer {
        Ok(answer) => {
            state.desired.acknowledge(number);
            load.ledger.counts.desired.fetch_add(1, Ordering::Relaxed);
            let version = answer.body["properties"]["desired"]["$version"].as_u64().unwrap_or(0);
            if version <= state.desired_version {
                let (id, before) = (&device.id, state.desired_version);
                load.ledger.wrong(format!(
                    "{id}: a change of desired properties led from version {before} to {version}"
                ));
            }
            (state.desired_version, state.desired_number) = (version, number);
            state.desired_through = Some((asked, Instant::now(), node));
        }
        Err(error) => {
            state.desired.give_up(number);
            load.ledger.counts.desired_open.fetch_add(1, Ordering::Relaxed);
            unexplained(load, &format!("a change of the desired properties of {}", device.id), &error);
        }
    }
}

async fn register_fresh(load: &Load) {
    let number = load.ledger.counts.registrations.load(Ordering::Relaxed);
    let id = format!("fresh-{number:05}-{:08x}", load.below(1 << 32));
    let _under_way = load.begin();
    registered(load, &id, load.group_key.derive(&id).bytes()).await;
    load.ledger.fresh.lock().insert(id);
}

/// Registers until it is acknowledged.
pub(crate) async fn registered(load: &Load, id: &str, key: Vec<u8>) {
    loop {
        let mut registration = Registration::new(&load.targets.id_scope, id, Credential::Key(key.clone()));
        registration.timeout = Duration::from_secs(20);
        let registration = registration.payload(json!({ "modelId": MODEL }));
        match register(&load.targets.next().mqtt, &registration).await {
            Ok(_) => break,
            // A dependency that is away may make an attempt fail; that a device is not let in is another matter.
            Err(RegisterError::Refused { status: status @ 400..=499, message, .. }) if status != 429 => {
                load.ledger.wrong(format!("the registration of {id} was refused with {status}: {message}"));
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
    load.ledger.counts.registrations.fetch_add(1, Ordering::Relaxed);
}

/// Deletes or disables a device, waits until it is cut off, and brings it back.
async fn leave_and_return(load: &Load, device: &Device) {
    let delete = load.below(2) == 0;
    {
        let _under_way = load.begin();
        device.leaves();
        if delete {
            deleted(load, device).await;
            load.ledger.counts.deletes.fetch_add(1, Ordering::Relaxed);
            gone(device, Life::Deleted);
        } else {
            set_status(load, device, "disabled").await;
            load.ledger.counts.disables.fetch_add(1, Ordering::Relaxed);
            gone(device, Life::Disabled);
        }
    }
    while device.state.lock().connected.is_some() {
        sleep(AGAIN).await;
    }
    sleep(load.part_of(AWAY)).await;
    load.running().await;
    let _under_way = load.begin();
    if delete {
        registered(load, &device.id, device.key.clone()).await;
        let mut state = device.state.lock();
        (state.desired_version, state.desired_number) = (0, 0);
    } else {
        set_status(load, device, "enabled").await;
    }
    device.state.lock().life = Life::Alive;
    device.wake.notify_one();
}

fn gone(device: &Device, life: Life) {
    let mut state = device.state.lock();
    state.life = life;
    if state.connected.is_some() {
        state.to_be_cut = Some(Instant::now());
    }
}

async fn deleted(load: &Load, device: &Device) {
    let path = format!("/devices/{}", device.id);
    let mut asked_before = false;
    loop {
        match load.targets.next().hub.delete(&path).if_match("*").send().await {
            Ok(_) => return,
            Err(error) if asked_before && error.status() == Some(404) => return,
            Err(error) => unexplained(load, &format!("the delete of {}", device.id), &error),
        }
        asked_before = true;
        sleep(AGAIN).await;
    }
}

async fn set_status(load: &Load, device: &Device, status: &str) {
    loop {
        match try_status(load, device, status).await {
            Ok(_) => return,
            Err(error) => unexplained(load, &format!("{} set to {status}", device.id), &error),
        }
        sleep(AGAIN).await;
    }
}

async fn try_status(load: &Load, device: &Device, status: &str) -> Result<Response, RestError> {
    let (hub, path) = (&load.targets.next().hub, format!("/devices/{}", device.id));
    let mut body = hub.get(&path).send().await?.body;
    body["status"] = Value::from(status);
    hub.put(&path).if_match("*").json(body).send().await
}

/// Notes an answer that says the request is wrong. That a node is away, or cannot answer for now, is what faults do.
fn unexplained(load: &Load, what: &str, error: &RestError) {
    if let Some(status @ 400..=499) = error.status()
        && !matches!(status, 408 | 429)
    {
        load.ledger.wrong(format!("{what} was refused with {status}: {error}"));
    }
}
