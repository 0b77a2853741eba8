//! A device, or a module of one, at its hub over MQTT: which topics mean what (WIRE.md 4.7; Azure article "Communicate with an IoT hub using
//! the MQTT protocol").
//!
//! ```text
//!   devices/{id}/messages/events/{bag}            ─▶ telemetry, acknowledged when durable
//!   devices/{id}/messages/devicebound/{bag}       ◀─ a message from the cloud, completed when it is acknowledged
//!   $iothub/twin/GET/?$rid=R                      ─▶ $iothub/twin/res/200/?$rid=R; with &$metadata=true also $metadata
//!   $iothub/twin/PATCH/properties/reported/?$rid=R ─▶ $iothub/twin/res/204/?$rid=R&$version=N
//!   $iothub/twin/PATCH/properties/desired/?$version=N  ◀─ the service side changed desired properties
//!   $iothub/methods/POST/{name}/?$rid=R           ◀─ the service side asks; $iothub/methods/res/{status}/?$rid=R answers
//! ```
//!
//! A module has `devices/{id}/modules/{id}/messages/events/{bag}`, and `devices/{id}/modules/{id}/inputs/#` to listen to:
//! nothing comes there, for it is an edge device that sends from outputs to inputs.

mod deliveries;
mod desired;
mod devicebound;
mod link;
mod method;
mod telemetry;
mod twin;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Result, Timestamp};
use pollux_mqtt::{PacketId, QoS, Will};
use pollux_services::hub::cloud_to_device::Settle;
use pollux_services::hub::telemetry::Telemetry;
use pollux_services::hub::{Connection, Show};
use pollux_services::{Caller, Services};

use super::mailbox::Mailbox;
use super::session::{BatchEnd, Close, Ending, Handling, Inbound, Receipt, Sent, Session, Subscriptions};
use super::topic;
use link::HubLink;
use twin::Request;

const TWIN_GET: &str = "$iothub/twin/GET/";
const TWIN_REPORT: &str = "$iothub/twin/PATCH/properties/reported/";
const METHOD_ANSWER: &str = "$iothub/methods/res/";
/// What every device may subscribe to, beside its own messages from the cloud.
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
const FILTERS: [&str; 3] = ["$iothub/twin/res/#", DESIRED, METHODS];
const METHODS: &str = "$iothub/methods/POST/#";

/// Who the device is, for all that it asks for.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) services: Arc<Services>,
    pub(super) hub: Arc<Resource>,
    pub(super) caller: Caller,
    pub(super) id: DeviceAddress,
    /// What it announced in its user name.
    pub(super) model_id: Option<String>,
    /// Nothing outlives the connection (`CleanSession` 1).
    pub(super) clean: bool,
}

/// One connected device.
#[derive(Debug)]
pub(super) struct HubSession {
    own: Arc<Own>,
    place: Connection,
    link: Ours,
    /// What an earlier connection left, until this one takes it; then what is left to the next.
    kept: Option<Vec<(String, u8)>>,
    messages: Vec<Telemetry>,
    will: Option<Box<Telemetry>>,
}

/// The link of this connection; whoever waits for an answer hears when it is over.
#[derive(Debug)]
struct Ours(Arc<HubLink>);

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl HubSession {
    /// Takes the device's place among the live connections; the one that had it is closed.
    pub(super) async fn enter(own: Own, will: Option<&Will>, mailbox: Arc<Mailbox>) -> Result<Self> {
        let own = Arc::new(own);
        let link = Ours(Arc::new(HubLink::new(mailbox, Arc::clone(&own))));
        let (hub, ours) = (&own.services.hub, Arc::clone(&link.0));
        let place = hub.connect_device(&own.caller, &own.hub, &own.id, ours).await?;
        let kept = hub.mqtt_session(&own.caller, &own.hub, &own.id).await?;
        let kept = kept.map(|session| session.subscriptions);
        if own.clean && kept.is_some() {
            hub.keep_mqtt_session(&own.caller, &own.hub, &own.id, None).await?;
        }
        let kept = kept.filter(|_| !own.clean);
        let will = will.and_then(|will| own.will(will)).map(Box::new);
        Ok(Self { own, place, link, kept, messages: Vec::new(), will })
    }

    fn accept(&mut self, message: Inbound) -> Result<Handling, Close> {
        if let Some(bag) = self.own.events_bag(&message.topic) {
            let message = self.own.telemetry(bag, message.payload.clone(), message.retain)?;
            self.messages.push(message);
            return Ok(Handling::Batched);
        }
        if let Some(query) = message.topic.strip_prefix(TWIN_GET) {
            let rid = topic::request_id(query)?.to_owned();
            let wanted =
                topic::value(query, "$metadata").is_some_and(|value| value.eq_ignore_ascii_case("true"));
            self.link.0.reads();
            let get = Request::Get(Arc::clone(&self.link.0), Show::metadata(wanted));
            return Ok(twin::handle(Arc::clone(&self.own), rid, get));
        }
        if let Some(query) = message.topic.strip_prefix(TWIN_REPORT) {
            let rid = topic::request_id(query)?.to_owned();
            return Ok(twin::handle(Arc::clone(&self.own), rid, Request::Report(message.payload)));
        }
        if let Some(rest) = message.topic.strip_prefix(METHOD_ANSWER) {
            let (id, answer) = method::answer(rest, &message.payload)?;
            self.link.0.answered(id, answer);
            return Ok(Handling::Done);
        }
        Err(Close::because(format!(
            "a topic that is not this device's: '{}'",
            pollux_model::ids::shown(&message.topic)
        )))
    }
}

