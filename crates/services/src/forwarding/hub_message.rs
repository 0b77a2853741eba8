//! Messages of hubs for those who take no AMQP: as a line of JSON, as an Avro record, as a CloudEvent.
//!
//! Azure articles "IoT Hub endpoints" (section "Storage as a routing endpoint") and "Azure IoT Hub and Event Grid" ("Event schema"): a
//! body is JSON where its content type and encoding say so, and base64 else.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use pollux_amqp::{Message, MessageId, Value as Amqp};
use pollux_eventlog::Record;
use pollux_model::Timestamp;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::hub::json_text;

/// System properties: what they are in an event hub, in a blob, in a CloudEvent.
const ANNOTATIONS: [(&str, &str); 10] = [
    ("iothub-connection-device-id", "connectionDeviceId"),
    ("iothub-connection-module-id", "connectionModuleId"),
    ("iothub-connection-auth-method", "connectionAuthMethod"),
    ("iothub-connection-auth-generation-id", "connectionDeviceGenerationId"),
    ("iothub-enqueuedtime", "enqueuedTime"),
    ("iothub-creation-time-utc", "creationTimeUtc"),
    ("iothub-message-source", "iothub-message-source"),
    ("iothub-outputname", "outputName"),
    ("dt-dataschema", "dt-dataschema"),
    ("dt-subject", "dt-subject"),
];

/// Whose names system properties have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Those of blobs.
    Blob,
    /// Those of Event Grid.
    EventGrid,
}

/// A message of a hub.
pub(super) struct HubMessage {
    message: Message,
    pub(super) body: Bytes,
    enqueued: Timestamp,
}

impl HubMessage {
    /// Reads what waits; `None` for what no hub wrote.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let message = Message::decode(record.payload.clone()).ok()?;
        let enqueued = match message.message_annotations.get("iothub-enqueuedtime") {
            Some(Amqp::Timestamp(millis)) => Timestamp::from_millis(*millis),
            _ => record.enqueued_time,
        };
        Some(Self { body: message.body.as_bytes()?, message, enqueued })
    }

    /// When the hub took it.
    pub(super) const fn enqueued(&self) -> Timestamp {
        self.enqueued
    }

    /// An annotation, as text.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.message.message_annotations.get(name)?.as_str()
    }

    /// An application property, as text.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.message.application_properties.get(name)?.as_str()
    }

    /// Application properties, in order.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let all = self.message.application_properties.0.iter();
        all.filter_map(|(name, value)| Some((name.as_str(), text(value)?)))
    }

    /// System properties.
    pub(super) fn system(&self, names: Names) -> Vec<(&'static str, Cow<'_, str>)> {
        let annotations = &self.message.message_annotations;
        let mut all: Vec<_> = ANNOTATIONS
            .iter()
            .filter_map(|(grid, blob)| {
                let name = if names == Names::Blob { *blob } else { *grid };
                Some((name, text(annotations.get(grid)?)?))
            })
            .collect();
        let Some(own) = &self.message.properties else { return all };
        let symbol = |symbol: &'_ Option<pollux_amqp::Symbol>| {
            symbol.as_ref().map(|symbol| Cow::Owned(symbol.as_str().to_owned()))
        };
        let user = own.user_id.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
        for (grid, blob, value) in [
            ("iothub-content-type", "contentType", symbol(&own.content_type)),
            ("iothub-content-encoding", "contentEncoding", symbol(&own.content_encoding)),
            ("message-id", "messageId", own.message_id.as_ref().map(id)),
            ("correlation-id", "correlationId", own.correlation_id.as_ref().map(id)),
            ("user-id", "userId", user),
            ("to", "to", own.to.as_deref().map(Cow::Borrowed)),
        ] {
            let name = if names == Names::Blob { blob } else { grid };
            all.extend(value.map(|value| (name, value)));
        }
        all
    }

    /// The body as JSON on one line: as it was written where it says that it is JSON, and is; a string of base64 else.
    pub(super) fn json_body(&self) -> String {
        let own = self.message.properties.as_ref();
        let content_type = own.and_then(|own| own.content_type.as_ref()).map(|symbol| symbol.as_str());
        let encoding = own.and_then(|own| own.content_encoding.as_ref()).map(|symbol| symbol.as_str());
        match json_text(content_type, encoding, &self.body) {
            Some(text) if serde_json::from_str::<IgnoredAny>(&text).is_ok() => {
                // Outside of strings, where JSON has line breaks, they mean nothing.
                if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text.into_owned() }
            }
            _ => format!("\"{}\"", BASE64.encode(&self.body)),
        }
    }

    /// A line of a blob.
    pub(super) fn json_line(&self) -> String {
        let object = |pairs: Map<String, Value>| Value::Object(pairs);
        let properties = self.properties().map(|(name, value)| (name.to_owned(), json!(value)));
        let system =
            self.system(Names::Blob).into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
        let head = json!({
            "EnqueuedTimeUtc": self.enqueued,
            "Properties": object(properties.collect()),
            "SystemProperties": object(system.collect()),
        });
        let mut line = with_member(&head, "Body", &self.json_body());
        line.push('\n');
        line
    }
}

