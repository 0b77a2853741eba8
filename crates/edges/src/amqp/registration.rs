//! A device registers over AMQP (WIRE.md 4.3; `amqp.js` of npm's azure-iot-provisioning-device-amqp,
//! `ProvisioningTransportHandlerAmqp.cs` of Azure's SDK for C#).
//!
//! ```text
//!   SASL PLAIN {idScope}/registrations/{id} + token ─┐
//!   SASL TPM (see tpm.rs)                            ├─▶ links in both directions at {idScope}/registrations/{id}
//!   a certificate in the TLS handshake ──────────────┘
//!   iotdps-register               ─▶ accepted, answer with retry-after │ rejected with the error and retry-after
//!   iotdps-get-operationstatus    ─▶ the same; no retry-after once it has ended
//! ```
//!
//! Who shows a certificate is not asked who it is before its first link: npm's client begins without SASL then.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{Attached, Delivery, DeliveryId, LinkId};
use pollux_amqp::performative::{DeliveryState, Error as AmqpError, Role, condition};
use pollux_amqp::sasl::Code;
use pollux_amqp::{ApplicationProperties, Body, Message, Properties, Symbol, Value};
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, Result, ids};
use pollux_services::Services;

use super::connection::{Connection, Done, Link};
use super::outbox::Outbox;
use super::request::{Answers, Node};
use crate::peer::Peer;
use crate::provisioning_status;
use crate::registering::{Registering, Reply, is_before_reprovisioning};

/// Requests a device may have under way.
const CREDIT: u32 = 16;
/// Room for what a registration carries beside its payload, in bytes.
const ROOM: usize = 16 * 1024;
/// The word in the middle of the address.
const REGISTRATIONS: &str = "registrations";

/// Where a device registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) scope: &'a str,
    pub(super) id: &'a str,
}

impl<'a> Place<'a> {
    /// `{idScope}/registrations/{registrationId}`, with or without a scheme and host before it.
    pub(super) fn of(address: &'a str) -> Option<Self> {
        let path = match address.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => address,
        };
        let mut parts = path.trim_matches('/').split('/');
        let (scope, word, id) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && !scope.is_empty() && !id.is_empty();
        (whole && word.eq_ignore_ascii_case(REGISTRATIONS)).then_some(Self { scope, id })
    }
}

/// Believes a device's token.
async fn by_token(
    services: Arc<Services>,
    peer: Peer,
    place: (String, String),
    token: String,
) -> Result<Registering> {
    let (scope, id) = place;
    let dps = services.context.table.with_id_scope(&scope).ok_or_else(unknown)?;
    let token =
        SasToken::parse(&token).map_err(|error| Error::new(ErrorCode::Unauthorized, error.to_string()))?;
    let from = Some(peer.address.ip());
    let caller = services.provisioning.attest_by_token(&dps, &id, &token, from).await?;
    Registering::new(services, dps, caller)
}

/// Believes the certificate that the connection began with.
async fn by_certificate(services: Arc<Services>, peer: Peer, place: (String, String)) -> Result<Registering> {
    let (scope, id) = place;
    let dps = services.context.table.with_id_scope(&scope).ok_or_else(unknown)?;
    let chain = peer.chain().ok_or_else(unknown)?;
    let chain = chain.as_ref().map_err(|error| Error::new(ErrorCode::Unauthorized, error.to_string()))?;
    let from = Some(peer.address.ip());
    let caller = services.provisioning.attest_by_certificate(&dps, &id, chain, from).await?;
    Registering::new(services, dps, caller)
}

/// Whether it is no fault of the device: it may be let in the next time.
pub(super) const fn is_ours(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unavailable | ErrorCode::Internal)
}

/// An unknown ID scope, an unknown device and no credential look alike.
pub(super) fn unknown() -> Error {
    Error::new(
        ErrorCode::Unauthorized,
        "the device is not enrolled, or what it shows does not prove that it is this device",
    )
}

impl Connection {
    /// SASL PLAIN of a device.
    pub(super) fn attest_by_token(&mut self, place: Place<'_>, password: &str) {
        let (services, peer) = (Arc::clone(&self.edge.services), self.peer.clone());
        let (place, token) = ((place.scope.to_owned(), place.id.to_owned()), password.to_owned());
        self.work.push(Box::pin(async move {
            let attested = by_token(services, peer, place, token).await;
            Done::Attested(attested.map(Arc::new))
        }));
    }

    /// SASL has its verdict on a device.
    pub(super) fn attested(&mut self, attested: Result<Arc<Registering>>) {
        match attested {
            Ok(device) => {
                self.device = Some(device);
                self.known();
                self.endpoint.sasl_outcome(Code::Ok);
            }
            Err(error) => {
                tracing::info!(peer = %self.peer, "a device is refused: {error}");
                self.endpoint.sasl_outcome(if is_ours(&error) { Code::SystemTemporary } else { Code::Auth });
            }
        }
    }

