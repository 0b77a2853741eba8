//! Endpoints elsewhere: what is routed to them waits in a stream of the hub's own and is sent on over AMQP.
//!
//! ```text
//!   routing ─▶ hub1.hub/to.<endpoint> (durable) ─▶ one consumer a partition ─▶ AMQP ─▶ event hub elsewhere
//!                                                        └─ what it refuses for the event's sake ─▶ dead letter
//! ```
//!
//! Each device's events go in their order, the next when those before are accepted. While the endpoint is away, or does not
//! let us in, they wait: as long as the stream keeps them. What a crash or a lost answer leaves open is sent again, as IoT
//! Hub does ("at least once": Azure article "Use IoT Hub message routing").

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use pollux_amqp::Message;
use pollux_amqp::performative::condition;
use pollux_client::event_hubs::EventHubsError;
use pollux_client::{ConnectionString, Endpoint, EventHubs};
use pollux_eventlog::Record;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{EndpointTarget, Properties, Resource, ResourceKind, Setting};
use pollux_model::{Error, ErrorCode, OwnerName, ResourceName, Result};
use pollux_store::Page;
use pollux_store::functions::ConsumerKey;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Hub;
use crate::caller::{Caller, Right};
use crate::cluster::Fence;
use crate::consume::{self, Consumer, Work};
use crate::context::Context;
use crate::dead_letters::record_of;
use crate::streams::Stream;

/// Devices whose events are under way side by side, for one partition.
const DEVICES: usize = 64;
/// Events, and bytes of them, that go together: what the smallest tier of Event Hubs takes as one, less its wrapping.
const TOGETHER: usize = 100;
const BYTES: usize = 192 * 1024;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Where AMQP over TLS is.
const AMQPS: u16 = 5671;

/// A partition of what waits for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    hub: ResourceName,
    endpoint: String,
    partition: u32,
}

/// Sends what waits in one partition.
struct Forwarder {
    context: Arc<Context>,
    place: Place,
    /// The connection, and the connection string it was made with.
    connection: Mutex<Option<(Setting, EventHubs)>>,
}

/// Why events were not accepted.
enum Refusal {
    /// They will not be accepted however often they are sent.
    Event(String),
    /// The endpoint is away, busy, or does not let us in.
    Endpoint(String),
}

impl Hub {
    /// Sends what waits for endpoints elsewhere until shutdown, following changes of the resources.
    pub async fn run_forwarding(self: Arc<Self>, shutdown: CancellationToken) {
        let context = Arc::clone(&self.context);
        let consume = move |place: Place, stop: CancellationToken| {
            let context = Arc::clone(&context);
            async move {
                match consumer(context, place) {
                    Ok(consumer) => consumer.run(&stop).await,
                    Err(error) => tracing::error!(%error, "events cannot be sent on"),
                }
            }
        };
        consume::follow(&self.context, "forward", &shutdown, || places(&self.context), consume).await;
    }

    /// Dead letters of a hub's endpoints elsewhere, in the order they were put aside.
    pub async fn dead_letters(
        &self,
        caller: &Caller,
        hub: &Resource,
        endpoint: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Administer)?;
        self.context.dead_letters(&OwnerName::of_hub(&hub.name), endpoint, after, limit).await
    }

    /// One dead letter, with its payload.
    pub async fn dead_letter(&self, caller: &Caller, hub: &Resource, id: i64) -> Result<DeadLetter> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Administer)?;
        self.context.dead_letter(&OwnerName::of_hub(&hub.name), id).await
    }

    /// Sends a dead letter once more; it is forgotten when that works, and tells why when not.
    pub async fn replay_dead_letter(&self, caller: &Caller, hub: &Resource, id: i64) -> Result<()> {
        let letter = self.dead_letter(caller, hub, id).await?;
        let (endpoint, partition) = (letter.function.clone(), letter.partition);
        let place = Place { hub: hub.name.clone(), endpoint, partition };
        let forwarder = Forwarder { context: Arc::clone(&self.context), place, connection: Mutex::default() };
        let record = record_of(&letter);
        let sent = forwarder.send(&device_of(&record), std::slice::from_ref(&record)).await;
        let sent = sent.map_err(|refusal| match refusal {
            Refusal::Event(why) => Error::invalid(why),
            Refusal::Endpoint(why) => Error::new(ErrorCode::Unavailable, why),
        });
        self.context.replayed(letter, sent).await
    }

    /// Forgets a dead letter.
    pub async fn delete_dead_letter(&self, caller: &Caller, hub: &Resource, id: i64) -> Result<()> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Administer)?;
        self.context.forget_dead_letter(&OwnerName::of_hub(&hub.name), id).await
    }
}

