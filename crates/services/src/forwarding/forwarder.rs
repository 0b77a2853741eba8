//! Sends what waits in one partition of an endpoint's stream, in the order of each device or twin.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};
use pollux_amqp::Message;
use pollux_eventlog::Record;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{EndpointTarget, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, OwnerName, Result};

use super::health::Reports;
use super::storage::Storing;
use super::{Place, cloud_event, event_hub, hub_cloud_event, webhook};
use crate::blobs::Blobs;
use crate::cluster::Fence;
use crate::consume::{self, Consumer, Work};
use crate::context::Context;
use crate::streams::{Stream, owner_of};

/// Devices or twins whose events are under way side by side, for one partition.
const SIDE_BY_SIDE: usize = 64;
/// Events, and bytes of them, that go together: what the smallest tier of Event Hubs takes as one, less its wrapping.
const TOGETHER: usize = 100;
const BYTES: usize = 192 * 1024;
/// The longest pause between two attempts.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Sends what waits in one partition.
pub(super) struct Forwarder {
    context: Arc<Context>,
    place: Place,
    event_hub: event_hub::Sender,
    webhook: webhook::Sender,
    blobs: Arc<Blobs>,
    storing: Storing,
    reports: Arc<Reports>,
}

/// Why events were not accepted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// They will not be accepted however often they are sent.
    Event(String),
    /// They may be accepted another time, but if they are not for long, that is because of what they are.
    Attempt(String),
    /// The endpoint is away, busy (it may say for how long), or does not let us in.
    Endpoint { why: String, pause: Option<Duration> },
}

impl Refusal {
    pub(super) const fn endpoint(why: String) -> Self {
        Self::Endpoint { why, pause: None }
    }
}

#[async_trait]
impl Work for Forwarder {
    async fn work(&self, fence: Option<&Fence>, records: Vec<Record>) -> Result<()> {
        let mut keys = stream::iter(consume::by_device(records))
            .map(|(key, records)| async move {
                for together in together(&records) {
                    self.deliver(&key, together, fence).await?;
                }
                Ok::<_, Error>(())
            })
            .buffer_unordered(SIDE_BY_SIDE);
        while let Some(done) = keys.next().await {
            let () = done?;
        }
        Ok(())
    }

    async fn step(
        &self,
        consumer: &Consumer,
        fence: Option<&Fence>,
        last: Option<i64>,
    ) -> Result<Option<i64>> {
        match self.writes_blobs() {
            true => self.write_blob(consumer, fence, last).await,
            false => consumer.step(fence, last).await,
        }
    }
}

