//! Events that are sent: checked, given a partition, appended. Acknowledged when durable.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use pollux_eventlog::{LogError, NewRecord};
use pollux_model::partition_key::partition_of;
use pollux_model::resource::EventHub;
use pollux_model::{Error, ErrorCode, Result};

use super::Events;
use super::address::{Address, Place};
use super::namespace::Namespace;
use super::payload::{Stored, open_batch};

/// The format of a message that carries others (`AmqpConstants.AmqpBatchedMessageFormat` in Azure's clients).
pub const BATCH_FORMAT: u32 = 0x8001_3700;

/// Bytes of several messages in one append: well below what any log takes at once.
const APPEND: usize = 256 << 10;

/// A message as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// AMQP's message format: 0, or [`BATCH_FORMAT`].
    pub format: u32,
    /// Its sections.
    pub message: Bytes,
}

/// Events of one message, and where they go.
struct Load {
    partition: u32,
    records: Vec<NewRecord>,
}

impl Events {
    /// The event hub of an address, with what the address leads to checked. [`ErrorCode::EventHubNotFound`].
    pub fn event_hub<'n>(&self, namespace: &'n Namespace, address: &Address) -> Result<&'n EventHub> {
        let Some(hub) = namespace.event_hubs.iter().find(|hub| hub.name == address.event_hub) else {
            return Err(not_found(entity(&format!("{}/{}", namespace.name, address.event_hub))));
        };
        let partition = match &address.place {
            Place::Whole | Place::Publisher(_) => None,
            Place::Partition(partition) => Some(*partition),
            Place::Consumer { group, partition } => {
                if !hub.consumer_groups.iter().any(|one| one.eq_ignore_ascii_case(group)) {
                    let text = entity(&format!("{}/{}/consumergroups/{group}", namespace.name, hub.name));
                    return Err(not_found(text));
                }
                Some(*partition)
            }
        };
        match partition {
            Some(partition) if partition >= hub.partitions => {
                let text = format!(
                    "The specified partition is invalid for an EventHub partition sender or receiver. It should be \
                     between 0 and {}.",
                    hub.partitions - 1
                );
                Err(Error::new(ErrorCode::InvalidArgument, text))
            }
            _ => Ok(hub),
        }
    }

    /// Stores messages, those of a partition in their order, partitions side by side. Each message is stored whole or not at all; the answers are in the messages'
    /// order. Whether the caller may send here was checked when its link was made.
    pub async fn publish(
        &self,
        namespace: &Namespace,
        address: &Address,
        sent: Vec<Sent>,
    ) -> Vec<Result<()>> {
        let hub = match self.event_hub(namespace, address) {
            Ok(hub) => hub,
            Err(error) => return sent.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut answers = vec![Ok(()); sent.len()];
        let mut by_partition: BTreeMap<u32, Vec<(usize, Vec<NewRecord>)>> = BTreeMap::new();
        for (at, sent) in sent.into_iter().enumerate() {
            match self.load(namespace, hub, address, sent) {
                Ok(Load { partition, records }) => {
                    by_partition.entry(partition).or_default().push((at, records));
                }
                Err(error) => answers[at] = Err(error),
            }
        }
        let appends = by_partition
            .into_iter()
            .map(|(partition, loads)| self.keep_all(namespace, hub, partition, loads));
        for (at, kept) in join_all(appends).await.into_iter().flatten() {
            answers[at] = kept;
        }
        answers
    }

    /// Stores what goes to one partition, neighbours together; the end of each, by its number.
    async fn keep_all(
        &self,
        namespace: &Namespace,
        hub: &EventHub,
        partition: u32,
        loads: Vec<(usize, Vec<NewRecord>)>,
    ) -> Vec<(usize, Result<()>)> {
        let mut ends = Vec::with_capacity(loads.len());
        let mut loads = loads.into_iter().peekable();
        while let Some((first, mut records)) = loads.next() {
            let (mut numbers, mut size) = (vec![first], bytes(&records));
            while let Some((number, next)) = loads.next_if(|(_, next)| size + bytes(next) <= APPEND) {
                size += bytes(&next);
                numbers.push(number);
                records.extend(next);
            }
            let kept = self.keep(namespace, hub, partition, records).await;
            ends.extend(numbers.into_iter().map(|number| (number, kept.clone())));
        }
        ends
    }

    async fn keep(
        &self,
        namespace: &Namespace,
        hub: &EventHub,
        partition: u32,
        records: Vec<NewRecord>,
    ) -> Result<()> {
        let count = records.len();
        let stream = namespace.stream(&hub.name)?;
        self.context.log.append(&stream, partition, records).await.map_err(log_failed)?;
        metrics::counter!("pollux_events_received_total").increment(count as u64);
        Ok(())
    }

    fn load(&self, namespace: &Namespace, hub: &EventHub, address: &Address, sent: Sent) -> Result<Load> {
        if sent.message.len() > self.largest() {
            let text = format!(
                "The received message (size:{}) exceeds the limit ({}) currently allowed.",
                sent.message.len(),
                self.largest()
            );
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        let publisher = match &address.place {
            Place::Publisher(name) => Some(name.as_str()),
            _ => None,
        };
        let stored = match sent.format {
            BATCH_FORMAT => open_batch(sent.message, publisher)?,
            _ => vec![Stored::from_message(sent.message, publisher)?],
        };
        let partition = match &address.place {
            // Buffered producers of Azure's clients find the partition of each key themselves and batch what goes there.
            Place::Partition(partition) => *partition,
            _ => self.partition_for(namespace, hub, &stored, publisher)?,
        };
        let record = |one: Stored| NewRecord {
            partition_key: one.partition_key,
            payload: one.payload,
            idempotency_key: None,
        };
        Ok(Load { partition, records: stored.into_iter().map(record).collect() })
    }

    /// The partition of what goes together and names none: by its key, or the next one in turn.
    fn partition_for(
        &self,
        namespace: &Namespace,
        hub: &EventHub,
        stored: &[Stored],
        publisher: Option<&str>,
    ) -> Result<u32> {
        let key = stored.first().and_then(|one| one.partition_key.as_deref()).or(publisher);
        if stored.iter().any(|one| one.partition_key.as_deref().or(publisher) != key) {
            return Err(Error::invalid("all events of a batch must have the same partition key"));
        }
        Ok(match key {
            Some(key) => partition_of(key, hub.partitions),
            None => self.next_partition(namespace, hub),
        })
    }

    /// The largest message, in bytes.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.context.limits.event
    }
}

