//! Notifications: what is told of a change or of telemetry, as a `CloudEvents` 1.0 event.
//!
//! Azure article "Event notifications". The stored form is the binary mode of the AMQP binding of `CloudEvents`: attributes
//! are application properties (`cloudEvents:type`, …), the content type is the message's, the body is the data.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_amqp::{ApplicationProperties, Body, Message, Properties, Symbol, Value as Amqp};
use pollux_model::{Random, Timestamp};
use serde_json::{Value, json};

use super::change::Change;
use super::document::{self, METADATA, MODEL};
use super::json_patch::Operation;
use crate::forwarding::{OF_RELATIONSHIP, OF_TWIN, PREFIX};
use crate::trace::Trace;

/// The most data may be, so that with all that goes around it the event log takes it (Event Hubs' 1 MiB): a notification
/// that cannot be kept would be a change that nobody hears of.
const LARGEST: usize = 768 * 1024;
const JSON: &str = "application/json";
/// What may stand in a segment of a URI as it is (RFC 3986, `pchar`).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The type, and the family that older filters ask for as `$eventType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(&'static str, &'static str);

const LIFECYCLE: &str = "DigitalTwinLifecycleNotification";
const CHANGE: &str = "DigitalTwinChangeNotification";
const RELATIONSHIP: &str = "DigitalTwinRelationshipChangeNotification";
const TELEMETRY: Kind = Kind("microsoft.iot.telemetry", "DigitalTwinTelemetryMessages");

/// What happened.
#[derive(Debug)]
pub(super) struct Notification {
    /// The twin whose notifications are told in order.
    pub(super) twin: String,
    kind: Kind,
    id: String,
    source: String,
    subject: Option<String>,
    time: String,
    dataschema: Option<String>,
    traceparent: String,
    /// CloudEvents' extension "Distributed Tracing"; Azure's articles do not list it.
    tracestate: Option<String>,
    data: Value,
    /// The data as it is to be passed on, where that is not up to us.
    text: Option<Bytes>,
}

/// Telemetry of a twin or component.
pub(super) struct Telemetry {
    pub(super) twin: String,
    pub(super) component: Option<String>,
    pub(super) id: String,
    /// As the sender wrote it.
    pub(super) time: Option<String>,
    /// The model of the twin or component.
    pub(super) model: String,
    pub(super) data: Value,
    pub(super) text: Bytes,
}

impl Notification {
    /// Of a change; `host` is the instance's host name, `trace` that of the request (OpenAPI of digital twins, parameter
    /// `traceparent`).
    pub(super) fn of_change(
        change: &Change,
        host: &str,
        now: Timestamp,
        (trace, random): (Option<&Trace>, &dyn Random),
    ) -> Self {
        let (kind, data) = told(change);
        Self {
            twin: change.twin().to_owned(),
            kind,
            id: random.uuid().to_string(),
            source: host.to_owned(),
            subject: Some(subject(change)),
            time: now.to_string(),
            dataschema: None,
            traceparent: Trace::next(trace, random),
            tracestate: trace.and_then(|trace| trace.state.clone()),
            data,
            text: None,
        }
    }

    /// Of telemetry.
    pub(super) fn of_telemetry(
        telemetry: Telemetry,
        host: &str,
        now: Timestamp,
        (trace, random): (Option<&Trace>, &dyn Random),
    ) -> Self {
        Self {
            source: format!("{host}{OF_TWIN}{}", utf8_percent_encode(&telemetry.twin, ESCAPED)),
            twin: telemetry.twin,
            kind: TELEMETRY,
            id: telemetry.id,
            subject: telemetry.component,
            time: telemetry.time.unwrap_or_else(|| now.to_string()),
            dataschema: Some(telemetry.model),
            traceparent: Trace::next(trace, random),
            tracestate: trace.and_then(|trace| trace.state.clone()),
            data: telemetry.data,
            text: Some(telemetry.text),
        }
    }

