//! The devices: each registers, connects to the hub it is given, and sends its temperature.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _};
use indicatif::ProgressBar;
use pollux_client::hub_device::{HubDevice, HubOptions};
use pollux_client::properties::Properties;
use pollux_client::provisioning_device::{Assignment, register};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::check::Checks;
use super::progress::Progress;
use super::report::Story;
use super::stage::Stage;
use super::timeline::Timeline;
use super::{patience, wait};

/// Between two messages of a device.
const CADENCE: Duration = Duration::from_millis(500);
/// Messages of each device.
pub(super) const ROUNDS: u32 = 4;
/// Devices that register at the same time: a crowd at a door, not a flood.
const DOOR: usize = 200;

/// A device that is connected to its hub.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: String,
    pub(super) hub: HubDevice,
    pub(super) assignment: Assignment,
    /// The last temperature the hub has acknowledged.
    pub(super) last: f64,
    /// Start to assignment.
    pub(super) registered_in: Duration,
    /// The slowest acknowledgement of its messages.
    pub(super) slowest_ack: Duration,
}

/// The steps' bars.
struct Bars {
    registered: ProgressBar,
    connected: ProgressBar,
    sent: ProgressBar,
}

/// What all devices share.
struct Scene<'a> {
    stage: &'a Stage,
    door: Semaphore,
    bars: Bars,
    patience: Duration,
}

/// Lets all devices live through registration, connection and telemetry, at the same time. What happens to the first
/// goes into the story.
pub(super) async fn live(
    stage: &Stage,
    progress: &Progress,
    checks: &mut Checks,
    story: &mut Story,
) -> Result<Vec<Device>> {
    let count = story.devices as usize;
    let bars = Bars {
        registered: progress.step("registered", count),
        connected: progress.step("connected to the hub", count),
        sent: progress.step("messages acknowledged", count * ROUNDS as usize),
    };
    let scene = Scene { stage, door: Semaphore::new(DOOR), bars, patience: patience(count) };
    let first = first_life(&scene, story);
    let others = stream::iter(1..count).map(|index| life(&scene, index)).buffer_unordered(count.max(1));
    let (first, others) = tokio::join!(first, others.collect::<Vec<_>>());
    let (mut devices, mut reason) = (Vec::with_capacity(count), None);
    for device in std::iter::once(first).chain(others) {
        match device {
            Ok(device) => devices.push(device),
            Err(error) => reason = Some(format!("{error:#}")),
        }
    }
    checks.count_or(
        "every device registered, connected, and had each message acknowledged",
        devices.len(),
        count,
        reason,
    );
    if devices.is_empty() {
        bail!("no device came through");
    }
    story.registrations = devices.iter().map(|device| device.registered_in).collect();
    story.acks = devices.iter().map(|device| device.slowest_ack).collect();
    let initial =
        devices.iter().filter(|device| device.assignment.substatus.as_deref() == Some("initialAssignment"));
    checks.count("every assignment is the device's first", initial.count(), count);
    Ok(devices)
}

fn id(index: usize) -> String {
    format!("thermostat-{:04}", index + 1)
}

fn temperature(index: usize, round: u32) -> f64 {
    // Half of the devices end above 20 degrees, for the queries.
    15.0 + (index % 10) as f64 + f64::from(round) * 0.25
}

async fn life(scene: &Scene<'_>, index: usize) -> Result<Device> {
    let id = id(index);
    let (assignment, registered_in) = registered(scene, &id).await?;
    let hub = connected(scene, &id, &assignment).await?;
    let mut device = Device { id, hub, assignment, last: 0.0, registered_in, slowest_ack: Duration::ZERO };
    let mut ticks = cadence();
    for round in 0..ROUNDS {
        ticks.tick().await;
        send(scene, &mut device, temperature(index, round)).await?;
    }
    Ok(device)
}

/// The first device's life, told hop by hop.
async fn first_life(scene: &Scene<'_>, story: &mut Story) -> Result<Device> {
    let id = id(0);
    let mut timeline = Timeline::new();
    let (assignment, registered_in) = registered(scene, &id).await?;
    let hops: Vec<_> = assignment.hops.iter().map(|hop| (format!("DPS: {}", hop.name), hop.took)).collect();
    timeline.series(&hops);
    story.twin_before = scene.stage.twin(&id).await?;
    let hub = connected(scene, &id, &assignment).await?;
    let timings = hub.mqtt().timings();
    let hops = [("hub: tcp", timings.tcp), ("hub: tls", timings.tls), ("hub: connect", timings.connack)];
    timeline.series(&hops.map(|(name, took)| (name.to_owned(), took)));
    let mut device = Device { id, hub, assignment, last: 0.0, registered_in, slowest_ack: Duration::ZERO };
    let mut ticks = cadence();
    for round in 0..ROUNDS {
        ticks.tick().await;
        let began = Instant::now();
        send(scene, &mut device, temperature(0, round)).await?;
        if round == 0 {
            timeline.hop("hub: first telemetry acknowledged", began);
            let began = Instant::now();
            let wanted = json!(device.last);
            wait::until(scene.patience, async || has(scene.stage, &device.id, &wanted).await.then_some(()))
                .await
                .context("the first temperature never came to the twin")?;
            timeline.hop("twin: first telemetry visible", began);
        }
    }
    story.timeline = Some(timeline);
    Ok(device)
}

async fn has(stage: &Stage, id: &str, temperature: &Value) -> bool {
    let twin = stage.twin(id).await.ok().flatten();
    twin.is_some_and(|twin| twin["Temperature"].as_f64() == temperature.as_f64())
}

async fn registered(scene: &Scene<'_>, id: &str) -> Result<(Assignment, Duration)> {
    let _place = scene.door.acquire().await?;
    let began = Instant::now();
    let registration = scene.stage.registration(id, scene.patience);
    let assignment = register(&scene.stage.provisioning()?, &registration).await;
    let assignment = assignment.with_context(|| format!("{id} cannot register"))?;
    scene.bars.registered.inc(1);
    Ok((assignment, began.elapsed()))
}

async fn connected(scene: &Scene<'_>, id: &str, assignment: &Assignment) -> Result<HubDevice> {
    let host = &assignment.assigned_hub;
    let options = HubOptions::new(host, &assignment.device_id, scene.stage.credential(id));
    let connected = HubDevice::connect(&scene.stage.hub_endpoint(host)?, options).await;
    // The demo sends nothing to devices: who does not want events drops their receiver.
    let (hub, _) = connected.with_context(|| format!("{id} cannot connect to {host}"))?;
    scene.bars.connected.inc(1);
    Ok(hub)
}

async fn send(scene: &Scene<'_>, device: &mut Device, temperature: f64) -> Result<()> {
    let body = json!({ "Temperature": temperature }).to_string();
    let began = Instant::now();
    device.hub.send(body, &Properties::json()).await.with_context(|| format!("{} cannot send", device.id))?;
    device.slowest_ack = device.slowest_ack.max(began.elapsed());
    device.last = temperature;
    scene.bars.sent.inc(1);
    Ok(())
}

fn cadence() -> tokio::time::Interval {
    let mut ticks = interval(CADENCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
