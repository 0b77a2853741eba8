//! The event hub consumers: each partition in order, each device in order, one bad event never stopping the rest.
//!
//! A supervisor keeps one task per app, function and partition and follows changes of the resources. A task reads a
//! batch, works on its devices side by side (on one device's events one after the other), and then keeps its checkpoint.
//! A crash repeats at most one batch; both functions have the same effect when repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use indexmap::IndexMap;
use pollux_eventlog::{LogError, ReadFrom, ReadLimit, Record, StreamName};
use pollux_model::event::Checkpoint;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::functions::ConsumerKey;
use pollux_store::{Batch, Write};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Functions;
use super::event::Event;
use super::ingest::Effect;
use super::twins_client::TwinsClient;
use crate::cluster::{Fence, Holding};
use crate::supervise::supervise;

/// Events and bytes read at once.
const BATCH: ReadLimit = ReadLimit { records: 256, bytes: 1 << 20 };
/// Devices worked on side by side in one partition.
const DEVICES: usize = 16;
/// Attempts while a dependency is away (or a registration runs) before the event is put aside: some four minutes.
const PATIENCE: u32 = 120;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The functions that consume events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Telemetry onto twins, from the event hub `deviceevents`.
    Ingest,
    /// Twins of deleted devices removed, from the event hub `lifecycleevents`.
    Retire,
}

impl Function {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingest, Self::Retire];

    /// Its name in commands and dead letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Retire => "retire",
        }
    }

    /// The event hub it reads (the names of Microsoft's article).
    const fn event_hub(self) -> &'static str {
        match self {
            Self::Ingest => "deviceevents",
            Self::Retire => "lifecycleevents",
        }
    }
}

/// One partition of one function of one app.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    app: ResourceName,
    function: Function,
    namespace: ResourceName,
    partition: u32,
}

