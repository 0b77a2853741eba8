//! Events of a hub that are no telemetry, and the AMQP message that each kind becomes.
//!
//! Azure article "IoT Hub non-telemetry event schemas"; names as in WIRE.md section 4.10.

use bytes::Bytes;
use pollux_amqp::{
    Annotations, ApplicationProperties, Body, Message, MessageId, Properties, Symbol, Value as Amqp,
};
use pollux_model::device::Device;
use pollux_model::resource::{Resource, RouteSource};
use pollux_model::{DeviceAddress, Timestamp};
use serde_json::{Map, Value, json};

use super::DesiredChange;
use super::device_twin::side;

/// A message of a hub on its way to the routes: telemetry or an event.
#[derive(Debug, Clone)]
pub struct HubEvent {
    /// Which routes look at it.
    pub source: RouteSource,
    /// The device it is from or about: decides the partition.
    pub device_id: String,
    /// The module of it that it is from or about.
    pub module_id: Option<String>,
    /// Application properties, in order.
    pub properties: Vec<(String, String)>,
    /// System properties, in the names routing queries use and the annotations' names.
    pub system: System,
    /// The body.
    pub body: Bytes,
}

/// System properties of a message.
#[derive(Debug, Clone, Default)]
pub struct System {
    /// `$messageId`.
    pub message_id: Option<String>,
    /// `$correlationId`.
    pub correlation_id: Option<String>,
    /// `$userId`.
    pub user_id: Option<String>,
    /// `$to`.
    pub to: Option<String>,
    /// `$contentType`.
    pub content_type: Option<String>,
    /// `$contentEncoding`.
    pub content_encoding: Option<String>,
    /// `iothub-creation-time-utc`: when the device says it made the message.
    pub creation_time: Option<String>,
    /// `iothub-connection-auth-method`.
    pub auth_method: Option<String>,
    /// `iothub-connection-auth-generation-id`.
    pub generation_id: Option<String>,
    /// `dt-dataschema`: the model the device announced.
    pub model_id: Option<String>,
    /// `dt-subject`: the component the message is from.
    pub component: Option<String>,
    /// The output of a module that it came out of.
    pub output: Option<String>,
    /// When the hub took it.
    pub enqueued: Timestamp,
}

impl HubEvent {
    /// `iothub-message-source` (Azure article "Understand the identity registry in your IoT hub": what befalls modules has
    /// a name of its own, and comes to the routes of devices' lifecycle).
    #[must_use]
    pub const fn annotation(&self) -> &'static str {
        match (self.source, &self.module_id) {
            (RouteSource::DeviceLifecycleEvents, Some(_)) => "moduleLifecycleEvents",
            (source, _) => source.annotation(),
        }
    }
}

/// What happened to a device or module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifecycle {
    Created,
    Deleted,
}

/// A device or module was created or deleted.
pub(super) fn lifecycle(hub: &Resource, device: &Device, what: Lifecycle, now: Timestamp) -> HubEvent {
    let (operation, schema) = match (what, &device.module) {
        (Lifecycle::Created, None) => ("createDeviceIdentity", "deviceLifecycleNotification"),
        (Lifecycle::Deleted, None) => ("deleteDeviceIdentity", "deviceLifecycleNotification"),
        (Lifecycle::Created, Some(_)) => ("createModuleIdentity", "moduleLifecycleNotification"),
        (Lifecycle::Deleted, Some(_)) => ("deleteModuleIdentity", "moduleLifecycleNotification"),
    };
    let twin = &device.twin;
    let mut body = json!({
        "deviceId": device.id,
        "etag": twin.service_etag,
        "version": twin.version,
        "tags": twin.tags,
        "properties": {"desired": side(&twin.desired), "reported": side(&twin.reported)},
    });
    if let Some(module) = &device.module {
        body["moduleId"] = json!(module);
    }
    let kind = Kind { source: RouteSource::DeviceLifecycleEvents, operation, schema };
    of_twin(hub, device, kind, &body, now)
}

