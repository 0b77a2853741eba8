//! Consumers of streams: each partition by one node at a time, in order, from a kept place on.
//!
//! A crash repeats at most one batch: what a consumer does must bear that.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use pollux_eventlog::{LogError, ReadFrom, ReadLimit, Record, StreamName};
use pollux_model::event::Checkpoint;
use pollux_model::{Error, ErrorCode, Result};
use pollux_store::functions::ConsumerKey;
use pollux_store::{Batch, Write};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Fence, Holding};
use crate::context::Context;
use crate::supervise::supervise;

/// Events and bytes read at once.
pub(crate) const BATCH: ReadLimit = ReadLimit { records: 256, bytes: 1 << 20 };
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// Events that come within this time of each other may be worked on together. What comes after a silence is worked on at
/// once; where many come, their place is kept a hundred times a second and not for each.
const GATHER: Duration = Duration::from_millis(10);
/// Where so many were there at once, more may be.
const MANY: usize = 64;

/// What is done with events.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// Returns when the events are dealt with; an error means all of them once more. What it commits is to be held to the
    /// fence: another node may have the lease by then.
    async fn work(&self, fence: Option<&Fence>, records: Vec<Record>) -> Result<()>;

    /// Takes up what comes behind `last`, waits for it where there is nothing, and gives what came last. Who gathers events by
    /// himself does that in his own way.
    async fn step(
        &self,
        consumer: &Consumer,
        fence: Option<&Fence>,
        last: Option<i64>,
    ) -> Result<Option<i64>> {
        consumer.step(fence, last).await
    }
}

/// A consumer of a partition.
pub(crate) struct Consumer {
    pub(crate) context: Arc<Context>,
    pub(crate) stream: StreamName,
    pub(crate) partition: u32,
    /// Under which its place is kept.
    pub(crate) key: ConsumerKey,
    /// Of all nodes, the one that has this lease consumes.
    pub(crate) lease: String,
    pub(crate) work: Box<dyn Work>,
}