    /// A device asks for one of its two links; agreed to at once where it has proved who it is.
    pub(super) fn attach_device(&mut self, attached: &Attached, place: Place<'_>) {
        if let Some(device) = self.device.clone().filter(|device| device.is(place.scope, place.id)) {
            self.accept_device(attached, asking(attached, device));
            return;
        }
        // What it showed is looked at once: a refusal that could be asked for again and again would cost us, not the peer.
        if let Some(error) = self.refused.clone() {
            self.accept_device(attached, Link::Refused(error));
            return;
        }
        let (services, peer) = (Arc::clone(&self.edge.services), self.peer.clone());
        let (place, attached) = ((place.scope.to_owned(), place.id.to_owned()), Box::new(attached.clone()));
        self.work.push(Box::pin(async move {
            let attested = by_certificate(services, peer, place).await;
            Done::Admitted { attached, attested: attested.map(Arc::new) }
        }));
    }

    /// A device's certificate was looked at.
    pub(super) fn admitted(&mut self, attached: &Attached, attested: Result<Arc<Registering>>) {
        // Unless the peer has left meanwhile.
        if !self.links.contains_key(&attached.link) {
            return;
        }
        match attested {
            Ok(device) => {
                self.device = Some(Arc::clone(&device));
                self.known();
                self.accept_device(attached, asking(attached, device));
            }
            // It hears so when it asks. npm's client takes a refused link for an open one for a moment, in which it may come to
            // wait for ever.
            Err(error) if self.is_stranger() && self.peer.shows() => {
                let error = Arc::new(error);
                if !is_ours(&error) {
                    self.refused = Some(Arc::clone(&error));
                }
                self.accept_device(attached, Link::Refused(error));
            }
            Err(error) => {
                self.leave(attached.link);
                let error = rejection(&self.edge.services, &error);
                self.endpoint.refuse_attach(attached.link, error);
            }
        }
    }

    /// Agrees to a link of a device; `asking` is what becomes of it where the device sends.
    fn accept_device(&mut self, attached: &Attached, asking: Link) {
        let mut options = attached.agreed();
        let bound = self.edge.services.context.limits.registration_payload + ROOM;
        options.max_message_size = Some(bound as u64);
        options.properties = attached.properties.clone();
        self.endpoint.accept_attach(attached.link, options);
        // The roles are ours: where we receive, the device asks.
        if attached.role == Role::Receiver {
            self.links.insert(attached.link, asking);
            self.endpoint.grant(attached.link, CREDIT);
        } else {
            let answers = Answers { node: Node::Registration, reply_to: None, waiting: Outbox::default() };
            self.links.insert(attached.link, Link::Answers(answers));
        }
    }

    /// Somebody asks who is no device that is enrolled. There is no credit for more than a few such requests.
    pub(super) fn refuse_request(&mut self, error: &Error, delivery: &Delivery) {
        if !delivery.settled {
            let rejection = DeliveryState::rejected(rejection(&self.edge.services, error));
            self.endpoint.settle(delivery.link, delivery.id, rejection);
        }
    }

    /// A device asks.
    pub(super) fn asked_by_device(&mut self, device: Arc<Registering>, stays: bool, delivery: Delivery) {
        let Delivery { link, id, settled, payload, .. } = delivery;
        self.endpoint.grant(link, CREDIT);
        self.asked += 1;
        self.work.push(Box::pin(async move {
            let answer = answer(&device, stays, payload).await.map(Box::new);
            Done::Registered { link, delivery: (!settled).then_some(id), answer }
        }));
    }

    /// What a device asked for is done, or not.
    pub(super) fn registered(
        &mut self,
        link: LinkId,
        delivery: Option<DeliveryId>,
        answer: Result<Box<Message>>,
    ) {
        self.asked -= 1;
        let state = match &answer {
            Ok(_) => DeliveryState::Accepted,
            Err(error) => DeliveryState::rejected(rejection(&self.edge.services, error)),
        };
        if let Some(delivery) = delivery {
            self.endpoint.settle(link, delivery, state);
        }
        if let Ok(message) = answer {
            self.answer(Node::Registration, None, &message);
        }
    }
}

/// The link of a device that asks. In its properties npm's and C#'s clients say which version they speak.
fn asking(attached: &Attached, device: Arc<Registering>) -> Link {
    let version = attached.properties.get("com.microsoft:api-version").and_then(Value::as_str);
    Link::Device { device, stays: version.is_some_and(is_before_reprovisioning) }
}

