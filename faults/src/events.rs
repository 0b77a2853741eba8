//! The event log read back, record by record, while the load goes on: what is stored, how often and in which order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use pollux_amqp::{Message, Value as Amqp};
use pollux_eventlog::{
    EventLog, JetStreamLog, JetStreamOptions, LogError, ReadFrom, ReadLimit, Record, StreamName,
};
use pollux_model::{Clock, SystemClock};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::load::device::number_of;
use crate::numbers::Trace;

/// The namespace that the deployment declares.
const NAMESPACE: &str = "events1";
const BATCH: ReadLimit = ReadLimit { records: 512, bytes: 1 << 20 };
/// Between two reads at the end of a partition.
const IDLE: Duration = Duration::from_millis(250);

/// The event hubs that the deployment declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Telemetry,
    Lifecycle,
    TwinChanges,
}

const HUBS: [(Kind, &str); 3] = [
    (Kind::Telemetry, "deviceevents"),
    (Kind::Lifecycle, "lifecycleevents"),
    (Kind::TwinChanges, "twinchanges"),
];

/// A device's life as the lifecycle events tell it: the generation that lives, and how often one began.
#[derive(Debug, Default, Clone)]
pub(crate) struct Lives {
    pub(crate) generation: Option<String>,
    pub(crate) begun: u64,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) telemetry: HashMap<String, Trace>,
    pub(crate) changes: HashMap<String, Trace>,
    pub(crate) lives: HashMap<String, Lives>,
    /// Records of all event hubs.
    pub(crate) records: u64,
    /// What no load explains.
    wrong: Vec<String>,
}

/// Reads every partition of every event hub.
#[derive(Debug)]
pub(crate) struct Events {
    log: JetStreamLog,
    partitions: Vec<Partition>,
    pub(crate) found: Mutex<Found>,
}

#[derive(Debug)]
struct Partition {
    kind: Kind,
    stream: StreamName,
    number: u32,
    /// The sequence number of the newest record read; -1 before the first.
    last: Mutex<i64>,
}

/// A partition of telemetry and how far it went.
pub(crate) type End = (u32, i64);

impl Events {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = JetStreamLog::connect(url, JetStreamOptions::default(), clock).await?;
        let streams = log.streams().await?;
        let mut partitions = Vec::new();
        for (kind, hub) in HUBS {
            let stream = StreamName::new(&format!("{NAMESPACE}/{hub}"))?;
            let (_, config) = streams
                .iter()
                .find(|(name, _)| *name == stream)
                .with_context(|| format!("no stream {stream}"))?;
            let of = |number| Partition { kind, stream: stream.clone(), number, last: Mutex::new(-1) };
            partitions.extend((0..config.partitions).map(of));
        }
        Ok(Self { log, partitions, found: Mutex::default() })
    }

    /// Reads on for good.
    pub(crate) async fn follow(self: Arc<Self>) {
        let each = self.partitions.iter().map(async |partition| {
            loop {
                match self.read(partition).await {
                    Ok(0) | Err(_) => sleep(IDLE).await,
                    Ok(_) => {}
                }
            }
        });
        futures_util::future::join_all(each).await;
    }

    async fn read(&self, partition: &Partition) -> Result<usize, LogError> {
        let last = *partition.last.lock();
        let from = ReadFrom::Sequence { number: last, inclusive: false };
        let records = self.log.read(&partition.stream, partition.number, &from, BATCH).await?;
        // Only this task reads the partition.
        for record in &records {
            self.found.lock().take(partition, record);
            *partition.last.lock() = record.sequence_number;
        }
        Ok(records.len())
    }

    /// Where each partition of telemetry ends now.
    pub(crate) async fn ends(&self) -> Result<Vec<End>> {
        let mut ends = Vec::new();
        for partition in self.partitions.iter().filter(|one| one.kind == Kind::Telemetry) {
            let info = self.log.partition(&partition.stream, partition.number).await?;
            ends.push((partition.number, info.last_sequence_number));
        }
        Ok(ends)
    }

    /// Waits until everything that is there now has been read.
    pub(crate) async fn catch_up(&self, deadline: Instant) -> Result<()> {
        for partition in &self.partitions {
            let end = loop {
                match self.log.partition(&partition.stream, partition.number).await {
                    Ok(info) => break info.last_sequence_number,
                    Err(error) if Instant::now() > deadline => {
                        bail!("the event log cannot be read back: {error}")
                    }
                    Err(_) => sleep(IDLE).await,
                }
            };
            while *partition.last.lock() < end {
                if Instant::now() > deadline {
                    let (read, name) = (*partition.last.lock(), &partition.stream);
                    bail!("{name}, partition {}: read up to {read} of {end}", partition.number);
                }
                sleep(IDLE).await;
            }
        }
        Ok(())
    }
}