fn bytes(records: &[NewRecord]) -> usize {
    records.iter().map(|record| record.payload.len()).sum()
}

/// What clients know an entity's absence by (`errors.ts` of npm's @azure/core-amqp reads the words).
fn entity(name: &str) -> String {
    format!("The messaging entity '{}' could not be found.", pollux_model::ids::shown(name))
}

fn not_found(text: String) -> Error {
    Error::new(ErrorCode::EventHubNotFound, text)
}

/// What senders and receivers are told when the log refuses.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn log_failed(error: LogError) -> Error {
    match &error {
        LogError::Busy => Error::new(ErrorCode::Throttled, "the server is busy; try again in a moment"),
        LogError::UnknownStream(_) | LogError::UnknownPartition { .. } => not_found(error.to_string()),
        LogError::TooLarge { .. } => Error::new(ErrorCode::TooLarge, error.to_string()),
        LogError::InvalidConfig(_) | LogError::Unavailable(_) | LogError::Corrupt { .. } => {
            tracing::warn!(%error, "the event log does not do what it is asked");
            Error::new(ErrorCode::Unavailable, "the event log is unavailable for now; try again")
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_amqp::{Body, Message, Symbol};
    use pollux_eventlog::{ReadFrom, ReadLimit};

    use super::*;
    use crate::fixture::World;

    fn sent(text: &str) -> Sent {
        let message = Message { body: Body::data(text.to_owned()), ..Message::default() };
        Sent { format: 0, message: message.encode() }
    }

    /// What each partition holds after these were sent, in its order.
    async fn kept(address: &str, texts: &[String]) -> Vec<Vec<String>> {
        let world = World::new().await;
        let (context, events) = (&world.services.context, &world.services.events);
        let namespace = events.namespace("localhost", address).unwrap();
        let address = Address::parse(address).unwrap();
        let sent = texts.iter().map(|text| sent(text)).collect();
        let answers = events.publish(&namespace, &address, sent).await;
        assert!(answers.len() == texts.len() && answers.iter().all(Result::is_ok), "{answers:?}");
        let stream = namespace.stream(&address.event_hub).unwrap();
        let mut partitions = Vec::new();
        for partition in 0..events.event_hub(&namespace, &address).unwrap().partitions {
            let limit = ReadLimit { records: 10_000, bytes: usize::MAX };
            let read = context.log.read(&stream, partition, &ReadFrom::Earliest, limit).await.unwrap();
            let text = |payload: Bytes| Message::decode(payload).unwrap().body.as_bytes().unwrap();
            let texts = read.into_iter().map(|one| String::from_utf8(text(one.payload).to_vec()).unwrap());
            partitions.push(texts.collect());
        }
        partitions
    }

    #[tokio::test]
    async fn those_without_a_key_are_spread_and_each_partition_keeps_their_order() {
        let texts: Vec<_> = (0..100).map(|n| format!("{n:03}")).collect();
        let kept = kept("deviceevents", &texts).await;
        assert!(kept.iter().all(|partition| partition.len() == 100 / kept.len() && partition.is_sorted()));
        let mut all = kept.concat();
        all.sort();
        assert_eq!(all, texts);
    }

    #[tokio::test]
    async fn many_large_ones_to_one_partition_are_kept_in_order() {
        let texts: Vec<_> = (0..20).map(|n| format!("{n:02}{}", "x".repeat(100_000))).collect();
        assert_eq!(kept("deviceevents/Partitions/1", &texts).await[1], texts);
    }

    #[tokio::test]
    async fn the_keys_of_a_batch_may_differ_only_where_it_names_its_partition() {
        let keyed = |key: &str| {
            let mut message = Message { body: Body::data(key.to_owned()), ..Message::default() };
            message.message_annotations.push(Symbol::from_static("x-opt-partition-key"), key);
            message.encode()
        };
        let batch = Message { body: Body::Data(vec![keyed("a"), keyed("b")]), ..Message::default() }.encode();
        let world = World::new().await;
        let (context, events) = (&world.services.context, &world.services.events);
        let namespace = events.namespace("localhost", "deviceevents").unwrap();
        for (address, good) in [("deviceevents", false), ("deviceevents/Partitions/1", true)] {
            let sent = Sent { format: BATCH_FORMAT, message: batch.clone() };
            let answers = events.publish(&namespace, &Address::parse(address).unwrap(), vec![sent]).await;
            assert_eq!(answers[0].is_ok(), good, "{address}: {answers:?}");
        }
        let stream = namespace.stream("deviceevents").unwrap();
        let limit = ReadLimit { records: 10, bytes: usize::MAX };
        let read = context.log.read(&stream, 1, &ReadFrom::Earliest, limit).await.unwrap();
        let keys: Vec<_> = read.iter().map(|one| one.partition_key.as_deref()).collect();
        assert_eq!(keys, [Some("a"), Some("b")]);
    }

    #[tokio::test]
    async fn one_that_is_refused_takes_no_other_along() {
        let world = World::new().await;
        let events = &world.services.events;
        let namespace = events.namespace("localhost", "deviceevents").unwrap();
        let address = Address::parse("deviceevents").unwrap();
        let bad = Sent { format: 0, message: Bytes::from_static(b"\xff") };
        let large = sent(&"x".repeat(events.largest()));
        let answers = events.publish(&namespace, &address, vec![sent("a"), bad, large, sent("b")]).await;
        let codes: Vec<_> = answers.into_iter().map(|one| one.err().map(|error| error.code)).collect();
        assert_eq!(codes, [None, Some(ErrorCode::InvalidArgument), Some(ErrorCode::TooLarge), None]);
    }
}