impl Forwarder {
    pub(super) fn new(context: Arc<Context>, place: Place, blobs: Arc<Blobs>, reports: Arc<Reports>) -> Self {
        let (event_hub, webhook) = (event_hub::Sender::default(), webhook::Sender::default());
        Self { context, place, event_hub, webhook, blobs, storing: Storing::default(), reports }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(super) const fn storing(&self) -> &Storing {
        &self.storing
    }

    fn writes_blobs(&self) -> bool {
        let keeper = self.place.keeper(&self.context);
        let target = keeper.as_deref().and_then(|keeper| self.target(keeper));
        matches!(target, Some(EndpointTarget::Storage(_)))
    }

    /// Sends events of one device or twin until they are accepted or put aside.
    async fn deliver(&self, key: &str, mut records: &[Record], fence: Option<&Fence>) -> Result<()> {
        let (mut attempts, mut count) = (0, records.len());
        while !records.is_empty() {
            if self.writes_blobs() {
                let why = "the endpoint became a storage container: what is left goes there";
                return Err(Error::new(ErrorCode::Unavailable, why));
            }
            attempts += 1;
            match self.send(key, &records[..count]).await {
                Ok(sent) => {
                    self.accepted(sent);
                    records = &records[sent..];
                }
                // One of them is to blame: which one, shows when each goes by itself.
                Err(Refusal::Event(_)) if count > 1 => count = 1,
                Err(Refusal::Event(why)) => {
                    self.put_aside(&records[0], attempts, why, fence).await?;
                    records = &records[1..];
                }
                Err(Refusal::Attempt(why)) if attempts >= self.context.limits.webhook_attempts => {
                    self.put_aside(&records[0], attempts, why, fence).await?;
                    records = &records[1..];
                }
                Err(Refusal::Attempt(why)) => {
                    self.fails(why, attempts, None).await;
                    continue;
                }
                Err(Refusal::Endpoint { why, pause }) => {
                    self.fails(why, attempts, pause).await;
                    continue;
                }
            }
            (attempts, count) = (0, count.min(records.len()));
        }
        Ok(())
    }

    /// Something was accepted.
    pub(super) fn accepted(&self, count: usize) {
        count_events("delivered", count);
        self.reports.succeeded(&self.place, self.context.clock.now());
    }

    /// Nothing is accepted for now: rests as long as the endpoint asks for, and longer the more often it happens.
    pub(super) async fn fails(&self, why: String, attempts: u32, wanted: Option<Duration>) {
        let pause = wanted.unwrap_or_default().clamp(pause(attempts), LONGEST_PAUSE);
        self.reports.failed(&self.place, &why, self.context.clock.now());
        let Place { owner, endpoint, partition } = &self.place;
        tracing::warn!(%owner, endpoint, partition, why, ?pause, "events wait for an endpoint elsewhere");
        metrics::counter!("pollux_routing_attempts_failed_total").increment(1);
        tokio::time::sleep(pause).await;
    }

    /// Sends a dead letter once more.
    pub(super) async fn send_again(&self, record: &Record) -> Result<(), Refusal> {
        self.send(&key_of(record), std::slice::from_ref(record)).await.map(drop)
    }

    /// Sends the first of some events of one device or twin; says how many.
    async fn send(&self, key: &str, records: &[Record]) -> Result<usize, Refusal> {
        let gone = || Refusal::endpoint("the endpoint is gone".to_owned());
        // As it is now: the operator may have mended it.
        let keeper = self.place.keeper(&self.context).ok_or_else(gone)?;
        match self.target(&keeper).ok_or_else(gone)? {
            EndpointTarget::EventHub { .. } => Err(gone()),
            EndpointTarget::Storage(_) => {
                Err(Refusal::endpoint("a storage container takes no single messages".to_owned()))
            }
            EndpointTarget::External { connection_string } => {
                self.event_hub.send(&self.context, connection_string, key, records).await?;
                Ok(records.len())
            }
            EndpointTarget::Webhook { url, .. } => match records.first() {
                None => Ok(0),
                Some(record) => {
                    let event = self.cloud_event(&keeper, record)?;
                    self.webhook.send(&self.context, (url, &keeper.host_name), event).await.map(|()| 1)
                }
            },
        }
    }

    fn cloud_event(&self, keeper: &Resource, record: &Record) -> Result<String, Refusal> {
        let Place { owner, endpoint, partition } = &self.place;
        let event = match keeper.kind() {
            ResourceKind::Hub => {
                let place = format!("{owner}/{endpoint}/{partition}");
                hub_cloud_event::structured(record, &place, &keeper.host_name)
            }
            _ => cloud_event::structured(&record.payload),
        };
        event.ok_or_else(|| Refusal::Event("it is no CloudEvent".to_owned()))
    }

    pub(super) fn target<'r>(&self, keeper: &'r Resource) -> Option<&'r EndpointTarget> {
        let mut endpoints = keeper.endpoints().iter();
        endpoints.find(|one| one.name == self.place.endpoint).map(|endpoint| &endpoint.target)
    }

    /// Whether what is not accepted is kept.
    fn keeps_dead_letters(&self) -> bool {
        let keeper = self.place.keeper(&self.context);
        let target = keeper.as_deref().and_then(|keeper| self.target(keeper));
        !matches!(target, Some(EndpointTarget::Webhook { dead_letters: false, .. }))
    }

    pub(super) async fn put_aside(
        &self,
        record: &Record,
        attempts: u32,
        reason: String,
        fence: Option<&Fence>,
    ) -> Result<()> {
        let Place { owner, endpoint, partition } = &self.place;
        let sequence_number = record.sequence_number;
        self.reports.refused(&self.place, &reason, self.context.clock.now());
        if !self.keeps_dead_letters() {
            tracing::warn!(%owner, endpoint, partition, sequence_number, reason, "the event is dropped");
            count_events("dropped", 1);
            return Ok(());
        }
        tracing::warn!(%owner, endpoint, partition, sequence_number, reason, "the event becomes a dead letter");
        count_events("dead", 1);
        let stream = Stream::waiting(owner.clone(), endpoint);
        let letter = DeadLetter {
            id: 0,
            app: owner.clone(),
            function: endpoint.clone(),
            namespace: stream.owner,
            event_hub: stream.event_hub,
            partition: *partition,
            sequence_number,
            enqueued: record.enqueued_time,
            failed: self.context.clock.now(),
            attempts,
            reason,
            payload: record.payload.to_vec(),
        };
        self.context.put_aside(letter, fence).await
    }
}

