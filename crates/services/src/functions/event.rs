//! What the functions read of an event: the AMQP message's parts by the names Azure's triggers give them.

use pollux_amqp::{Message, Value as AmqpValue};
use pollux_eventlog::Record;
use pollux_model::{Error, Result, Timestamp};
use serde_json::Value;

/// An event taken apart.
#[derive(Debug)]
pub(super) struct Event {
    message: Message,
    /// When it was enqueued; strictly grows in a partition.
    pub(super) enqueued: Timestamp,
}

impl Event {
    pub(super) fn decode(record: &Record) -> Result<Self> {
        let message = Message::decode(record.payload.clone())
            .map_err(|error| Error::invalid(format!("the event is no AMQP message: {error}")))?;
        Ok(Self { message, enqueued: record.enqueued_time })
    }

    /// A system property such as `iothub-connection-device-id`.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.message.message_annotations.get(name).and_then(AmqpValue::as_str)
    }

    /// An application property such as `opType`.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.message.application_properties.get(name).and_then(AmqpValue::as_str)
    }

    /// The content type, without parameters, in lower case.
    pub(super) fn content_type(&self) -> Option<String> {
        let text = self.message.properties.as_ref()?.content_type.as_ref()?.as_str();
        Some(text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase())
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value> {
        let body = self.message.body.as_bytes().unwrap_or_default();
        serde_json::from_slice(&body).map_err(|error| Error::invalid(format!("the body is no JSON: {error}")))
    }

    /// When the value was measured: what the device says, as long as it is not in the future, else when the event was
    /// enqueued.
    pub(super) fn measured(&self) -> Timestamp {
        let said =
            self.property("iothub-creation-time-utc").or_else(|| self.annotation("iothub-creation-time-utc"));
        said.and_then(Timestamp::parse).map_or(self.enqueued, |said| said.min(self.enqueued))
    }
}