/// The service side changed a twin.
pub(super) fn twin_changed(
    hub: &Resource,
    device: &Device,
    tags: Option<&Map<String, Value>>,
    desired: Option<&DesiredChange>,
    replaced: bool,
    now: Timestamp,
) -> HubEvent {
    let twin = &device.twin;
    let mut body = Map::new();
    body.insert("version".into(), json!(twin.version));
    if replaced {
        body.insert("tags".into(), json!(twin.tags));
        let properties = json!({"desired": side(&twin.desired), "reported": side(&twin.reported)});
        body.insert("properties".into(), properties);
    } else {
        if let Some(tags) = tags {
            body.insert("tags".into(), json!(tags));
        }
        if let Some(change) = desired {
            let mut changed = change.patch.clone();
            changed.insert("$version".into(), json!(change.version));
            changed.insert("$metadata".into(), json!(twin.desired.metadata));
            body.insert("properties".into(), json!({"desired": changed}));
        }
    }
    let operation = if replaced { "replaceTwin" } else { "updateTwin" };
    let body = Value::Object(body);
    of_twin(hub, device, Kind::of_twin(operation), &body, now)
}

/// A device reported properties.
pub(super) fn twin_reported(
    hub: &Resource,
    device: &Device,
    patch: &Map<String, Value>,
    now: Timestamp,
) -> HubEvent {
    let reported = &device.twin.reported;
    let mut changed = patch.clone();
    changed.insert("$version".into(), json!(reported.version));
    changed.insert("$metadata".into(), json!(reported.metadata));
    let body = json!({"version": device.twin.version, "properties": {"reported": changed}});
    of_twin(hub, device, Kind::of_twin("updateTwin"), &body, now)
}

/// A device or module connected, or is gone (the article, "Connection state events").
pub(super) fn connection_state(
    hub: &Resource,
    id: &DeviceAddress,
    connected: bool,
    sequence_number: &str,
    now: Timestamp,
) -> HubEvent {
    let kind = Kind {
        source: RouteSource::DeviceConnectionStateEvents,
        operation: if connected { "deviceConnected" } else { "deviceDisconnected" },
        schema: "deviceConnectionStateNotification",
    };
    event(hub, id, kind, json!({"sequenceNumber": sequence_number}).to_string(), now)
}

/// A job did something to a device or module, or failed to: `operation` says what, `body` is the device's part of the job. To be
/// committed with it ([`Hub::outbox`](super::Hub::outbox)). Azure names the source, and documents no schema.
pub(super) fn device_job(
    hub: &Resource,
    id: &DeviceAddress,
    operation: &str,
    body: &Value,
    now: Timestamp,
) -> HubEvent {
    let kind = Kind {
        source: RouteSource::DeviceJobLifecycleEvents,
        operation,
        schema: "deviceJobLifecycleNotification",
    };
    event(hub, id, kind, body.to_string(), now)
}

/// The digital twin of a device with a model changed: a JSON patch that leads from what it was to what it is. To be committed with
/// the change (Azure article "IoT Plug and Play service developer guide", "Read digital twin change notifications").
pub(super) fn digital_twin_changed(
    hub: &Resource,
    id: &DeviceAddress,
    patch: &Value,
    now: Timestamp,
) -> HubEvent {
    let kind = Kind {
        source: RouteSource::DigitalTwinChangeEvents,
        operation: "updateTwin",
        schema: "digitalTwinChangeNotification",
    };
    let mut event = event(hub, id, kind, patch.to_string(), now);
    event.system.content_type = Some("application/json-patch+json".into());
    event
}

/// What an event is about.
#[derive(Clone, Copy)]
struct Kind<'k> {
    source: RouteSource,
    operation: &'k str,
    schema: &'k str,
}

impl<'k> Kind<'k> {
    const fn of_twin(operation: &'k str) -> Self {
        Self { source: RouteSource::TwinChangeEvents, operation, schema: "twinChangeNotification" }
    }
}

fn of_twin(hub: &Resource, device: &Device, kind: Kind<'_>, body: &Value, now: Timestamp) -> HubEvent {
    let mut event = event(hub, &device.address(), kind, fitting(body), now);
    event.system.generation_id = Some(device.identity.generation_id.clone());
    event
}

fn event(
    hub: &Resource,
    id: &DeviceAddress,
    Kind { source, operation, schema }: Kind<'_>,
    body: String,
    now: Timestamp,
) -> HubEvent {
    let hub_name = hub.name.to_string();
    let module_id = id.module.as_ref().map(ToString::to_string);
    let module = module_id.clone().map(|id| ("moduleId".to_owned(), id));
    let whose = [("hubName".into(), hub_name.clone()), ("deviceId".into(), id.device.to_string())];
    let what = [
        ("operationTimestamp".into(), now.to_string()),
        ("opType".into(), operation.into()),
        ("iothub-message-schema".into(), schema.into()),
    ];
    HubEvent {
        source,
        device_id: id.device.to_string(),
        module_id,
        properties: whose.into_iter().chain(module).chain(what).collect(),
        system: System {
            user_id: Some(hub_name),
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            enqueued: now,
            ..System::default()
        },
        body: body.into(),
    }
}

