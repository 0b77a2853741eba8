//! A device asks about its twin and is told of desired properties: requests on one link, answers and changes on the other
//! (`amqp_twin_client.js` of npm's azure-iot-device-amqp, `AmqpsTwinSenderLinkHandler.java` of the SDK for Java).
//!
//! ```text
//!   operation GET                                                  ─▶ status 200, the twin; with metadata true also $metadata
//!   operation PATCH, resource /properties/reported                 ─▶ status 204, version
//!   operation PUT    ┐                                             ─▶ status 200; changes are told from here on
//!   operation DELETE ┴ resource /notifications/twin/properties/desired ─▶ status 200; none are
//!                                                                  ◀─ a change: no correlation id, the patch with its version
//! ```
//!
//! Operation and resource, status and version are message annotations; the correlation id binds an answer to its request. The
//! requests of a device are carried out one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use pollux_amqp::endpoint::{Delivery, DeliveryId, LinkId};
use pollux_amqp::performative::DeliveryState;
use pollux_amqp::{Annotations, Body, Message, Properties, Symbol, Value};
use pollux_model::{Error, ErrorCode, Result, ids};
use pollux_services::hub::Show;
use serde_json::{Map, Value as Json};

use super::telemetry::{body, malformed};
use super::{HubDone, HubLink, Own, SeatId};
use crate::amqp::connection::{Connection, Done, Link};
use crate::mqtt::status;

/// Requests a device may have under way.
pub(super) const CREDIT: u32 = 8;
/// Requests of a device that wait for their turn, over all its links.
const UNDONE: usize = 128;
/// Answers and changes that wait for the device's credit; one that does not keep up loses the link.
const WAITING: usize = 64;
/// Answers that may wait before the next request is looked at.
const UNHEARD: usize = 16;

const REPORTED: &str = "/properties/reported";
const DESIRED: &str = "/notifications/twin/properties/desired";

/// What a device asks, in its order.
#[derive(Debug, Default)]
pub(super) struct Twin {
    waiting: VecDeque<Asked>,
    running: bool,
    /// Whether the device wants to be told of desired properties.
    pub(super) subscribed: bool,
}

/// A request.
#[derive(Debug)]
struct Asked {
    link: LinkId,
    /// To be settled when it is answered.
    delivery: Option<DeliveryId>,
    request: Result<Request>,
    /// What binds the answer to it.
    properties: Properties,
}

#[derive(Debug)]
enum Request {
    Get(Show),
    Report(Bytes),
    Subscribe(bool),
}

/// Status, version, document.
type Answer = (u16, Option<u64>, Bytes);

impl Asked {
    fn read(delivery: Delivery) -> Self {
        let Delivery { link, id, settled, payload, .. } = delivery;
        let (request, properties) = match Message::decode(payload) {
            Ok(message) => {
                let asked = message.properties.clone().unwrap_or_default();
                let correlation_id = asked.correlation_id.or(asked.message_id);
                (Request::of(message), Properties { correlation_id, ..Properties::default() })
            }
            Err(error) => (Err(malformed(error)), Properties::default()),
        };
        Self { link, delivery: (!settled).then_some(id), request, properties }
    }
}

impl Request {
    fn of(message: Message) -> Result<Self> {
        let said = |name| message.message_annotations.get(name).and_then(Value::as_str).unwrap_or_default();
        let (operation, resource) = (said("operation"), said("resource").trim_end_matches('/'));
        let is = |wanted: &str| resource.eq_ignore_ascii_case(wanted);
        match operation.to_ascii_uppercase().as_str() {
            "GET" if resource.is_empty() => Ok(Self::Get(Show::metadata(wants_metadata(&message)))),
            "PATCH" if is(REPORTED) => Ok(Self::Report(body(message.body)?)),
            "PUT" if is(DESIRED) => Ok(Self::Subscribe(true)),
            "DELETE" if is(DESIRED) => Ok(Self::Subscribe(false)),
            _ => Err(Error::invalid(format!(
                "the operation '{}' on '{}' is not known: use GET, PATCH on {REPORTED}, or PUT or DELETE on {DESIRED}",
                ids::shown(operation),
                ids::shown(resource)
            ))),
        }
    }
}

/// What Azure does not have: see `docs/operations/hub.md`.
fn wants_metadata(message: &Message) -> bool {
    message.message_annotations.get("metadata").is_some_and(|value| match value {
        Value::Bool(wanted) => *wanted,
        value => value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")),
    })
}

async fn carried_out(own: &Own, request: Result<Request>) -> Result<Answer> {
    match request? {
        Request::Get(show) => {
            let twin = own.services.hub.own_twin(&own.caller, &own.hub, &own.id, show).await?;
            Ok((200, None, Bytes::from(twin.to_string())))
        }
        Request::Report(body) => {
            let patch: Map<String, Json> = serde_json::from_slice(&body)
                .map_err(|error| Error::invalid(format!("the body must be a JSON object: {error}")))?;
            let version = own.services.hub.report(&own.caller, &own.hub, &own.id, patch).await?;
            Ok((204, Some(version), Bytes::new()))
        }
        Request::Subscribe(_) => Ok((200, None, Bytes::new())),
    }
}