impl Found {
    fn take(&mut self, partition: &Partition, record: &Record) {
        self.records += 1;
        let expected = *partition.last.lock() + 1;
        if record.sequence_number != expected {
            let (stream, number, found) = (&partition.stream, partition.number, record.sequence_number);
            self.wrong
                .push(format!("{stream}, partition {number}: record {found} where {expected} should be"));
        }
        if let Err(error) = self.sort(partition.kind, record) {
            self.wrong.push(format!("{}, record {}: {error:#}", partition.stream, record.sequence_number));
        }
    }

    fn sort(&mut self, kind: Kind, record: &Record) -> Result<()> {
        let message = Message::decode(record.payload.clone())?;
        let device = record.partition_key.as_deref().context("no partition key")?;
        let body =
            || -> Result<Value> { Ok(serde_json::from_slice(&message.body.as_bytes().context("no body")?)?) };
        match kind {
            Kind::Telemetry => {
                let number = body()?["Temperature"].as_u64().context("no Temperature")?;
                self.telemetry.entry(device.to_owned()).or_default().read(number);
            }
            Kind::TwinChanges => {
                let number = number_of(&body()?["properties"]["desired"]);
                if number > 0 {
                    self.changes.entry(device.to_owned()).or_default().read(number);
                }
            }
            Kind::Lifecycle => {
                let text = |value: Option<&Amqp>| value.and_then(Amqp::as_str).map(str::to_owned);
                let operation = text(message.application_properties.get("opType")).context("no opType")?;
                let generation =
                    text(message.message_annotations.get("iothub-connection-auth-generation-id"));
                let generation = generation.context("no generation")?;
                self.lives.entry(device.to_owned()).or_default().read(&operation, generation)?;
            }
        }
        Ok(())
    }

    /// What does not fit by itself, since the last call.
    pub(crate) fn take_wrong(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wrong)
    }
}

impl Lives {
    /// Creates and deletes take turns, each delete of the generation that lives.
    fn read(&mut self, operation: &str, generation: String) -> Result<()> {
        match (operation, self.generation.take()) {
            ("createDeviceIdentity", None) => {
                self.generation = Some(generation);
                self.begun += 1;
            }
            ("deleteDeviceIdentity", Some(before)) if before == generation => {}
            (_, before) => {
                let text = format!("{operation} of generation {generation} after {before:?}");
                self.generation = before;
                bail!(text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Lives;

    #[test]
    fn creates_and_deletes_take_turns() {
        let mut lives = Lives::default();
        let mut read = |operation: &str, generation: &str| lives.read(operation, generation.to_owned());
        read("createDeviceIdentity", "1").unwrap();
        assert!(read("createDeviceIdentity", "1").is_err(), "twice");
        assert!(read("deleteDeviceIdentity", "2").is_err(), "of another");
        read("deleteDeviceIdentity", "1").unwrap();
        assert!(read("deleteDeviceIdentity", "1").is_err(), "twice");
        read("createDeviceIdentity", "2").unwrap();
        assert_eq!((lives.begun, lives.generation.as_deref()), (2, Some("2")));
    }
}
