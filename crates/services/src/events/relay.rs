//! The outbox relay: events that were committed with their cause move to the event log.
//!
//! An entry is appended under its idempotency key and forgotten after that. A crash in between appends it once more,
//! and the log answers with the first one's place: nothing is lost and nothing is there twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use pollux_eventlog::{IdempotencyKey, LogError, NewRecord, StreamName};
use pollux_model::event::OutboxEntry;
use pollux_model::partition_key::partition_of;
use pollux_model::{Error, ErrorCode, Result};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Events;
use crate::steps::Step;
use crate::streams::Stream;

/// Entries moved at once.
const BATCH: usize = 512;
/// How long to wait when the store or the log is away.
const PAUSE: Duration = Duration::from_millis(500);
/// Entries that come within this time of each other may move together. What comes after a silence moves at once; where
/// many come, reading, appending and forgetting them is done a hundred times a second and not for each.
const GATHER: Duration = Duration::from_millis(10);

/// Payload bytes of one append of more than one record: well below what any log takes at once.
const APPEND: usize = 256 << 10;

/// Where an entry goes.
type Place = (StreamName, u32);

/// Entries that are appended together.
struct Load {
    place: Place,
    bytes: usize,
    records: Vec<NewRecord>,
    rows: Vec<i64>,
}

impl Events {
    /// Moves entries until shutdown: each shard of the outbox by one node at a time.
    pub async fn run_relay(self: Arc<Self>, shutdown: CancellationToken) {
        let shards = 0..self.context.store.outbox_shards();
        futures_util::future::join_all(shards.map(|shard| self.run_shard(shard, &shutdown))).await;
    }

    async fn run_shard(self: &Arc<Self>, shard: u32, shutdown: &CancellationToken) {
        let (lease, wake) = (format!("relay/{shard}"), Arc::new(Notify::new()));
        let moving = self.context.cluster.while_held(&lease, shutdown, |holding| {
            let (this, wake) = (Arc::clone(self), Arc::clone(&wake));
            async move { this.relay_until(shard, &wake, &holding.stop).await }
        });
        tokio::join!(moving, self.watch(shard, &lease, &wake, shutdown));
    }