/// Carries a request out; the answer bears its correlation id.
async fn answer(device: &Registering, stays: bool, payload: Bytes) -> Result<Message> {
    let request =
        Message::decode(payload).map_err(|error| Error::invalid(format!("not an AMQP message: {error}")))?;
    let said = |name: &str| request.application_properties.get(name);
    let text = |name: &str| said(name).and_then(Value::as_str).unwrap_or_default();
    let reply = match text("iotdps-operation-type") {
        "iotdps-register" => {
            let force = match said("iotdps-forceRegistration") {
                Some(Value::Bool(force)) => *force,
                Some(other) => other.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")),
                None => false,
            };
            device.register(device.said(&body(&request.body))?, force, stays).await?
        }
        "iotdps-get-operationstatus" => device.status(text("iotdps-operation-id")).await?,
        other => {
            let other = ids::shown(other);
            return Err(Error::invalid(format!(
                "iotdps-operation-type '{other}' is not known: use iotdps-register or iotdps-get-operationstatus"
            )));
        }
    };
    let asked = request.properties.unwrap_or_default();
    let correlation_id = asked.correlation_id.or(asked.message_id);
    Ok(message(&device.services, &reply, Properties { correlation_id, ..Properties::default() }))
}

fn message(services: &Services, reply: &Reply, properties: Properties) -> Message {
    let mut application = ApplicationProperties::default();
    for (name, seconds) in retry_after(services, reply) {
        application.push(name, seconds);
    }
    Message {
        properties: Some(properties),
        application_properties: application,
        body: Body::Data(vec![Bytes::from(reply.body.to_string())]),
        ..Message::default()
    }
}

/// How long to wait, under both of its names: the SDKs for Node and Java read the first, that for C# the second.
fn retry_after(services: &Services, reply: &Reply) -> Vec<(&'static str, Value)> {
    let Some(seconds) = reply.retry_after(services) else { return Vec::new() };
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    vec![("retry-after", Value::Int(seconds)), ("Retry-After", Value::Int(seconds))]
}

/// The document of a request: JSON as bytes or as a text.
fn body(body: &Body) -> Bytes {
    match body {
        Body::Data(pieces) => match pieces.as_slice() {
            [only] => only.clone(),
            pieces => pieces
                .iter()
                .fold(BytesMut::new(), |mut all, piece| {
                    all.extend_from_slice(piece);
                    all
                })
                .freeze(),
        },
        Body::Value(Value::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Body::Value(Value::Binary(bytes)) => bytes.clone(),
        _ => Bytes::new(),
    }
}

/// Why a request or a link is refused: the condition, the envelope as the description (that is where the SDK for C# looks for
/// the code), and how long to wait where it may be tried again.
fn rejection(services: &Services, error: &Error) -> AmqpError {
    let reply = provisioning_status::refusal(&services.context, error);
    let mut rejection = AmqpError::new(condition_of(reply.status), reply.body.to_string());
    for (name, seconds) in retry_after(services, &reply) {
        rejection.info.push(Symbol::from_static(name), seconds);
    }
    rejection
}

/// What `translateError` of npm's azure-iot-amqp-base makes the right error of: it tries again after the last two only.
const fn condition_of(status: u16) -> Symbol {
    match status {
        401 | 403 => condition::UNAUTHORIZED_ACCESS,
        404 => condition::NOT_FOUND,
        409 => condition::RESOURCE_LOCKED,
        412 => condition::AZURE_PRECONDITION_FAILED,
        413 => condition::LINK_MESSAGE_SIZE_EXCEEDED,
        429 => condition::DEVICE_CONTAINER_THROTTLED,
        500.. => condition::INTERNAL_ERROR,
        _ => condition::ARGUMENT_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_device_registers_is_read_with_and_without_a_host() {
        let place = Place { scope: "0ne0001", id: "dev-1" };
        for address in [
            "0ne0001/registrations/dev-1",
            "amqps://dps.example/0ne0001/registrations/dev-1",
            "/0ne0001/Registrations/dev-1/",
        ] {
            assert_eq!(Place::of(address), Some(place), "{address}");
        }
        for address in [
            "hub1",
            "$cbs",
            "a/b/c",
            "registrations/x",
            "0ne0001/registrations/",
            "amqps://0ne0001",
            "a/registrations/b/c",
        ] {
            assert_eq!(Place::of(address), None, "{address}");
        }
    }

    #[tokio::test]
    async fn what_may_be_tried_again_says_when() {
        let (services, _folder) = crate::fixture::services().await;
        for (code, condition, again) in [
            (ErrorCode::Throttled, "com.microsoft:device-container-throttled", true),
            (ErrorCode::Unavailable, "amqp:internal-error", true),
            (ErrorCode::Unauthorized, "amqp:unauthorized-access", false),
            (ErrorCode::InvalidArgument, "com.microsoft:argument-error", false),
        ] {
            let rejection = rejection(&services, &Error::new(code, "no"));
            assert_eq!(rejection.condition.as_str(), condition);
            for name in ["retry-after", "Retry-After"] {
                assert_eq!(rejection.info.get(name), again.then_some(&Value::Int(1)), "{code:?} {name}");
            }
        }
    }
}