/// The most a body may be, so that with all that goes around it the event log takes it (Event Hubs' 1 MiB): an event
/// that cannot be kept would be a change that nobody hears of.
const LARGEST: usize = 768 * 1024;

/// The body as text; without the metadata of the properties (which can be many times their size) where it is too long.
fn fitting(body: &Value) -> String {
    let text = body.to_string();
    if text.len() <= LARGEST {
        return text;
    }
    let mut body = body.clone();
    for side in ["/properties/desired", "/properties/reported"] {
        if let Some(Value::Object(side)) = body.pointer_mut(side) {
            side.shift_remove("$metadata");
        }
    }
    body.to_string()
}

/// The AMQP message that readers of the event hub get, without the `x-opt-*` annotations of its place.
pub(super) fn encode(event: &HubEvent) -> Bytes {
    let system = &event.system;
    let mut annotations = Annotations::default();
    let mut annotate = |name: &'static str, value: Option<Amqp>| {
        if let (Some(name), Some(value)) = (Symbol::new(name), value) {
            annotations.push(name, value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Amqp::String);
    annotate("iothub-connection-device-id", Some(Amqp::String(event.device_id.clone())));
    annotate("iothub-connection-module-id", text(&event.module_id));
    annotate("iothub-connection-auth-method", text(&system.auth_method));
    annotate("iothub-connection-auth-generation-id", text(&system.generation_id));
    annotate("iothub-creation-time-utc", text(&system.creation_time));
    annotate("dt-dataschema", text(&system.model_id));
    annotate("dt-subject", text(&system.component));
    annotate("iothub-outputname", text(&system.output));
    annotate("iothub-enqueuedtime", Some(Amqp::Timestamp(system.enqueued.as_millis())));
    annotate("iothub-message-source", Some(Amqp::String(event.annotation().to_owned())));
    let mut application = ApplicationProperties::default();
    for (name, value) in &event.properties {
        application.push(name.clone(), Amqp::String(value.clone()));
    }
    let properties = Properties {
        message_id: system.message_id.as_deref().map(MessageId::from),
        user_id: system.user_id.clone().map(Bytes::from),
        to: system.to.clone(),
        correlation_id: system.correlation_id.as_deref().map(MessageId::from),
        content_type: system.content_type.clone().and_then(Symbol::new),
        content_encoding: system.content_encoding.clone().and_then(Symbol::new),
        ..Properties::default()
    };
    Message {
        message_annotations: annotations,
        // Python's client takes a section that says nothing for one that says something.
        properties: (properties != Properties::default()).then_some(properties),
        application_properties: application,
        body: Body::data(event.body.clone()),
        ..Message::default()
    }
    .encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyPI's azure-eventhub takes a section that is there for one that says something.
    #[test]
    fn a_message_that_says_nothing_of_itself_has_no_section_of_properties() {
        let event = |message_id: Option<&str>| HubEvent {
            source: RouteSource::DeviceMessages,
            device_id: "d".to_owned(),
            module_id: None,
            properties: Vec::new(),
            system: System { message_id: message_id.map(str::to_owned), ..System::default() },
            body: Bytes::from_static(b"x"),
        };
        let section = |event| Message::decode(encode(&event)).unwrap().properties;
        assert_eq!(section(event(None)), None);
        assert_eq!(section(event(Some("m"))).unwrap().message_id, Some(MessageId::from("m")));
    }

    #[test]
    fn a_body_that_is_too_long_leaves_its_metadata_out() {
        let metadata: Map<String, Value> =
            (0..8000).map(|n| (format!("{n:04x}"), json!({"$lastUpdated": "x".repeat(100)}))).collect();
        let side = |metadata: &Map<String, Value>| json!({"a": 1, "$metadata": metadata, "$version": 3});
        let body = json!({"tags": {"dtId": "t"}, "properties": {"desired": side(&metadata), "reported": side(&metadata)}});
        assert!(body.to_string().len() > LARGEST);
        let side = json!({"a": 1, "$version": 3});
        let expected = json!({"tags": {"dtId": "t"}, "properties": {"desired": side, "reported": side}});
        assert_eq!(serde_json::from_str::<Value>(&fitting(&body)).unwrap(), expected);
        assert_eq!(fitting(&expected), expected.to_string());
    }
}