/// An object with one member more, whose value is JSON already and passes as it was written: its numbers would not survive
/// being read.
pub(super) fn with_member(object: &Value, name: &str, json: &str) -> String {
    let mut text = object.to_string();
    let close = text.pop();
    let comma = if text.ends_with('{') { "" } else { "," };
    text.push_str(&format!("{comma}\"{name}\":{json}"));
    text.extend(close);
    text
}

fn text(value: &Amqp) -> Option<Cow<'_, str>> {
    match value {
        Amqp::Timestamp(millis) => Some(Cow::Owned(Timestamp::from_millis(*millis).to_string())),
        Amqp::Bool(value) => Some(Cow::Owned(value.to_string())),
        Amqp::Double(value) => Some(Cow::Owned(value.to_string())),
        Amqp::Uuid(value) => Some(Cow::Owned(value.to_string())),
        value => match value.as_str() {
            Some(text) => Some(Cow::Borrowed(text)),
            None => value.as_i64().map(|number| Cow::Owned(number.to_string())),
        },
    }
}

fn id(id: &MessageId) -> Cow<'_, str> {
    match id {
        MessageId::String(text) => Cow::Borrowed(text),
        MessageId::Ulong(number) => Cow::Owned(number.to_string()),
        MessageId::Uuid(uuid) => Cow::Owned(uuid.to_string()),
        MessageId::Binary(bytes) => Cow::Owned(BASE64.encode(bytes)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pollux_amqp::{Annotations, ApplicationProperties, Body, Properties, Symbol};

    use super::*;

    /// A message as a hub writes it.
    pub(in crate::forwarding) fn record(
        body: &[u8],
        content: Option<(&'static str, &'static str)>,
        properties: &[(&str, &str)],
    ) -> Record {
        let mut annotations = Annotations::default();
        for (name, value) in [
            ("iothub-connection-device-id", Amqp::from("d1")),
            ("iothub-enqueuedtime", Amqp::Timestamp(1_700_000_000_123)),
            ("iothub-message-source", Amqp::from("Telemetry")),
        ] {
            annotations.push(Symbol::new(name).unwrap(), value);
        }
        let own = Properties {
            message_id: Some(MessageId::from("m1")),
            content_type: content.and_then(|(kind, _)| Symbol::new(kind)),
            content_encoding: content.and_then(|(_, encoding)| Symbol::new(encoding)),
            ..Properties::default()
        };
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), Amqp::from(*value)));
        let message = Message {
            message_annotations: annotations,
            properties: Some(own),
            application_properties: ApplicationProperties(properties.collect()),
            body: Body::data(Bytes::copy_from_slice(body)),
            ..Message::default()
        };
        Record {
            sequence_number: 7,
            offset: 0,
            enqueued_time: Timestamp::from_secs(1_700_000_001),
            partition_key: Some("d1".into()),
            payload: message.encode(),
        }
    }

    fn body(bytes: &[u8], content: Option<(&'static str, &'static str)>) -> String {
        HubMessage::read(&record(bytes, content, &[])).unwrap().json_body()
    }

    #[test]
    fn a_body_is_json_where_it_says_so_and_is() {
        let utf16: Vec<u8> = "{\"ä\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf32: Vec<u8> = "[\"é\"]".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let json = "application/json";
        for (bytes, content, expected) in [
            (
                &b"{\"n\":12345678901234567890.10}"[..],
                Some((json, "utf-8")),
                "{\"n\":12345678901234567890.10}",
            ),
            (b"{\n \"a\": 1\r\n}", Some(("Application/JSON; charset=x", "UTF-8")), "{  \"a\": 1  }"),
            (&utf16, Some((json, "utf-16")), "{\"ä\":1}"),
            (&utf32, Some((json, "UTF-32")), "[\"é\"]"),
            (b"{}", Some((json, "gzip")), "\"e30=\""),
            (b"{}", Some(("text/plain", "utf-8")), "\"e30=\""),
            (b"{}", None, "\"e30=\""),
            (b"{", Some((json, "utf-8")), "\"ew==\""),
            (b"\xff", Some((json, "utf-8")), "\"/w==\""),
            (b"", Some((json, "utf-8")), "\"\""),
        ] {
            assert_eq!(body(bytes, content), expected);
        }
    }

    #[test]
    fn a_line_of_a_blob() {
        let it = record(b"{\"t\":1}", Some(("application/json", "utf-8")), &[("level", "hot")]);
        let line = HubMessage::read(&it).unwrap().json_line();
        let expected = json!({
            "EnqueuedTimeUtc": "2023-11-14T22:13:20.1230000Z",
            "Properties": {"level": "hot"},
            "SystemProperties": {
                "connectionDeviceId": "d1",
                "enqueuedTime": "2023-11-14T22:13:20.1230000Z",
                "iothub-message-source": "Telemetry",
                "contentType": "application/json",
                "contentEncoding": "utf-8",
                "messageId": "m1",
            },
            "Body": {"t": 1},
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
    }
}