/// Keeps one task for each place there is, following changes of the resources, until shutdown.
pub(crate) async fn follow<P, F>(
    context: &Context,
    name: &'static str,
    shutdown: &CancellationToken,
    places: impl Fn() -> Vec<P>,
    consume: impl Fn(P, CancellationToken) -> F + Clone + Send + 'static,
) where
    P: Clone + Eq + Hash + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut changes = context.table.subscribe();
    let mut running: HashMap<P, CancellationToken> = HashMap::new();
    let tasks = TaskTracker::new();
    loop {
        let wanted = places();
        running.retain(|place, stop| {
            let keep = wanted.contains(place);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for place in wanted {
            running.entry(place).or_insert_with_key(|place| {
                let stop = shutdown.child_token();
                let (consume, place, until) = (consume.clone(), place.clone(), stop.clone());
                tasks.spawn(supervise(name, move || consume(place.clone(), until.clone())));
                stop
            });
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    tasks.close();
    tasks.wait().await;
}

impl Consumer {
    /// Works on batches, and keeps the place after each, until `stop`.
    pub(crate) async fn run(self, stop: &CancellationToken) {
        let this = Arc::new(self);
        let held = |holding| {
            let this = Arc::clone(&this);
            async move { this.run_while(holding).await }
        };
        this.context.cluster.while_held(&this.lease, stop, held).await;
    }

    async fn run_while(&self, Holding { fence, stop }: Holding) {
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.run_until_error(fence.as_ref()) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(consumer = %self.lease, %error, "the consumer pauses");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn run_until_error(&self, fence: Option<&Fence>) -> Result<()> {
        let (context, partition) = (&self.context, self.partition);
        let known = context.store.checkpoints(&self.key).await?;
        let checkpoint = known.into_iter().find(|(of, _)| *of == partition).map(|(_, checkpoint)| checkpoint);
        let newest = context.log.partition(&self.stream, partition).await.map_err(unavailable)?;
        // A stream that was made anew counts from 0: a checkpoint beyond its end is of the one before.
        let mut last = checkpoint
            .map(|checkpoint| checkpoint.sequence_number)
            .filter(|last| *last <= newest.last_sequence_number);
        loop {
            last = self.work.step(self, fence, last).await?;
        }
    }

    /// Has a batch worked on, and keeps the place after it.
    pub(crate) async fn step(&self, fence: Option<&Fence>, last: Option<i64>) -> Result<Option<i64>> {
        let begun = Instant::now();
        let records = self.read(last, BATCH).await?;
        let Some(end) = records.last() else { return self.wait_for_more(last).await };
        let count = records.len();
        let checkpoint = Checkpoint { sequence_number: end.sequence_number, offset: end.offset };
        self.work.work(fence, records).await?;
        self.keep(fence, checkpoint).await?;
        if count < MANY {
            tokio::time::sleep_until(begun + GATHER).await;
        }
        Ok(Some(checkpoint.sequence_number))
    }

    /// What comes behind `last`; nothing where there is nothing yet.
    pub(crate) async fn read(&self, last: Option<i64>, limit: ReadLimit) -> Result<Vec<Record>> {
        let from = last.map_or(ReadFrom::Earliest, |number| ReadFrom::Sequence { number, inclusive: false });
        self.context.log.read(&self.stream, self.partition, &from, limit).await.map_err(unavailable)
    }

    /// Keeps the place.
    pub(crate) async fn keep(&self, fence: Option<&Fence>, checkpoint: Checkpoint) -> Result<()> {
        let write = Write::PutCheckpoint { key: self.key.clone(), partition: self.partition, checkpoint };
        Ok(self.context.store.commit(held(fence).with(write)).await?)
    }

    /// Waits until there is a record behind `seen` (-1: any).
    pub(crate) async fn wait(&self, seen: i64) -> Result<()> {
        self.context.log.wait(&self.stream, self.partition, seen).await.map_err(unavailable).map(drop)
    }

    /// Waits until there is a record to read, and gives what was read last. What was let go before it was read is not to be
    /// waited for: the log counts it still. A stream that was made anew is read from its beginning, at once.
    pub(crate) async fn wait_for_more(&self, last: Option<i64>) -> Result<Option<i64>> {
        let context = &self.context;
        let known = context.log.partition(&self.stream, self.partition).await.map_err(unavailable)?;
        if last.is_some_and(|last| last > known.last_sequence_number) {
            return Ok(None);
        }
        let seen = last.unwrap_or(-1).max(known.begin_sequence_number - 1);
        self.wait(seen).await?;
        Ok(last)
    }
}

/// The beginning of a batch that counts only while the lease is had.
pub(crate) fn held(fence: Option<&Fence>) -> Batch {
    fence.map_or_else(Batch::new, |fence| Batch::from(fence.write()))
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unavailable(error: LogError) -> Error {
    Error::new(ErrorCode::Unavailable, format!("the event log: {error}"))
}

/// The devices of a batch, each with its events in order.
pub(crate) fn by_device(records: Vec<Record>) -> IndexMap<Box<str>, Vec<Record>> {
    let mut by_device: IndexMap<Box<str>, Vec<Record>> = IndexMap::new();
    for record in records {
        by_device.entry(record.partition_key.clone().unwrap_or_default()).or_default().push(record);
    }
    by_device
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use pollux_eventlog::NewRecord;
    use pollux_model::resource::ResourceKind;

    use super::*;
    use crate::fixture::World;
    use crate::streams;

    struct Nothing;

    #[async_trait]
    impl Work for Nothing {
        async fn work(&self, _: Option<&Fence>, _: Vec<Record>) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_consumer_that_missed_what_was_let_go_waits_for_what_comes() {
        let world = World::new().await;
        let context = &world.services.context;
        let namespace = world.resource(ResourceKind::Events, "events1");
        let stream = streams::name(&namespace.name, "deviceevents").unwrap();
        let record = || NewRecord { partition_key: None, payload: "x".into(), idempotency_key: None };
        context.log.append(&stream, 0, vec![record()]).await.unwrap();
        let days = Duration::from_secs(100 * 24 * 3600);
        context.log.trim(pollux_model::Clock::now(&*world.clock).plus(days)).await.unwrap();
        let read = context.log.read(&stream, 0, &ReadFrom::Earliest, BATCH).await.unwrap();
        assert!(read.is_empty(), "everything was let go");

        let key = ConsumerKey {
            owner: "test".to_owned(),
            namespace: namespace.name.clone().into(),
            event_hub: "deviceevents".to_owned(),
            consumer_group: "$Default".to_owned(),
        };
        let (context, work) = (Arc::clone(context), Box::new(Nothing));
        let consumer =
            Consumer { context, stream: stream.clone(), partition: 0, key, lease: "test".to_owned(), work };
        let mut waiting = Box::pin(consumer.wait_for_more(None));
        for _ in 0..8 {
            assert!(
                waiting.as_mut().now_or_never().is_none(),
                "there is nothing to read, yet it does not wait"
            );
            tokio::task::yield_now().await;
        }
        world.services.context.log.append(&stream, 0, vec![record()]).await.unwrap();
        assert_eq!(waiting.await.unwrap(), None);
        // It read up to 99 of a stream that was deleted and made anew while it did something else.
        assert_eq!(consumer.wait_for_more(Some(99)).await.unwrap(), None);
    }
}