impl Functions {
    /// Runs the consumers of every app until shutdown, following changes of the resources.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut changes = self.context.table.subscribe();
        let mut running: HashMap<Place, CancellationToken> = HashMap::new();
        let tasks = TaskTracker::new();
        loop {
            let wanted = self.places();
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
                    let (this, place, until) = (Arc::clone(&self), place.clone(), stop.clone());
                    let consumer = move || Arc::clone(&this).consume_alone(place.clone(), until.clone());
                    tasks.spawn(supervise("consumer", consumer));
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

    fn places(&self) -> Vec<Place> {
        let all = self.context.table.all();
        let apps = all.iter().filter(|resource| resource.kind() == ResourceKind::Functions);
        let of_app = |app: &Arc<Resource>| match self.namespace(app) {
            Ok(namespace) => Function::ALL
                .into_iter()
                .flat_map(|function| {
                    let partitions = partitions(&namespace, function.event_hub());
                    let (app, namespace) = (app.name.clone(), namespace.name.clone());
                    (0..partitions).map(move |partition| Place {
                        app: app.clone(),
                        function,
                        namespace: namespace.clone(),
                        partition,
                    })
                })
                .collect::<Vec<_>>(),
            Err(error) => {
                tracing::warn!(app = %app.name, %error, "the function app reads no events");
                Vec::new()
            }
        };
        apps.flat_map(of_app).collect()
    }

    /// Of all nodes, one consumes a place at a time. What it keeps is held to its lease; what it does to twins can be
    /// repeated, and is guarded by their etags and the time of each value.
    async fn consume_alone(self: Arc<Self>, place: Place, stop: CancellationToken) {
        let lease = lease_of(&place);
        let work = |holding| Arc::clone(&self).consume(place.clone(), holding);
        self.context.cluster.while_held(&lease, &stop, work).await;
    }

    async fn consume(self: Arc<Self>, place: Place, Holding { fence, stop }: Holding) {
        let fence = fence.as_ref();
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.consume_until_error(&place, fence) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(app = %place.app, function = place.function.as_str(), partition = place.partition, %error, "the consumer pauses");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LONGEST_PAUSE) => {}
            }
        }
    }

    async fn consume_until_error(&self, place: &Place, fence: Option<&Fence>) -> Result<()> {
        let stream = stream_of(place)?;
        let key = key_of(place);
        let known = self.context.store.checkpoints(&key).await?;
        let checkpoint = known
            .into_iter()
            .find(|(partition, _)| *partition == place.partition)
            .map(|(_, checkpoint)| checkpoint);
        let newest = self.context.log.partition(&stream, place.partition).await.map_err(unavailable)?;
        // An event hub that was made anew counts from 0: a checkpoint beyond its end is of the one before.
        let mut last = checkpoint
            .map(|checkpoint| checkpoint.sequence_number)
            .filter(|last| *last <= newest.last_sequence_number);
        loop {
            let from =
                last.map_or(ReadFrom::Earliest, |number| ReadFrom::Sequence { number, inclusive: false });
            let records =
                self.context.log.read(&stream, place.partition, &from, BATCH).await.map_err(unavailable)?;
            let Some(end) = records.last() else {
                self.wait_for_more(&stream, place.partition, last).await?;
                continue;
            };
            let checkpoint = Checkpoint { sequence_number: end.sequence_number, offset: end.offset };
            self.work(place, fence, records).await?;
            let write = Write::PutCheckpoint { key: key.clone(), partition: place.partition, checkpoint };
            self.context.store.commit(held(fence).with(write)).await?;
            last = Some(checkpoint.sequence_number);
        }
    }

    /// Waits until there is a record to read. What was let go before it was read is not to be waited for: the log counts
    /// it still.
    async fn wait_for_more(&self, stream: &StreamName, partition: u32, last: Option<i64>) -> Result<()> {
        let known = self.context.log.partition(stream, partition).await.map_err(unavailable)?;
        let seen = last.unwrap_or(-1).max(known.begin_sequence_number - 1);
        self.context.log.wait(stream, partition, seen).await.map_err(unavailable)
    }

    /// Works on a batch: devices side by side, each device's events in order.
    async fn work(&self, place: &Place, fence: Option<&Fence>, records: Vec<Record>) -> Result<()> {
        let mut by_device: IndexMap<Box<str>, Vec<Record>> = IndexMap::new();
        for record in records {
            by_device.entry(record.partition_key.clone().unwrap_or_default()).or_default().push(record);
        }
        let mut devices = stream::iter(by_device.into_values())
            .map(|records| async move {
                for record in records {
                    self.work_on(place, fence, record).await?;
                }
                Ok::<_, Error>(())
            })
            .buffer_unordered(DEVICES);
        while let Some(done) = devices.next().await {
            let () = done?;
        }
        Ok(())
    }

    /// Works on one event until it took effect or became a dead letter.
    async fn work_on(&self, place: &Place, fence: Option<&Fence>, record: Record) -> Result<()> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Err(error) = self.apply(&place.app, place.function, &record).await else { return Ok(()) };
            match pause_before_next(&error, attempts, self.context.limits.function_attempts) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    let letter = self.letter(place, record, attempts, error);
                    return self.put_aside(letter, fence).await;
                }
            }
        }
    }

    /// Applies one event to the twins.
    pub(super) async fn apply(&self, app: &ResourceName, function: Function, record: &Record) -> Result<()> {
        let app = self.current(app)?;
        let event = Event::decode(record)?;
        let effect = match function {
            Function::Ingest => self.ingest(&app, &event).await?,
            Function::Retire => self.retire(&app, &event).await?,
        };
        let outcome = if effect == Effect::Applied { "applied" } else { "nothing" };
        metrics::counter!("pollux_function_events_total", "function" => function.as_str(), "outcome" => outcome).increment(1);
        Ok(())
    }

    /// The twins service an event is applied to. One that the settings do not lead to (they are set one by one) is away:
    /// no event is given up for what the operator is about to mend.
    pub(super) fn twins_of_events(&self, app: &Resource) -> Result<Arc<dyn TwinsClient>> {
        self.twins_client(app).map_err(|error| Error::new(ErrorCode::Unavailable, error.message))
    }

    fn letter(&self, place: &Place, record: Record, attempts: u32, error: Error) -> DeadLetter {
        tracing::warn!(app = %place.app, function = place.function.as_str(), partition = place.partition,
            sequence_number = record.sequence_number, attempts, %error, "the event becomes a dead letter");
        metrics::counter!("pollux_function_events_total", "function" => place.function.as_str(), "outcome" => "dead").increment(1);
        DeadLetter {
            id: 0,
            app: place.app.clone(),
            function: place.function.as_str().to_owned(),
            namespace: place.namespace.clone(),
            event_hub: place.function.event_hub().to_owned(),
            partition: place.partition,
            sequence_number: record.sequence_number,
            enqueued: record.enqueued_time,
            failed: self.context.clock.now(),
            attempts,
            reason: error.message,
            payload: record.payload.to_vec(),
        }
    }

    async fn put_aside(&self, letter: DeadLetter, fence: Option<&Fence>) -> Result<()> {
        let (app, newest) = (letter.app.clone(), self.context.limits.dead_letters);
        let batch = held(fence).with(Write::PutDeadLetter { letter: Box::new(letter) });
        Ok(self.context.store.commit(batch.with(Write::KeepDeadLetters { app, newest })).await?)
    }
}

