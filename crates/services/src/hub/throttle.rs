//! What a hub of one of Azure's tiers may be asked, and how many messages it may have a day (Azure article "IoT Hub quotas and
//! throttling", "Operation throttles", "Traffic shaping"; the daily numbers are those of "Azure IoT Hub pricing").
//!
//! ```text
//!   no sku: nothing binds        sku: an operation takes from its bucket, which holds what is allowed in a minute
//!                                telemetry, bucket empty: waits its turn, 10 s at most, then is refused
//!                                a message of the day too many: refused until midnight, UTC
//! ```
//!
//! Counted in memory: of several live nodes each allows its share of what may be in a minute; what others have had of the day they ask
//! each other. What a node has counted of the day is forgotten with it.

#[cfg(test)]
mod tests;
mod today;

use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::resource::{Properties, Resource, ResourceKind, Sku, SkuName};
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::Hub;
use crate::caller::{Caller, HubAction, Right};
use crate::rates::{Buckets, Rate};

pub(super) use today::Today;

/// The article: throttles "are applied in minute ranges".
const MINUTE: Duration = Duration::from_secs(60);
/// How long a message may wait for its turn before it is refused. Ours: the article says that the queue is bounded, not by what.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a direct method is counted in, in bytes.
const METHOD_METER: usize = 4 * 1024;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An identity is made, read, listed, changed or deleted.
    Identity,
    /// A device or module connects.
    Connection,
    /// A device-to-cloud message.
    Telemetry,
    /// A cloud-to-device message is sent.
    MessageSend,
    /// A device asks for one over HTTPS.
    MessageReceive,
    /// A device begins to upload a file.
    FileUpload,
    /// A direct method, in bytes.
    Method,
    /// A query, each page by itself.
    Query,
    /// A twin is read.
    TwinRead,
    /// A twin is changed.
    TwinUpdate,
    /// A job is made, changed, listed or deleted.
    Job,
    /// What a job does to one device.
    JobDevice,
    /// A configuration is made, changed, listed or deleted.
    Configuration,
}

impl Operation {
    const fn noun(self) -> &'static str {
        match self {
            Self::Identity => "identity registry operations",
            Self::Connection => "new connections",
            Self::Telemetry => "device-to-cloud messages",
            Self::MessageSend => "cloud-to-device messages",
            Self::MessageReceive => "receives of cloud-to-device messages",
            Self::FileUpload => "file uploads",
            Self::Method => "bytes of direct methods",
            Self::Query => "queries",
            Self::TwinRead => "reads of twins",
            Self::TwinUpdate => "updates of twins",
            Self::Job => "job operations",
            Self::JobDevice => "device operations of jobs",
            Self::Configuration => "configuration operations",
        }
    }

    /// How often a minute a hub of this tier may be asked.
    fn a_minute(self, Sku { name, capacity }: Sku) -> u64 {
        let units = u64::from(capacity);
        let by_tier = |first: u64, second: u64, third: u64| match name {
            SkuName::F1 | SkuName::S1 => first,
            SkuName::S2 => second,
            SkuName::S3 => third,
        };
        match self {
            Self::Identity | Self::MessageSend | Self::FileUpload | Self::Job => {
                by_tier(100, 100, 5_000) * units
            }
            Self::Connection | Self::Telemetry => {
                60 * by_tier((12 * units).max(100), 120 * units, 6_000 * units)
            }
            Self::MessageReceive => by_tier(1_000, 1_000, 50_000) * units,
            Self::Method => 60 * 1024 * by_tier(160, 480, 24 * 1024) * units,
            Self::Query => by_tier(20, 20, 1_000) * units,
            Self::TwinRead => 60 * by_tier(100, (10 * units).max(100), 500 * units),
            Self::TwinUpdate => 60 * by_tier(50, (5 * units).max(50), 250 * units),
            Self::JobDevice => 60 * by_tier(10, units.max(10), 50 * units),
            Self::Configuration => 20 * units,
        }
    }
}

/// Messages a day, and the bytes that one is counted in.
fn quota(Sku { name, capacity }: Sku) -> (u64, usize) {
    let units = u64::from(capacity);
    match name {
        SkuName::F1 => (8_000, 512),
        SkuName::S1 => (400_000 * units, 4096),
        SkuName::S2 => (6_000_000 * units, 4096),
        SkuName::S3 => (300_000_000 * units, 4096),
    }
}

/// What was done lately, of all hubs that have a tier.
#[derive(Debug, Default)]
pub(super) struct Throttles {
    buckets: Mutex<Buckets<(ResourceName, Operation)>>,
}

/// What a hub may have, and has (`quotaMetrics` of the ARM resource).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaMetrics {
    /// Messages of this day, as all live nodes have counted them; 0 where no tier makes them count.
    pub messages: u64,
    /// How many there may be; `None`: any number.
    pub most_messages: Option<u64>,
    /// Devices.
    pub devices: u64,
}

impl Hub {
    /// Counts an operation (a direct method in bytes).
    ///
    /// # Errors
    /// [`ErrorCode::Throttled`] where there are too many.
    pub fn throttle(&self, hub: &Resource, operation: Operation, amount: usize) -> Result<()> {
        let Some(rate) = self.rate(hub, operation) else { return Ok(()) };
        let key = (hub.name.clone(), operation);
        let taken =
            self.throttles.buckets.lock().try_take(key, rate, amount as f64, self.context.clock.now());
        taken.map_err(|wait| throttled(hub, operation, rate, wait))
    }

