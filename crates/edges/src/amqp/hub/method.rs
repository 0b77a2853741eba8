//! A device is asked and answers: direct methods (`amqp_device_method_client.js` of npm's azure-iot-device-amqp).
//!
//! ```text
//!   ◀─ correlation id (a UUID), application property IoThub-methodname, the payload as JSON
//!   ─▶ the same correlation id, application property IoThub-status, the answer's payload as JSON
//! ```

use bytes::Bytes;
use pollux_amqp::endpoint::Delivery;
use pollux_amqp::performative::DeliveryState;
use pollux_amqp::{ApplicationProperties, Body, Message, MessageId, Properties, Value};
use pollux_model::{Error, Result};
use pollux_services::hub::{MethodAnswer, MethodCall};
use serde_json::Value as Json;
use uuid::{Builder, Uuid};

use super::condition::hub_error;
use super::telemetry::{body, malformed};
use super::{HubLink, SeatId};
use crate::amqp::connection::{Connection, Link};

/// Answers a device may have under way.
pub(super) const CREDIT: u32 = 64;
/// Requests that wait for the device's credit: as many as it may have to answer, and some that nobody waits for any more.
const WAITING: usize = 128;
const NAME: &str = "IoThub-methodname";
const STATUS: &str = "IoThub-status";

/// The correlation id of a request: the number it was asked under, in the form of a random UUID, which is the one that npm's
/// client gives back with its type.
fn correlation(seat: SeatId, id: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&id.to_be_bytes()[2..]);
    bytes[9..].copy_from_slice(&seat.to_be_bytes()[1..]);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// The number under which was asked; 0, which nobody was, where it is none of this seat's.
fn number(seat: SeatId, id: &MessageId) -> u64 {
    let uuid = match id {
        MessageId::Uuid(uuid) => Some(*uuid),
        MessageId::String(text) => Uuid::parse_str(text).ok(),
        MessageId::Binary(bytes) => Uuid::from_slice(bytes).ok(),
        MessageId::Ulong(_) => None,
    };
    let Some(uuid) = uuid else { return 0 };
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&uuid.as_bytes()[..6]);
    let number = u64::from_be_bytes(bytes);
    if correlation(seat, number) == uuid { number } else { 0 }
}

/// What a device is asked.
pub(super) fn message(seat: SeatId, id: u64, call: &MethodCall) -> Message {
    let mut application = ApplicationProperties::default();
    application.push(NAME, call.name.clone());
    let correlation_id = Some(MessageId::Uuid(correlation(seat, id)));
    Message {
        properties: Some(Properties { correlation_id, ..Properties::default() }),
        application_properties: application,
        body: Body::data(call.payload.to_string()),
        ..Message::default()
    }
}

/// The number under which was asked, and the answer.
fn answer(seat: SeatId, payload: Bytes) -> Result<(u64, MethodAnswer)> {
    let message = Message::decode(payload).map_err(malformed)?;
    let status = match message.application_properties.get(STATUS) {
        Some(Value::Int(status)) => Some(*status),
        Some(Value::Long(status)) => i32::try_from(*status).ok(),
        Some(Value::Uint(status)) => i32::try_from(*status).ok(),
        Some(Value::Short(status)) => Some((*status).into()),
        Some(Value::Byte(status)) => Some((*status).into()),
        Some(other) => other.as_str().and_then(|text| text.parse().ok()),
        None => None,
    };
    let status = status.ok_or_else(|| Error::invalid(format!("{STATUS} must be a number")))?;
    let id = message.properties.and_then(|properties| properties.correlation_id);
    let id = id.ok_or_else(|| Error::invalid("a method's answer bears the correlation id of its request"))?;
    let payload = match body(message.body)?.trim_ascii() {
        [] => Json::Null,
        text => serde_json::from_slice(text)
            .map_err(|error| Error::invalid(format!("a method's answer must be JSON: {error}")))?,
    };
    Ok((number(seat, &id), MethodAnswer { status, payload }))
}

impl Connection {
    /// Sends a device what it is asked.
    pub(super) fn for_methods(&mut self, number: SeatId, message: &Message) {
        let links = self.hubs.seats.get(&number).into_iter().flat_map(|seat| &seat.links);
        let id =
            links.copied().find(|id| matches!(self.links.get(id), Some(Link::Hub(HubLink::Methods { .. }))));
        let Some(id) = id else { return };
        if let Some(Link::Hub(HubLink::Methods { waiting, .. })) = self.links.get_mut(&id)
            && let Err(error) = waiting.put(message.encode(), WAITING)
        {
            self.detach(id, &error);
        }
        self.send_answers();
    }

    /// A device answers. An answer that nobody waits for is passed over.
    pub(super) fn method_answered(&mut self, seat: SeatId, delivery: Delivery) {
        let Delivery { link, id, settled, payload, .. } = delivery;
        let state = match answer(seat, payload) {
            Ok((number, answer)) => {
                if let Some(seat) = self.hubs.seats.get(&seat) {
                    seat.link.0.answered(number, answer);
                }
                DeliveryState::Accepted
            }
            Err(error) => DeliveryState::rejected(hub_error(&error)),
        };
        if !settled {
            self.endpoint.settle(link, id, state);
        }
        self.endpoint.grant(link, CREDIT);
    }

    /// A message came on a device's link.
    pub(in crate::amqp) fn delivered_to_hub(&mut self, delivery: Delivery) {
        match self.links.get(&delivery.link) {
            Some(Link::Hub(HubLink::TwinRequests { seat, .. })) => self.twin_asked(*seat, delivery),
            Some(Link::Hub(HubLink::MethodAnswers { seat })) => self.method_answered(*seat, delivery),
            // The engine lets nothing come on links where we send.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_correlation_id_leads_back_to_its_request_only() {
        for (seat, id) in [(1, 1), (7, 0x1234_5678), (u64::from(u32::MAX), (1 << 48) - 1)] {
            let uuid = correlation(seat, id);
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (4, uuid::Variant::RFC4122));
            assert_eq!(number(seat, &MessageId::Uuid(uuid)), id);
            assert_eq!(number(seat, &MessageId::String(uuid.to_string())), id);
            assert_eq!(number(seat + 1, &MessageId::Uuid(uuid)), 0);
        }
        assert_eq!(number(1, &MessageId::Uuid(Uuid::from_bytes([0xff; 16]))), 0);
        assert_eq!(number(1, &MessageId::String("x".to_owned())), 0);
    }

    #[test]
    fn answers_of_the_sdks_are_read() {
        let call = MethodCall { name: "reboot".to_owned(), payload: json!({"a": 1}) };
        let asked = message(3, 9, &call);
        assert_eq!(asked.application_properties.get(NAME), Some(&Value::from("reboot")));
        let said = |status: Option<Value>, body: &str| {
            let mut message = Message {
                properties: asked.properties.clone(),
                body: Body::data(body.to_owned()),
                ..Message::default()
            };
            if let Some(status) = status {
                message.application_properties.push(STATUS, status);
            }
            answer(3, message.encode())
        };
        let good = MethodAnswer { status: -5, payload: json!("x") };
        assert_eq!(said(Some(Value::Int(-5)), "\"x\"").unwrap(), (9, good));
        assert_eq!(said(Some(Value::from("200")), "").unwrap().1.payload, Json::Null);
        for (status, body) in [(None, "{}"), (Some(Value::from("ok")), "{}"), (Some(Value::Int(200)), "{")] {
            assert!(said(status, body).is_err(), "{body}");
        }
        assert!(answer(3, Bytes::from_static(b"\xff")).is_err());
    }
}