fn answer(own: &Own, properties: Properties, outcome: Result<Answer>) -> Message {
    let (status, version, document) = outcome.unwrap_or_else(|error| {
        let envelope = status::twin_envelope(&own.services.context, &error);
        (status::twin(error.code), None, Bytes::from(envelope.to_string()))
    });
    let mut annotations = Annotations::default();
    annotations.push(Symbol::from_static("status"), Value::Int(status.into()));
    if let Some(version) = version {
        annotations.push(Symbol::from_static("version"), Value::Long(version.cast_signed()));
    }
    Message {
        message_annotations: annotations,
        properties: Some(properties),
        body: Body::data(document),
        ..Message::default()
    }
}

/// The message that tells of a change: the patch with its version inside, as the SDKs read it.
pub(super) fn desired(mut patch: Json, version: u64) -> Message {
    if let Json::Object(patch) = &mut patch {
        patch.insert("$version".into(), version.into());
    }
    let mut annotations = Annotations::default();
    annotations.push(Symbol::from_static("resource"), Value::from(DESIRED));
    annotations.push(Symbol::from_static("version"), Value::Long(version.cast_signed()));
    Message { message_annotations: annotations, body: Body::data(patch.to_string()), ..Message::default() }
}

impl Connection {
    /// A device asks.
    pub(super) fn twin_asked(&mut self, number: SeatId, delivery: Delivery) {
        let Some(seat) = self.hubs.seats.get_mut(&number) else { return };
        // Each link keeps to its credit; links that come and go do not, all together.
        if seat.twin.waiting.len() >= UNDONE {
            let text = format!("more than {UNDONE} requests about the twin wait to be carried out");
            return self.detach(delivery.link, &Error::new(ErrorCode::QuotaExceeded, text));
        }
        seat.twin.waiting.push_back(Asked::read(delivery));
        self.ask_twins(number);
    }

    /// Carries the next request out, if none is under way and the device hears what it is answered.
    fn ask_twins(&mut self, number: SeatId) {
        let unheard = self.twin_link(number, None).and_then(|id| match self.links.get(&id) {
            Some(Link::Hub(HubLink::Twin { waiting, .. })) => Some(waiting.len()),
            _ => None,
        });
        let Some(seat) = self.hubs.seats.get_mut(&number) else { return };
        if seat.twin.running || unheard.is_some_and(|unheard| unheard >= UNHEARD) {
            return;
        }
        let Some(Asked { link, delivery, request, properties }) = seat.twin.waiting.pop_front() else {
            return;
        };
        seat.twin.running = true;
        if let Ok(Request::Subscribe(wanted)) = &request {
            seat.twin.subscribed = *wanted;
        }
        self.asked += 1;
        let own = Arc::clone(&seat.own);
        self.work.push(Box::pin(async move {
            let outcome = carried_out(&own, request).await;
            let answer = Box::new(answer(&own, properties, outcome));
            Done::Hub(HubDone::Twin { seat: number, link, delivery, answer })
        }));
    }

    /// A request was carried out, or refused.
    pub(super) fn twin_answered(
        &mut self,
        number: SeatId,
        (link, delivery): (LinkId, Option<DeliveryId>),
        answer: &Message,
    ) {
        self.asked -= 1;
        if let Some(delivery) = delivery {
            self.endpoint.settle(link, delivery, DeliveryState::Accepted);
        }
        let channel = match self.links.get(&link) {
            Some(Link::Hub(HubLink::TwinRequests { channel, .. })) => channel.clone(),
            _ => None,
        };
        self.for_twin(number, channel.as_deref(), answer);
        let Some(seat) = self.hubs.seats.get_mut(&number) else { return };
        seat.twin.running = false;
        // Of this link only: what waits of another one would leave it without credit for ever.
        let waiting = seat.twin.waiting.iter().filter(|asked| asked.link == link).count();
        let waiting = u32::try_from(waiting).unwrap_or(CREDIT);
        self.endpoint.grant(link, CREDIT.saturating_sub(waiting));
        self.ask_twins(number);
    }

    /// Goes on with requests that waited for the device to hear earlier answers.
    pub(in crate::amqp) fn twin_heard(&mut self, link: LinkId) {
        if let Some(Link::Hub(HubLink::Twin { seat, .. })) = self.links.get(&link) {
            let number = *seat;
            self.send_answers();
            self.ask_twins(number);
        }
    }

    /// Sends a device what it is answered or told: on the link that belongs to this channel, or the one there is.
    pub(super) fn for_twin(&mut self, number: SeatId, channel: Option<&str>, message: &Message) {
        let Some(id) = self.twin_link(number, channel) else { return };
        if let Some(Link::Hub(HubLink::Twin { waiting, .. })) = self.links.get_mut(&id)
            && let Err(error) = waiting.put(message.encode(), WAITING)
        {
            self.detach(id, &error);
        }
        self.send_answers();
    }

    fn twin_link(&self, number: SeatId, wanted: Option<&str>) -> Option<LinkId> {
        let all = || self.hubs.seats.get(&number).into_iter().flat_map(|seat| &seat.links);
        let found = |any: bool| {
            all().find(|id| match self.links.get(id) {
                Some(Link::Hub(HubLink::Twin { channel, .. })) => any || channel.as_deref() == wanted,
                _ => false,
            })
        };
        found(false).or_else(|| found(true)).copied()
    }
}
