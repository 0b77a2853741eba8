//! A device's messages as the hub takes them (Azure article "Create and read IoT Hub messages"; `amqp_message.js` of npm's
//! azure-iot-amqp-base).

use bytes::Bytes;
use pollux_amqp::{Annotations, ApplicationProperties, Body, Message, MessageId, Value};
use pollux_model::{Error, ErrorCode, Result, Timestamp};
use pollux_services::events::{BATCH_FORMAT, Sent};
use pollux_services::hub::hub_event::System;
use pollux_services::hub::telemetry::Telemetry;

use super::Own;

/// Messages that a batch may carry.
const MOST: usize = 2_000;
/// A system property that AMQP has a field of its own for, where a client sets it by its name instead.
/// The output of a module that a message came out of, as its client says it (`amqp.js` of npm's azure-iot-device-amqp).
const OUTPUT: &str = "iothub-outputname";
const CREATION_TIME: &str = "iothub-creation-time-utc";
/// The component that a message is from.
const COMPONENT: &str = "dt-subject";

/// Appends what came together, in its order; the end of each. What is one message for AMQP may be a batch of many: it is
/// acknowledged when all are durable.
pub(in crate::amqp) async fn keep(own: &Own, sent: Vec<Sent>) -> Vec<Result<()>> {
    let mut ends: Vec<Result<()>> = Vec::with_capacity(sent.len());
    let mut messages = Vec::new();
    // Which delivery each message is of.
    let mut of = Vec::new();
    for (at, sent) in sent.into_iter().enumerate() {
        match own.messages(sent) {
            Ok(opened) => {
                of.extend(opened.iter().map(|_| at));
                messages.extend(opened);
                ends.push(Ok(()));
            }
            Err(error) => ends.push(Err(error)),
        }
    }
    let mut first = 0;
    while !messages.is_empty() {
        let taken = own.services.hub.telemetry(&own.caller, &own.hub, &own.id, messages.clone()).await;
        let Some(error) = taken.refused else { break };
        let refused = of.get(first + taken.durable).copied();
        // What is wrong with one message is no fault of those behind it; an event log that is away is.
        let rest = if matches!(error.code, ErrorCode::TooLarge | ErrorCode::InvalidArgument) {
            of.iter().skip(first + taken.durable).take_while(|at| Some(**at) == refused).count()
        } else {
            messages.len() - taken.durable
        };
        for at in of.iter().skip(first + taken.durable).take(rest) {
            ends[*at] = Err(error.clone());
        }
        first += taken.durable + rest;
        messages.drain(..taken.durable + rest);
    }
    ends
}

impl Own {
    fn messages(&self, sent: Sent) -> Result<Vec<Telemetry>> {
        if sent.format != BATCH_FORMAT {
            return Ok(vec![self.telemetry(sent.message)?]);
        }
        let outer = Message::decode(sent.message).map_err(malformed)?;
        let Body::Data(inner) = outer.body else {
            return Err(Error::invalid("a batch carries its messages in data sections"));
        };
        if inner.len() > MOST {
            return Err(Error::invalid(format!("a batch carries at most {MOST} messages")));
        }
        inner.into_iter().map(|one| self.telemetry(one)).collect()
    }

    fn telemetry(&self, message: Bytes) -> Result<Telemetry> {
        let message = Message::decode(message).map_err(malformed)?;
        let properties = message.properties.unwrap_or_default();
        let annotation = |name| annotated(&message.message_annotations, name);
        let mut system = System {
            message_id: properties.message_id.as_ref().map(id_text),
            correlation_id: properties.correlation_id.as_ref().map(id_text),
            user_id: properties.user_id.and_then(|id| String::from_utf8(id.to_vec()).ok()),
            to: properties.to,
            content_type: properties.content_type.map(|text| text.as_str().to_owned()),
            content_encoding: properties.content_encoding.map(|text| text.as_str().to_owned()),
            creation_time: properties
                .creation_time
                .map(|millis| Timestamp::from_millis(millis).to_string())
                .or_else(|| annotation(CREATION_TIME)),
            model_id: self.model_id.clone(),
            component: annotation(COMPONENT),
            ..System::default()
        };
        let mut own = application_properties(&message.application_properties)?;
        if let Some(at) = own.iter().position(|(name, _)| name == CREATION_TIME) {
            system.creation_time = Some(own.remove(at).1);
        }
        if let Some(at) = own.iter().position(|(name, _)| self.id.module.is_some() && name == OUTPUT) {
            system.output = Some(own.remove(at).1);
        }
        Ok(Telemetry { properties: own, system, body: body(message.body)? })
    }
}

/// Application properties, in order, as texts.
pub(super) fn application_properties(properties: &ApplicationProperties) -> Result<Vec<(String, String)>> {
    let read = |(name, value): &(String, Value)| match text(value) {
        Some(text) => Ok((name.clone(), text)),
        None => Err(Error::invalid(format!("the property '{}' is no text", pollux_model::ids::shown(name)))),
    };
    properties.0.iter().map(read).collect()
}

/// What a message says, in bytes; one without a body says nothing.
pub(super) fn body(body: Body) -> Result<Bytes> {
    match body {
        Body::Empty | Body::Value(Value::Null) => Ok(Bytes::new()),
        Body::Value(Value::String(text)) => Ok(text.into()),
        Body::Value(Value::Binary(bytes)) => Ok(bytes),
        Body::Data(_) => body.as_bytes().ok_or_else(Error::internal),
        Body::Value(_) | Body::Sequence(_) => Err(Error::invalid("the body must be bytes or a text")),
    }
}

pub(super) fn malformed(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("not an AMQP message: {error}"))
}

fn annotated(annotations: &Annotations, name: &str) -> Option<String> {
    annotations.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The name of a message as text.
pub(super) fn id_text(id: &MessageId) -> String {
    match id {
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => uuid.to_string(),
        MessageId::String(text) => text.clone(),
        MessageId::Binary(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        },
    }
}

/// A simple value as text: a hub's properties are texts. `None` for what has parts.
fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Symbol(symbol) => symbol.as_str().to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Ubyte(number) => number.to_string(),
        Value::Ushort(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Ulong(number) => number.to_string(),
        Value::Byte(number) => number.to_string(),
        Value::Short(number) => number.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Char(one) => one.to_string(),
        Value::Timestamp(millis) => Timestamp::from_millis(*millis).to_string(),
        Value::Uuid(uuid) => uuid.to_string(),
        Value::Null => String::new(),
        _ => return None,
    })
}
