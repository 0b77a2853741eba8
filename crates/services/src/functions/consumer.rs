//! The event hub consumers: each partition in order, each device in order, one bad event never stopping the rest.
//!
//! Of a batch the devices are worked on side by side, one device's events one after the other. A crash repeats at most one
//! batch; both functions have the same effect when repeated.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use pollux_eventlog::Record;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::functions::ConsumerKey;
use tokio_util::sync::CancellationToken;

use super::Functions;
use super::event::Event;
use super::ingest::Effect;
use super::twins_client::TwinsClient;
use crate::cluster::Fence;
use crate::consume::{self, Consumer, Work};
use crate::streams;

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

/// What a consumer does.
struct Worker {
    functions: Arc<Functions>,
    place: Place,
}

#[async_trait]
impl Work for Worker {
    async fn work(&self, fence: Option<&Fence>, records: Vec<Record>) -> Result<()> {
        self.functions.work(&self.place, fence, records).await
    }
}

impl Functions {
    /// Runs the consumers of every app until shutdown, following changes of the resources.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let this = Arc::clone(&self);
        let consume = move |place: Place, stop: CancellationToken| {
            let this = Arc::clone(&this);
            async move {
                match this.consumer(place) {
                    Ok(consumer) => consumer.run(&stop).await,
                    Err(error) => tracing::error!(%error, "a consumer cannot be made"),
                }
            }
        };
        consume::follow(&self.context, "consumer", &shutdown, || self.places(), consume).await;
    }

    /// What it keeps is held to its lease; what it does to twins can be repeated, and is guarded by their etags and the
    /// time of each value.
    fn consumer(self: Arc<Self>, place: Place) -> Result<Consumer> {
        Ok(Consumer {
            context: Arc::clone(&self.context),
            stream: streams::name(&place.namespace, place.function.event_hub())?,
            partition: place.partition,
            key: key_of(&place),
            lease: lease_of(&place),
            work: Box::new(Worker { functions: self, place }),
        })
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

    /// Works on a batch: devices side by side, each device's events in order.
    async fn work(&self, place: &Place, fence: Option<&Fence>, records: Vec<Record>) -> Result<()> {
        let mut devices = stream::iter(consume::by_device(records).into_values())
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
                    return self.context.put_aside(letter, fence).await;
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
            app: place.app.clone().into(),
            function: place.function.as_str().to_owned(),
            namespace: place.namespace.clone().into(),
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

fn lease_of(place: &Place) -> String {
    let Place { app, function, namespace, partition } = place;
    format!("consumer/{app}/{}/{namespace}/{partition}", function.as_str())
}

fn key_of(place: &Place) -> ConsumerKey {
    ConsumerKey {
        owner: format!("functions/{}/{}", place.app, place.function.as_str()),
        namespace: place.namespace.clone().into(),
        event_hub: place.function.event_hub().to_owned(),
        consumer_group: "$Default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