/// How long to wait before the next attempt; `None` when there is to be none.
fn pause_before_next(error: &Error, attempts: u32, most: u32) -> Option<Duration> {
    let doubled = |base: Duration| base.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE);
    match error.code {
        // What the event itself says is wrong does not get better.
        ErrorCode::InvalidArgument => None,
        // Nor is a credential that does not hold the event's fault.
        ErrorCode::Unavailable | ErrorCode::Throttled | ErrorCode::Unauthorized | ErrorCode::Forbidden => {
            (attempts < PATIENCE).then(|| doubled(Duration::from_millis(25)))
        }
        _ => (attempts < most).then(|| doubled(Duration::from_millis(5))),
    }
}

fn partitions(namespace: &Resource, event_hub: &str) -> u32 {
    let Properties::Events(events) = &namespace.properties else { return 0 };
    events.event_hubs.iter().find(|hub| hub.name == event_hub).map_or(0, |hub| hub.partitions)
}

/// The beginning of a batch that counts only while the lease is had.
fn held(fence: Option<&Fence>) -> Batch {
    fence.map_or_else(Batch::new, |fence| Batch::from(fence.write()))
}

fn lease_of(place: &Place) -> String {
    let Place { app, function, namespace, partition } = place;
    format!("consumer/{app}/{}/{namespace}/{partition}", function.as_str())
}

fn stream_of(place: &Place) -> Result<StreamName> {
    crate::hub::stream(&place.namespace, place.function.event_hub())
}

fn key_of(place: &Place) -> ConsumerKey {
    ConsumerKey {
        owner: format!("functions/{}/{}", place.app, place.function.as_str()),
        namespace: place.namespace.clone(),
        event_hub: place.function.event_hub().to_owned(),
        consumer_group: "$Default".to_owned(),
    }
}

fn unavailable(error: LogError) -> Error {
    Error::new(ErrorCode::Unavailable, format!("the event log: {error}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use pollux_eventlog::NewRecord;

    use super::*;
    use crate::fixture::World;

    #[test]
    fn what_is_not_the_events_fault_is_waited_for() {
        let pause = |code, attempts| pause_before_next(&Error::new(code, ""), attempts, 5);
        for code in [ErrorCode::Unavailable, ErrorCode::Unauthorized, ErrorCode::Forbidden] {
            assert_eq!(pause(code, 100), Some(LONGEST_PAUSE), "{code:?}");
            assert_eq!(pause(code, PATIENCE), None, "{code:?}");
        }
        assert!(pause(ErrorCode::ValidationFailed, 4).is_some());
        assert!(pause(ErrorCode::ValidationFailed, 5).is_none());
        assert!(pause(ErrorCode::InvalidArgument, 1).is_none());
    }

    #[tokio::test]
    async fn a_consumer_that_missed_what_was_let_go_waits_for_what_comes() {
        let world = World::new().await;
        let (context, functions) = (&world.services.context, &world.services.functions);
        let namespace = world.resource(ResourceKind::Events, "events1");
        let stream = crate::hub::stream(&namespace.name, "deviceevents").unwrap();
        let record = || NewRecord { partition_key: None, payload: "x".into(), idempotency_key: None };
        context.log.append(&stream, 0, vec![record()]).await.unwrap();
        let days = Duration::from_secs(100 * 24 * 3600);
        context.log.trim(pollux_model::Clock::now(&*world.clock).plus(days)).await.unwrap();
        let read = context.log.read(&stream, 0, &ReadFrom::Earliest, BATCH).await.unwrap();
        assert!(read.is_empty(), "everything was let go");

        let mut waiting = Box::pin(functions.wait_for_more(&stream, 0, None));
        for _ in 0..8 {
            assert!(
                waiting.as_mut().now_or_never().is_none(),
                "there is nothing to read, yet it does not wait"
            );
            tokio::task::yield_now().await;
        }
        context.log.append(&stream, 0, vec![record()]).await.unwrap();
        waiting.await.unwrap();
    }
}