    /// The AMQP message that readers of an event hub get.
    pub(super) fn encode(&self) -> Bytes {
        let mut attributes = ApplicationProperties::default();
        let mut attribute = |name: &str, value: &str| {
            attributes.push(format!("{PREFIX}{name}"), Amqp::String(value.to_owned()));
        };
        attribute("id", &self.id);
        attribute("source", &self.source);
        attribute("specversion", "1.0");
        attribute("type", self.kind.0);
        attribute("time", &self.time);
        if let Some(subject) = &self.subject {
            attribute("subject", subject);
        }
        if let Some(dataschema) = &self.dataschema {
            attribute("dataschema", dataschema);
        }
        // The binding says it by the content type alone; Azure's articles list it with the others.
        attribute("datacontenttype", JSON);
        attribute("traceparent", &self.traceparent);
        if let Some(tracestate) = &self.tracestate {
            attribute("tracestate", tracestate);
        }
        let data = self.text.clone().unwrap_or_else(|| fitting(&self.data).into());
        let content_type = Some(Symbol::from_static(JSON));
        Message {
            properties: Some(Properties { content_type, ..Properties::default() }),
            application_properties: attributes,
            body: Body::data(data),
            ..Message::default()
        }
        .encode()
    }
}

impl pollux_query::notifications::Notification for Notification {
    fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "id" => Some(&self.id),
            "source" => Some(&self.source),
            "specversion" => Some("1.0"),
            "type" => Some(self.kind.0),
            // "If the telemetry isn't emitted from a component, then its subject field is empty."
            "subject" => Some(self.subject.as_deref().unwrap_or_default()),
            "time" => Some(&self.time),
            "dataschema" => self.dataschema.as_deref(),
            "datacontenttype" => Some(JSON),
            "traceparent" => Some(&self.traceparent),
            "$eventType" => Some(self.kind.1),
            _ => None,
        }
    }

    fn body(&self) -> Option<&Value> {
        Some(&self.data)
    }
}

/// Type and data.
fn told(change: &Change) -> (Kind, Value) {
    match change {
        Change::TwinCreated(twin) => {
            (Kind("Microsoft.DigitalTwins.Twin.Create", LIFECYCLE), document::twin_document(twin))
        }
        Change::TwinDeleted(twin) => {
            (Kind("Microsoft.DigitalTwins.Twin.Delete", LIFECYCLE), document::twin_document(twin))
        }
        Change::TwinUpdated { after, patch, .. } => {
            (Kind("Microsoft.DigitalTwins.Twin.Update", CHANGE), update(&after.model, patch))
        }
        Change::RelationshipCreated(relationship) => (
            Kind("Microsoft.DigitalTwins.Relationship.Create", RELATIONSHIP),
            document::relationship_document(relationship),
        ),
        Change::RelationshipDeleted(relationship) => (
            Kind("Microsoft.DigitalTwins.Relationship.Delete", RELATIONSHIP),
            document::relationship_document(relationship),
        ),
        Change::RelationshipUpdated { model, patch, .. } => {
            (Kind("Microsoft.DigitalTwins.Relationship.Update", RELATIONSHIP), update(model, patch))
        }
    }
}

fn update(model: &str, patch: &[Operation]) -> Value {
    json!({ "modelId": model, "patch": patch.iter().map(Operation::document).collect::<Vec<_>>() })
}

fn subject(change: &Change) -> String {
    match change {
        Change::TwinCreated(_) | Change::TwinUpdated { .. } | Change::TwinDeleted(_) => {
            change.twin().to_owned()
        }
        Change::RelationshipCreated(relationship) | Change::RelationshipDeleted(relationship) => {
            format!("{}{OF_RELATIONSHIP}{}", relationship.source, relationship.id)
        }
        Change::RelationshipUpdated { after, .. } => {
            format!("{}{OF_RELATIONSHIP}{}", after.source, after.id)
        }
    }
}

/// The data as text; without the times in the metadata (which can be many times their properties' size) where it is too
/// long.
fn fitting(data: &Value) -> String {
    let text = data.to_string();
    if text.len() <= LARGEST {
        return text;
    }
    let mut data = data.clone();
    without_times(&mut data);
    data.to_string()
}

fn without_times(document: &mut Value) {
    let Value::Object(members) = document else { return };
    if let Some(Value::Object(metadata)) = members.get_mut(METADATA) {
        metadata.retain(|name, _| name == MODEL);
    }
    // Components are no deeper than this.
    for member in members.values_mut().filter(|member| document::is_component(member)) {
        if let Some(Value::Object(metadata)) = member.get_mut(METADATA) {
            metadata.clear();
        }
    }
}
