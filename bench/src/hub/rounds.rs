//! What goes there and back: reported properties over MQTT, desired ones until the device has them, direct methods until their
//! answer is at the caller. Changes are on disk before they are answered.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use pollux_client::Rest;
use pollux_client::hub_device::{HubDevice, HubEvent};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use super::pollux::HUB_ONLY;
use crate::report::Report;
use crate::sample::Sample;
use crate::subject::{AT_ONCE, Subject, device_id};
use crate::{Plan, fdatasync};

/// Devices, each of which has one request under way.
const DEVICES: usize = 100;
/// Requests of the service side that are under way.
const CLIENTS: usize = 32;

/// Devices that listen, and the service.
struct World {
    subject: Subject,
    rest: Rest,
    devices: Vec<HubDevice>,
    /// What each device was told of its desired properties: their versions.
    told: Vec<Mutex<mpsc::Receiver<u64>>>,
    /// To make every value another one.
    next: AtomicU64,
}

/// Measures.
pub(super) async fn measure(plan: Plan, report: &mut Report) -> Result<()> {
    let world = World::new().await?;
    let (mut reported, mut desired, mut methods) = (Vec::new(), Vec::new(), Vec::new());
    let mut syncs = Vec::new();
    for _ in 0..plan.repetitions {
        syncs.push(fdatasync::rate(plan.duration / 8).await?);
        let (subject, duration) = (&world.subject, plan.duration);
        reported
            .push(Sample::of(subject, DEVICES, duration, async |client| world.report(client).await).await?);
        desired
            .push(Sample::of(subject, CLIENTS, duration, async |client| world.desire(client).await).await?);
        methods
            .push(Sample::of(subject, CLIENTS, duration, async |client| world.invoke(client).await).await?);
    }
    let syncs = crate::report::median(&syncs);
    let name = format!("reported property over MQTT, durable, {DEVICES} devices × 1");
    let rate = Sample::tell(report, name, "changes/s", &reported);
    report.ratio("durable reported changes per raw fdatasync", rate / syncs);
    let name = format!("desired property over HTTPS until the device has it, {CLIENTS} × 1");
    Sample::tell(report, name, "changes/s", &desired);
    let name = format!("direct method over HTTPS, there and back, {CLIENTS} × 1");
    Sample::tell(report, name, "round trips/s", &methods);
    Ok(())
}

impl World {
    async fn new() -> Result<Self> {
        let subject = Subject::start(HUB_ONLY)?;
        subject.with_devices(DEVICES, AT_ONCE).await?;
        let (mut devices, mut told) = (Vec::new(), Vec::new());
        for (device, events) in subject.connect(DEVICES).await? {
            let (versions, come) = mpsc::channel(1);
            tokio::spawn(live(device.clone(), events, versions));
            told.push(Mutex::new(come));
            devices.push(device);
        }
        let listen = devices.iter().map(async |device| {
            device.subscribe_methods().await?;
            device.subscribe_desired().await
        });
        try_join_all(listen).await?;
        Ok(Self { rest: subject.hub()?, subject, devices, told, next: AtomicU64::new(0) })
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn report(&self, device: usize) -> Result<()> {
        self.devices[device].report(&json!({ "value": self.next() })).await?;
        Ok(())
    }

    async fn desire(&self, device: usize) -> Result<()> {
        let patch = json!({ "properties": { "desired": { "value": self.next() } } });
        let answer = self.rest.patch(&format!("/twins/{}", device_id(device))).json(patch).send().await?;
        let version = answer.body["properties"]["desired"]["$version"].as_u64();
        let told = self.told[device].lock().await.recv().await;
        if told.is_none() || told != version {
            bail!("the device was told of version {told:?}, the service of {version:?}");
        }
        Ok(())
    }

    async fn invoke(&self, device: usize) -> Result<()> {
        let value = self.next();
        let call = json!({ "methodName": "echo", "payload": value, "responseTimeoutInSeconds": 30 });
        let answer = self.rest.post(&format!("/twins/{}/methods", device_id(device))).json(call).send();
        let answer = answer.await.context("a method was not answered")?;
        if answer.body["payload"] != value {
            bail!("the device answered {} to {value}", answer.body);
        }
        Ok(())
    }
}

/// Answers methods, and passes on the versions of desired properties.
async fn live(device: HubDevice, mut events: mpsc::Receiver<HubEvent>, versions: mpsc::Sender<u64>) {
    while let Some(event) = events.recv().await {
        let done = match event {
            HubEvent::Method { request_id, payload, .. } => {
                device.respond(&request_id, 200, &payload).await.is_ok()
            }
            HubEvent::Desired { version, .. } => versions.send(version.unwrap_or_default()).await.is_ok(),
            HubEvent::Message { .. } => true,
        };
        if !done {
            return;
        }
    }
}