    async fn relay_until(&self, shard: u32, wake: &Notify, stop: &CancellationToken) {
        loop {
            let begun = Instant::now();
            let moved = tokio::select! {
                () = stop.cancelled() => return,
                moved = self.relay(shard) => moved,
            };
            let next = async {
                match moved {
                    Ok(0) => wake.notified().await,
                    Ok(BATCH..) => {}
                    Ok(_) => tokio::time::sleep_until(begun + GATHER).await,
                    Err(error) => {
                        tracing::warn!(%error, shard, "the outbox relay pauses");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = next => {}
            }
        }
    }

    /// Wakes whoever moves the shard when this node has committed entries: itself, or the node that does.
    async fn watch(&self, shard: u32, lease: &str, wake: &Notify, shutdown: &CancellationToken) {
        let (store, cluster) = (&self.context.store, &self.context.cluster);
        let subject = format!("outbox.{shard}");
        let mut hints = match cluster.others() {
            Some(shared) => shared.listener(&subject, shutdown).await,
            None => stream::pending().boxed(),
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = hints.next() => wake.notify_one(),
                () = store.outbox_changed(shard) => match cluster.others() {
                    Some(shared) if !cluster.does(lease) => shared.hint(&subject).await,
                    _ => wake.notify_one(),
                },
            }
        }
    }

    /// Moves what is there, at most [`BATCH`] entries; how many it dealt with. One entry that cannot be moved does not
    /// hold up those behind it.
    pub async fn relay(&self, shard: u32) -> Result<usize> {
        let entries = self.context.store.outbox(shard, BATCH).await?;
        let mut loads: Vec<Load> = Vec::new();
        let (mut done, mut moved) = (Vec::new(), 0);
        for (row, entry) in entries {
            moved += 1;
            match self.place(&entry) {
                Some(place) => put(&mut loads, place, record(entry), row),
                None => {
                    tracing::warn!(event_hub = %entry.event_hub, "an event is dropped: its event hub was deleted");
                    done.push(row);
                }
            }
        }
        for load in loads {
            if let Err(error) = self.append(load, &mut done).await {
                // What was moved so far is forgotten first, so that it need not be moved again.
                self.context.store.outbox_done(&done).await?;
                return Err(Error::new(ErrorCode::Unavailable, format!("the event log: {error}")));
            }
        }
        if !done.is_empty() {
            Step::Appended.reached();
            self.context.store.outbox_done(&done).await?;
        }
        Ok(moved)
    }

    /// Appends what goes to one place; rows that need not be looked at again go to `done`.
    async fn append(&self, load: Load, done: &mut Vec<i64>) -> Result<(), LogError> {
        let Load { place: (stream, partition), records, rows, .. } = load;
        let together = match self.context.log.append(&stream, partition, records.clone()).await {
            // Which of them it is, the log does not say.
            Err(LogError::TooLarge { .. }) => None,
            settled => Some(settled),
        };
        if let Some(settled) = together {
            kept_or_gone(settled, &stream)?;
            done.extend(rows);
            return Ok(());
        }
        for (record, row) in records.into_iter().zip(rows) {
            let settled = self.context.log.append(&stream, partition, vec![record]).await;
            kept_or_gone(settled, &stream)?;
            done.push(row);
        }
        Ok(())
    }

    fn place(&self, entry: &OutboxEntry) -> Option<Place> {
        let stream = Stream::find(&self.context.table, &entry.namespace, &entry.event_hub)?;
        Some((stream.name().ok()?, partition_of(&entry.partition_key, stream.partitions)))
    }
}

/// Adds a record to the last load of its place, or to a new one behind it: order in a place is kept.
fn put(loads: &mut Vec<Load>, place: Place, record: NewRecord, row: i64) {
    let bytes = record.payload.len();
    match loads.iter_mut().rfind(|load| load.place == place) {
        Some(load) if load.bytes + bytes <= APPEND => {
            load.bytes += bytes;
            load.records.push(record);
            load.rows.push(row);
        }
        _ => loads.push(Load { place, bytes, records: vec![record], rows: vec![row] }),
    }
}

/// Whether records are dealt with: kept, or never to be kept.
fn kept_or_gone<T>(appended: Result<T, LogError>, stream: &StreamName) -> Result<(), LogError> {
    match appended {
        Ok(_) => Ok(()),
        Err(LogError::UnknownStream(_) | LogError::UnknownPartition { .. }) => {
            tracing::warn!(%stream, "events are dropped: their event hub was deleted");
            Ok(())
        }
        Err(error @ LogError::TooLarge { .. }) => {
            metrics::counter!("pollux_events_dropped_total").increment(1);
            tracing::error!(%stream, %error, "an event is dropped: it cannot be kept");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn record(entry: OutboxEntry) -> NewRecord {
    NewRecord {
        partition_key: Some(entry.partition_key.into()),
        payload: entry.payload.into(),
        idempotency_key: Some(IdempotencyKey(entry.idempotency_key)),
    }
}

#[cfg(test)]
mod tests {
    use pollux_eventlog::{ReadFrom, ReadLimit};
    use pollux_model::resource::ResourceKind;
    use pollux_store::{Batch, Write};

    use super::*;
    use crate::fixture::World;

    /// Commits entries of these sizes for one device and relays until nothing is left; gives what the log then holds.
    async fn relayed(sizes: &[usize]) -> Vec<usize> {
        let world = World::new().await;
        let (context, events) = (&world.services.context, &world.services.events);
        let namespace = world.resource(ResourceKind::Events, "events1");
        let entry = |(number, size): (u128, &usize)| OutboxEntry {
            namespace: namespace.name.clone().into(),
            event_hub: "lifecycleevents".into(),
            partition_key: "d1".into(),
            idempotency_key: number.to_le_bytes(),
            payload: vec![0; *size],
        };
        let mut batch = Batch::new();
        batch.writes.extend((0..).zip(sizes).map(|one| Write::Outbox(Box::new(entry(one)))));
        context.store.commit(batch).await.unwrap();
        while events.relay(0).await.unwrap() > 0 {}
        let (stream, partition) = events.place(&entry((0, &0))).unwrap();
        let limit = ReadLimit { records: 1000, bytes: usize::MAX };
        let read = context.log.read(&stream, partition, &ReadFrom::Earliest, limit).await.unwrap();
        read.iter().map(|record| record.payload.len()).collect()
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_kept_does_not_hold_up_the_others() {
        assert_eq!(relayed(&[1, 2 << 20, 3, 8 << 20, 5]).await, [1, 3, 5]);
    }

    #[tokio::test]
    async fn more_than_one_append_takes_is_moved_in_order() {
        let sizes: Vec<usize> = (0..30).map(|n| 500_000 + n).collect();
        assert_eq!(relayed(&sizes).await, sizes);
    }
}
