//! Device-to-cloud messages at QoS 1, 256 bytes, acknowledged when they are safe, until the consumer has had all of them: the load,
//! for Pollux and for other brokers.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use pollux_client::Rest;
use pollux_client::device::{MqttDevice, PublishAck, QoS};
use pollux_client::hub_device::HubDevice;
use pollux_client::properties::Properties;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::sample::quantile;
use crate::subject::{Cpu, Subject};

/// Bytes of a message.
pub(crate) const BODY: usize = 256;
/// Connections and messages in flight on each.
pub(crate) const SHAPES: [(usize, usize); 2] = [(100, 16), (1000, 1)];
/// How long the consumer may take after the last acknowledgement.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Between two looks at what the consumer has had.
const LOOK: Duration = Duration::from_millis(20);

/// What one repetition gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) acknowledged_per_second: f64,
    pub(crate) delivered_per_second: f64,
    pub(crate) count: f64,
    pub(crate) cpu: Cpu,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Who sends.
pub(crate) trait Publisher {
    /// Sends a message; gives back the wait for its acknowledgement.
    async fn publish(&self, body: Vec<u8>) -> Result<PublishAck>;
}

impl Publisher for HubDevice {
    async fn publish(&self, body: Vec<u8>) -> Result<PublishAck> {
        Ok(self.send_start(body, &Properties::new()).await?)
    }
}

/// A client of a broker, with its topic.
impl Publisher for (MqttDevice, String) {
    async fn publish(&self, body: Vec<u8>) -> Result<PublishAck> {
        Ok(self.0.publish_start(self.1.as_str(), body, QoS::AtLeastOnce).await?)
    }
}

/// Who takes the messages, and tells how many a consumer has had.
pub(crate) trait Broker {
    /// What it has used so far.
    fn cpu(&self) -> Result<Cpu>;

    /// What its consumer has had so far.
    async fn delivered(&self) -> Result<u64>;
}

/// Pollux where its consumer is the ingest function, which reads every message and leaves those that are no JSON alone.
pub(crate) struct Ingested<'s> {
    pub(crate) subject: &'s Subject,
    pub(crate) admin: &'s [Rest],
}

impl Broker for Ingested<'_> {
    fn cpu(&self) -> Result<Cpu> {
        self.subject.cpu()
    }

    async fn delivered(&self) -> Result<u64> {
        total(self.admin, "pollux_function_events_total", "function=\"ingest\"").await
    }
}

/// Sends for a while, and waits until all is delivered.
pub(crate) async fn repetition(
    broker: &impl Broker,
    devices: &[impl Publisher],
    window: usize,
    duration: Duration,
) -> Result<Sample> {
    let seen = settled(broker).await?;
    let (cpu, start) = (broker.cpu()?, Instant::now());
    let mut acks = send(devices, window, duration).await?;
    let sent = start.elapsed();
    caught_up(broker, seen + acks.len() as u64).await?;
    let (all, cpu) = (start.elapsed(), broker.cpu()? - cpu);
    acks.sort_unstable();
    let count = acks.len() as f64;
    Ok(Sample {
        acknowledged_per_second: count / sent.as_secs_f64(),
        delivered_per_second: count / all.as_secs_f64(),
        count,
        cpu,
        p50_ms: quantile(&acks, 0.5),
        p99_ms: quantile(&acks, 0.99),
    })
}

/// Sends from all devices until the time is over; gives how long each acknowledgement took.
pub(crate) async fn send(
    devices: &[impl Publisher],
    window: usize,
    duration: Duration,
) -> Result<Vec<Duration>> {
    let deadline = Instant::now() + duration;
    let body = [b'x'; BODY];
    let devices = devices.iter().map(async |device| -> Result<Vec<Duration>> {
        let (mut acks, mut flying) = (Vec::new(), FuturesUnordered::new());
        loop {
            while flying.len() < window && Instant::now() < deadline {
                let start = Instant::now();
                let ack = device.publish(body.to_vec()).await?;
                flying.push(async move { ack.await.map(|()| start.elapsed()) });
            }
            match flying.next().await {
                Some(took) => acks.push(took.context("a message was not acknowledged")?),
                None => return Ok(acks),
            }
        }
    });
    Ok(try_join_all(devices).await?.concat())
}

/// Waits until the consumer has had this many.
async fn caught_up(broker: &impl Broker, wanted: u64) -> Result<()> {
    let deadline = Instant::now() + CATCH_UP;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        looks.tick().await;
        if broker.delivered().await? >= wanted {
            return Ok(());
        }
    }
    let had = broker.delivered().await?;
    bail!("the consumer has had {had} of {wanted} messages after {CATCH_UP:?}")
}

/// What the consumer has had, once it has nothing more to read.
async fn settled(broker: &impl Broker) -> Result<u64> {
    let mut looks = interval(LOOK * 5);
    let mut last = None;
    loop {
        looks.tick().await;
        let now = broker.delivered().await?;
        if last.replace(now) == Some(now) {
            return Ok(now);
        }
    }
}

/// A counter of all nodes, of those whose labels contain a text.
pub(crate) async fn total(admin: &[Rest], name: &str, labels: &str) -> Result<u64> {
    let mut total = 0;
    for node in admin {
        let metrics = node.get("/metrics").send().await?;
        let text = metrics.body.as_str().context("the metrics are no text")?;
        let ours = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        };
        let values =
            text.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        total += values.sum::<u64>();
    }
    Ok(total)
}