impl Place {
    /// All there are.
    pub(super) fn all(context: &Context) -> Vec<Self> {
        let mut places = Vec::new();
        for resource in context.table.all().iter() {
            let owner = owner_of(resource);
            for endpoint in resource.endpoints().iter().filter(|one| one.target.is_elsewhere()) {
                let stream = Stream::waiting(owner.clone(), &endpoint.name);
                let place = |partition| Self::new(&owner, &endpoint.name, partition);
                places.extend((0..stream.partitions).map(place));
            }
        }
        places
    }

    pub(super) fn new(owner: &OwnerName, endpoint: &str, partition: u32) -> Self {
        Self { owner: owner.clone(), endpoint: endpoint.to_owned(), partition }
    }
}

fn count_events(outcome: &'static str, count: usize) {
    let count = u64::try_from(count).unwrap_or(0);
    metrics::counter!("pollux_routing_events_total", "outcome" => outcome).increment(count);
}

/// Doubled from 100 ms on.
fn pause(attempts: u32) -> Duration {
    Duration::from_millis(100).saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

/// Runs of events that go together: so many, so long, in their order.
fn together(records: &[Record]) -> Vec<&[Record]> {
    let (mut bytes, mut count) = (records.first().map_or(0, |first| first.payload.len()), 1);
    let runs = records.chunk_by(|_, next| {
        bytes += next.payload.len();
        count += 1;
        let fits = bytes <= BYTES && count <= TOGETHER;
        if !fits {
            (bytes, count) = (next.payload.len(), 1);
        }
        fits
    });
    runs.collect()
}

/// The device or twin an event is of, as its service wrote it down: a dead letter has no partition key.
fn key_of(record: &Record) -> String {
    let Ok(message) = Message::decode(record.payload.clone()) else { return String::new() };
    let device = message.message_annotations.get("iothub-connection-device-id");
    match device.and_then(pollux_amqp::Value::as_str) {
        Some(device) => device.to_owned(),
        None => cloud_event::twin_of(&message).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use pollux_model::Timestamp;

    use super::*;

    fn record(size: usize) -> Record {
        Record {
            sequence_number: 0,
            offset: 0,
            enqueued_time: Timestamp::from_secs(0),
            partition_key: None,
            payload: vec![0; size].into(),
        }
    }

    #[test]
    fn what_goes_together_is_bounded() {
        let sizes = |sizes: &[usize]| {
            let records: Vec<_> = sizes.iter().map(|size| record(*size)).collect();
            together(&records).iter().map(|run| run.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1; 250]), [100, 100, 50]);
        assert_eq!(sizes(&[BYTES, 1, BYTES, BYTES]), [1, 1, 1, 1]);
        assert_eq!(sizes(&[BYTES / 2; 5]), [2, 2, 1]);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause(1), Duration::from_millis(100));
        assert_eq!(pause(3), Duration::from_millis(400));
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