impl Session for HubSession {
    fn publish(&mut self, message: Inbound) -> Handling {
        self.accept(message).unwrap_or_else(Handling::Close)
    }

    fn batch(&mut self) -> BoxFuture<'static, BatchEnd> {
        let (own, messages) = (Arc::clone(&self.own), std::mem::take(&mut self.messages));
        Box::pin(async move { own.send_all(messages).await })
    }

    fn subscribe(&mut self, filter: &str) -> bool {
        if FILTERS.contains(&filter) {
            if filter == METHODS {
                self.link.0.listens(true);
            }
            return true;
        }
        let own = self.own.own_topic(filter, |id, own| id == own);
        matches!(
            (own, &self.own.id.module),
            (Some("messages/devicebound/#"), None) | (Some("inputs/#"), Some(_))
        )
    }

    fn unsubscribe(&mut self, filter: &str) {
        if filter == METHODS {
            self.link.0.listens(false);
        }
    }

    fn resumed(&mut self) -> Option<Subscriptions> {
        let kept = self.kept.clone()?;
        let qos = |qos: u8| if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let known: Subscriptions = kept
            .into_iter()
            .filter(|(filter, _)| self.subscribe(filter))
            .map(|(filter, granted)| (filter.into(), qos(granted)))
            .collect();
        self.link.0.subscribed(self.own.listens(&known), hears(&known));
        Some(known)
    }

    fn keep(&mut self, subscriptions: &Subscriptions) -> Option<BoxFuture<'static, Result<(), Close>>> {
        let (own, link) = (Arc::clone(&self.own), Arc::clone(&self.link.0));
        let (listens, hears) = (own.listens(subscriptions), hears(subscriptions));
        let mut now: Vec<_> =
            subscriptions.iter().map(|(filter, qos)| (filter.to_string(), *qos as u8)).collect();
        now.sort();
        if own.clean || self.kept.as_ref() == Some(&now) {
            link.subscribed(listens, hears);
            return None;
        }
        self.kept = Some(now.clone());
        Some(Box::pin(async move {
            let kept = own.services.hub.keep_mqtt_session(&own.caller, &own.hub, &own.id, Some(now)).await;
            kept.map_err(|error| Close::because(format!("the session cannot be kept: {error}")))?;
            // The messages come behind the answer.
            link.subscribed(listens, hears);
            Ok(())
        }))
    }

    fn sent(&mut self, receipt: Receipt, sent: Sent) {
        self.link.0.deliveries.sent(&receipt, sent);
    }

    fn acknowledged(&mut self, packet_id: PacketId) {
        self.link.0.deliveries.acknowledged(packet_id);
    }

    fn expires(&self) -> Option<Timestamp> {
        self.own.caller.expires
    }

    fn ended(self: Box<Self>, how: Ending) -> Option<BoxFuture<'static, ()>> {
        let Self { own, place, will, link, .. } = *self;
        let publish = match how {
            Ending::Goodbye | Ending::Shutdown => false,
            Ending::Lost => true,
            // The device is there still, only elsewhere; one that was disabled or deleted has nothing more to say.
            Ending::Closed => place.superseded(),
        };
        let will = will.filter(|_| publish);
        drop(place);
        // It is none of the device's doing that the server stops.
        let settle = if how == Ending::Shutdown { Settle::Release } else { Settle::Abandon };
        let held = link.0.deliveries.end(settle);
        if will.is_none() && held.is_none() {
            return None;
        }
        Some(Box::pin(async move {
            if let Some(will) = will {
                own.send_all(vec![*will]).await;
            }
            if let Some(held) = held {
                held.await;
            }
        }))
    }
}

/// Whether changes of desired properties are among what the device subscribed to.
fn hears(subscriptions: &Subscriptions) -> bool {
    subscriptions.iter().any(|(filter, _)| *filter == DESIRED)
}

impl Own {
    /// Sends messages in their order; they go to the disk together.
    async fn send_all(&self, messages: Vec<Telemetry>) -> BatchEnd {
        let taken = self.services.hub.telemetry(&self.caller, &self.hub, &self.id, messages).await;
        BatchEnd {
            durable: taken.durable,
            close: taken.refused.map(|error| Close::because(format!("a message is refused: {error}"))),
        }
    }
}