    /// Counts a direct method with a payload of so many bytes, in steps of 4 KiB.
    pub(super) fn throttle_method(&self, hub: &Resource, payload: usize) -> Result<()> {
        self.throttle(hub, Operation::Method, payload.div_ceil(METHOD_METER).max(1) * METHOD_METER)
    }

    /// How many devices a job may act on now, `most` at most; else how long until it may act on one. They count once they are
    /// [counted](Self::count_job_turns): not each device that a job looks at is there.
    pub(super) fn job_turns(&self, hub: &Resource, most: usize) -> std::result::Result<usize, Duration> {
        let Some(rate) = self.rate(hub, Operation::JobDevice) else { return Ok(most) };
        let (key, now) = ((hub.name.clone(), Operation::JobDevice), self.context.clock.now());
        let (buckets, mut turns) = (self.throttles.buckets.lock(), most);
        loop {
            let wait = buckets.wait(&key, rate, turns as f64, now);
            if wait.is_zero() {
                return Ok(turns);
            }
            if turns <= 1 {
                return Err(wait);
            }
            turns /= 2;
        }
    }

    /// Counts devices that a job acted on. Jobs of a hub go on side by side: what they take beyond what there is they wait for
    /// later.
    pub(super) fn count_job_turns(&self, hub: &Resource, devices: usize) {
        if let Some(rate) = self.rate(hub, Operation::JobDevice).filter(|_| devices > 0) {
            let (key, now) = ((hub.name.clone(), Operation::JobDevice), self.context.clock.now());
            self.throttles.buckets.lock().take(key, rate, devices as f64, now);
        }
    }

    /// Counts messages of a device, and waits until it is their turn: the shaping of the article.
    ///
    /// # Errors
    /// [`ErrorCode::Throttled`] where their turn is not within ten seconds.
    pub(super) async fn shape(&self, hub: &Resource, messages: usize) -> Result<()> {
        let Some(rate) = self.rate(hub, Operation::Telemetry) else { return Ok(()) };
        let (key, now, amount) =
            ((hub.name.clone(), Operation::Telemetry), self.context.clock.now(), messages as f64);
        let wait = {
            let mut buckets = self.throttles.buckets.lock();
            let wait = buckets.wait(&key, rate, amount, now);
            if wait > PATIENCE {
                return Err(throttled(hub, Operation::Telemetry, rate, wait));
            }
            buckets.take(key, rate, amount, now);
            wait
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Counts messages of these sizes towards those of the day.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`] where they are too many; then none is counted.
    pub(super) async fn bill(&self, hub: &Resource, sizes: impl IntoIterator<Item = usize>) -> Result<()> {
        let Some(sku) = sku(hub) else { return Ok(()) };
        let (most, chunk) = quota(sku);
        let more = sizes.into_iter().map(|size| size.div_ceil(chunk).max(1) as u64).sum::<u64>();
        let (today, now) = (&self.connections.today, self.context.clock.now());
        if self.nodes() > 1 && today.asks(&hub.name, now) {
            today.heard(&hub.name, now, self.connections.messages_elsewhere(&hub.name).await);
        }
        today.count(&hub.name, now, more, most).map_err(|count| {
            metrics::counter!("pollux_hub_quota_exceeded_total").increment(1);
            let text = format!(
                "Total number of messages on IotHub '{}' exceeded the allocated quota. Max allowed message count: '{most}', \
                 current message count: '{count}'.",
                hub.name
            );
            Error::new(ErrorCode::QuotaExceeded, text)
        })
    }

    /// What the hub has and may have.
    ///
    /// # Errors
    /// As of reading devices.
    pub async fn quota_metrics(&self, caller: &Caller, hub: &Resource) -> Result<QuotaMetrics> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::StatisticsRead))?;
        let (devices, _) = self.context.store.count_devices(&hub.name).await?;
        let here = self.connections.today.here(&hub.name, self.context.clock.now());
        let messages = here + self.connections.messages_elsewhere(&hub.name).await;
        Ok(QuotaMetrics { messages, most_messages: sku(hub).map(|sku| quota(sku).0), devices })
    }

    /// What this node may allow of it; none where nothing binds.
    fn rate(&self, hub: &Resource, operation: Operation) -> Option<Rate> {
        let a_minute = operation.a_minute(sku(hub)?) as f64 / self.nodes() as f64;
        Some(Rate::of(a_minute.max(1.0), MINUTE))
    }

    fn nodes(&self) -> u64 {
        self.context.cluster.live_nodes()
    }
}

pub(super) fn sku(hub: &Resource) -> Option<Sku> {
    match &hub.properties {
        Properties::Hub(hub) => hub.sku,
        _ => None,
    }
}

fn throttled(hub: &Resource, operation: Operation, rate: Rate, wait: Duration) -> Error {
    metrics::counter!("pollux_hub_throttled_total", "operation" => operation.noun()).increment(1);
    let (name, noun) = (&hub.name, operation.noun());
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    let message =
        format!("'{name}' takes {} {noun} a minute. Wait {seconds} s, then try again.", rate.most.floor());
    Error::new(ErrorCode::Throttled, message).after(seconds)
}