fn places(context: &Context) -> Vec<Place> {
    let all = context.table.all();
    let mut places = Vec::new();
    for resource in all.iter() {
        let Properties::Hub(hub) = &resource.properties else { continue };
        for endpoint in &hub.endpoints {
            let EndpointTarget::External { .. } = endpoint.target else { continue };
            let stream = Stream::waiting(&resource.name, &endpoint.name);
            places.extend((0..stream.partitions).map(|partition| Place {
                hub: resource.name.clone(),
                endpoint: endpoint.name.clone(),
                partition,
            }));
        }
    }
    places
}

fn consumer(context: Arc<Context>, place: Place) -> Result<Consumer> {
    let stream = Stream::waiting(&place.hub, &place.endpoint);
    let Place { hub, endpoint, partition } = &place;
    Ok(Consumer {
        context: Arc::clone(&context),
        stream: stream.name()?,
        partition: *partition,
        key: ConsumerKey {
            owner: "routing".to_owned(),
            namespace: stream.owner,
            event_hub: stream.event_hub,
            consumer_group: "$Default".to_owned(),
        },
        lease: format!("forward/{hub}/{endpoint}/{partition}"),
        work: Box::new(Forwarder { context, place, connection: Mutex::default() }),
    })
}

#[async_trait]
impl Work for Forwarder {
    async fn work(&self, fence: Option<&Fence>, records: Vec<Record>) -> Result<()> {
        let mut devices = stream::iter(consume::by_device(records))
            .map(|(device, records)| async move {
                for together in together(&records) {
                    self.deliver(&device, together, fence).await?;
                }
                Ok::<_, Error>(())
            })
            .buffer_unordered(DEVICES);
        while let Some(done) = devices.next().await {
            let () = done?;
        }
        Ok(())
    }
}

impl Forwarder {
    /// Sends events of one device until they are accepted or put aside.
    async fn deliver(&self, device: &str, mut records: &[Record], fence: Option<&Fence>) -> Result<()> {
        let (mut attempts, mut count) = (0, records.len());
        while !records.is_empty() {
            attempts += 1;
            match self.send(device, &records[..count]).await {
                Ok(()) => {
                    let sent = u64::try_from(count).unwrap_or(0);
                    metrics::counter!("pollux_routing_events_total", "outcome" => "delivered")
                        .increment(sent);
                    records = &records[count..];
                }
                // One of them is to blame: which one, shows when each goes by itself.
                Err(Refusal::Event(_)) if count > 1 => count = 1,
                Err(Refusal::Event(why)) => {
                    self.put_aside(&records[0], attempts, why, fence).await?;
                    records = &records[1..];
                }
                Err(Refusal::Endpoint(why)) => {
                    let pause = pause(attempts);
                    let Place { hub, endpoint, partition } = &self.place;
                    tracing::warn!(%hub, endpoint, partition, why, ?pause, "events wait for an endpoint elsewhere");
                    metrics::counter!("pollux_routing_attempts_failed_total").increment(1);
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
            (attempts, count) = (0, count.min(records.len()));
        }
        Ok(())
    }

    /// Sends events of one device as one.
    async fn send(&self, device: &str, records: &[Record]) -> std::result::Result<(), Refusal> {
        let (target, event_hub) = self.target()?;
        let client = self.connected(&target).await?;
        let messages: Vec<Bytes> = records.iter().map(|record| record.payload.clone()).collect();
        let sending = client.send_together(&event_hub, device, messages);
        let error = match tokio::time::timeout(ANSWER, sending).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => {
                *self.connection.lock().await = None;
                return Err(Refusal::Endpoint(format!("there is no answer for {ANSWER:?}")));
            }
        };
        Err(match &error {
            EventHubsError::Said(said) if is_of_the_event(&said.condition) => {
                Refusal::Event(error.to_string())
            }
            EventHubsError::Said(_) => Refusal::Endpoint(error.to_string()),
            _ => {
                // The next attempt makes another connection.
                let mut connection = self.connection.lock().await;
                if connection.as_ref().is_some_and(|(_, known)| known.is_closed()) {
                    *connection = None;
                }
                Refusal::Endpoint(error.to_string())
            }
        })
    }

    /// The endpoint as it is now: the operator may have mended it.
    fn target(&self) -> std::result::Result<(Setting, String), Refusal> {
        let hub = self.context.table.named(ResourceKind::Hub, &self.place.hub);
        let found = hub.as_deref().and_then(|hub| match &hub.properties {
            Properties::Hub(hub) => hub.endpoints.iter().find(|one| one.name == self.place.endpoint),
            _ => None,
        });
        match found.map(|endpoint| &endpoint.target) {
            Some(EndpointTarget::External { connection_string }) => {
                let (_, event_hub) = external_event_hub(connection_string)
                    .map_err(|error| Refusal::Endpoint(error.message))?;
                Ok((connection_string.clone(), event_hub))
            }
            _ => Err(Refusal::Endpoint("the endpoint is gone".to_owned())),
        }
    }

    async fn connected(&self, target: &Setting) -> std::result::Result<EventHubs, Refusal> {
        let mut connection = self.connection.lock().await;
        if let Some((made_with, client)) = &*connection
            && made_with == target
            && !client.is_closed()
        {
            return Ok(client.clone());
        }
        let away = |why: String| Refusal::Endpoint(why);
        let (policy, _) = external_event_hub(target).map_err(|error| away(error.message))?;
        let tls = self.context.trust.config().map_err(|error| away(error.to_string()))?;
        let endpoint = Endpoint {
            host: policy.host().to_owned(),
            port: policy.port().unwrap_or(AMQPS),
            address: None,
            tls,
        };
        let client = EventHubs::connect(&endpoint, &policy).await.map_err(|error| away(error.to_string()))?;
        *connection = Some((target.clone(), client.clone()));
        Ok(client)
    }

    async fn put_aside(
        &self,
        record: &Record,
        attempts: u32,
        reason: String,
        fence: Option<&Fence>,
    ) -> Result<()> {
        let Place { hub, endpoint, partition } = &self.place;
        tracing::warn!(%hub, endpoint, partition, sequence_number = record.sequence_number, reason, "the event becomes a dead letter");
        metrics::counter!("pollux_routing_events_total", "outcome" => "dead").increment(1);
        let stream = Stream::waiting(hub, endpoint);
        let letter = DeadLetter {
            id: 0,
            app: OwnerName::of_hub(hub),
            function: endpoint.clone(),
            namespace: stream.owner,
            event_hub: stream.event_hub,
            partition: *partition,
            sequence_number: record.sequence_number,
            enqueued: record.enqueued_time,
            failed: self.context.clock.now(),
            attempts,
            reason,
            payload: record.payload.to_vec(),
        };
        self.context.put_aside(letter, fence).await
    }
}

/// What a service says of an event itself; all else is about the endpoint, and may pass.
fn is_of_the_event(said: &pollux_amqp::Symbol) -> bool {
    [
        condition::LINK_MESSAGE_SIZE_EXCEEDED,
        condition::ARGUMENT_ERROR,
        condition::DECODE_ERROR,
        condition::INVALID_FIELD,
    ]
    .contains(said)
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

/// The device an event is of, as the hub wrote it down.
fn device_of(record: &Record) -> String {
    let message = Message::decode(record.payload.clone()).ok();
    let device = message.as_ref().and_then(|message| {
        message.message_annotations.get("iothub-connection-device-id").and_then(pollux_amqp::Value::as_str)
    });
    device.unwrap_or_default().to_owned()
}

/// The policy and name of an event hub elsewhere.
pub(crate) fn external_event_hub(text: &Setting) -> Result<(ConnectionString, String)> {
    let form = "Endpoint=sb://<host>/;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=<event hub>";
    let wrong = |what: &str| {
        Error::invalid(format!("the connection string of the endpoint {what}; it must be {form}"))
    };
    let parsed: ConnectionString =
        text.0.parse().map_err(|error| wrong(&format!("does not hold ({error})")))?;
    let has = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.is_empty());
    if !parsed.is_endpoint {
        return Err(wrong("has no Endpoint"));
    }
    if !has(&parsed.key_name) || !has(&parsed.key) {
        return Err(wrong("names no policy with its key"));
    }
    match parsed.entity_path.clone().filter(|path| !path.is_empty()) {
        Some(event_hub) => Ok((parsed, event_hub)),
        None => Err(wrong("names no event hub")),
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

    #[test]
    fn a_connection_string_must_lead_to_an_event_hub() {
        let whole = "Endpoint=sb://ns.example/;SharedAccessKeyName=p;SharedAccessKey=a2V5;EntityPath=alarms";
        let (policy, event_hub) = external_event_hub(&Setting(whole.to_owned())).unwrap();
        assert_eq!((policy.host(), event_hub.as_str()), ("ns.example", "alarms"));
        for left_out in [
            "Endpoint=sb://ns.example/;",
            "SharedAccessKeyName=p;",
            "SharedAccessKey=a2V5;",
            ";EntityPath=alarms",
        ] {
            let error = external_event_hub(&Setting(whole.replace(left_out, ""))).unwrap_err();
            assert!(!error.message.contains("a2V5"), "the key shows: {}", error.message);
        }
    }
}
