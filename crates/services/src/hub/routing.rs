//! Which endpoints a message goes to.
//!
//! Azure article "Use IoT Hub message routing": every enabled route of the message's source is tried; a message that
//! matches several routes to one endpoint goes there once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use pollux_eventlog::StreamName;
use pollux_model::device::Device;
use pollux_model::event::OutboxEntry;
use pollux_model::partition_key::partition_of;
use pollux_model::resource::{Properties, Resource, ResourceKind, RouteSource};
use pollux_model::{ResourceName, Result};
use pollux_query::routing::{Query, RoutedMessage};
use pollux_store::Write;
use serde_json::{Value, json};

use super::Hub;
use super::hub_event::{HubEvent, encode};
use crate::context::Context;

/// Routes of each hub, parsed, as of one version of the resources.
#[derive(Debug, Default)]
pub(super) struct RouteCache(RwLock<(u64, ByHub)>);

type ByHub = HashMap<ResourceName, Arc<[Compiled]>>;

/// A route ready to be tried.
#[derive(Debug)]
pub(super) struct Compiled {
    source: RouteSource,
    query: Query,
    destination: Destination,
}

/// An event hub of this deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) stream: StreamName,
    pub(super) namespace: ResourceName,
    pub(super) event_hub: String,
    pub(super) partitions: u32,
}

impl Destination {
    /// The partition of a device: the same for all its messages.
    pub(super) fn partition(&self, device_id: &str) -> u32 {
        partition_of(device_id, self.partitions)
    }
}

impl Hub {
    /// Where a message goes. `twin` is asked for only if a route looks at it.
    pub(super) fn destinations(
        &self,
        hub: &Resource,
        event: &HubEvent,
        twin: Option<&Device>,
    ) -> Vec<Destination> {
        let routes = self.compiled(hub);
        let message = Routed { event, twin, body: OnceCell::new(), document: OnceCell::new() };
        let mut found: Vec<Destination> = Vec::new();
        for route in routes.iter().filter(|route| route.source == event.source) {
            if !found.contains(&route.destination) && route.query.matches(&message) {
                found.push(route.destination.clone());
            }
        }
        found
    }

    /// Whether a route of this source looks at the device's twin, so that it must be read first.
    pub(super) fn needs_twin(&self, hub: &Resource, source: RouteSource) -> bool {
        self.compiled(hub).iter().any(|route| route.source == source && route.query.needs_twin())
    }

    /// The outbox entries that make an event part of a commit.
    pub(super) fn outbox(&self, hub: &Resource, event: HubEvent, twin: Option<&Device>) -> Vec<Write> {
        let destinations = self.destinations(hub, &event, twin);
        if destinations.is_empty() {
            return Vec::new();
        }
        let payload = encode(&event);
        let entry = |destination: Destination| {
            Write::Outbox(Box::new(OutboxEntry {
                namespace: destination.namespace,
                event_hub: destination.event_hub,
                partition_key: event.device_id.clone(),
                idempotency_key: *self.context.random.uuid().as_bytes(),
                payload: payload.to_vec(),
            }))
        };
        destinations.into_iter().map(entry).collect()
    }

    fn compiled(&self, hub: &Resource) -> Arc<[Compiled]> {
        let version = self.context.table.version();
        {
            let cache = self.routes.0.read();
            if cache.0 == version
                && let Some(routes) = cache.1.get(&hub.name)
            {
                return Arc::clone(routes);
            }
        }
        // The table's own copy: the caller's may be older than `version`.
        let current = self.context.table.named(ResourceKind::Hub, &hub.name);
        let routes: Arc<[Compiled]> =
            current.map_or_else(Vec::new, |hub| compile_all(&self.context, &hub)).into();
        let mut cache = self.routes.0.write();
        if cache.0 != version {
            *cache = (version, HashMap::new());
        }
        cache.1.insert(hub.name.clone(), Arc::clone(&routes));
        routes
    }
}

fn compile_all(context: &Context, hub: &Resource) -> Vec<Compiled> {
    let Properties::Hub(properties) = &hub.properties else { return Vec::new() };
    let enabled = properties.routes.iter().filter(|route| route.enabled);
    enabled
        .filter_map(|route| {
            let endpoint = properties.endpoints.iter().find(|endpoint| endpoint.name == route.endpoint)?;
            let destination = destination(context, &endpoint.namespace, &endpoint.event_hub);
            let query = pollux_query::routing::parse(&route.condition);
            match (destination, query) {
                (Some(destination), Ok(query)) => Some(Compiled { source: route.source, query, destination }),
                _ => {
                    tracing::warn!(hub = %hub.name, route = %route.name, "the route leads nowhere: its endpoint or condition is gone");
                    None
                }
            }
        })
        .collect()
}

fn destination(context: &Context, namespace: &ResourceName, event_hub: &str) -> Option<Destination> {
    let resource = context.table.named(ResourceKind::Events, namespace)?;
    let Properties::Events(events) = &resource.properties else { return None };
    let found = events.event_hubs.iter().find(|hub| hub.name == event_hub)?;
    Some(Destination {
        stream: stream(namespace, event_hub).ok()?,
        namespace: namespace.clone(),
        event_hub: event_hub.to_owned(),
        partitions: found.partitions,
    })
}

/// The event log's stream of an event hub.
pub(crate) fn stream(namespace: &ResourceName, event_hub: &str) -> Result<StreamName> {
    StreamName::new(&format!("{namespace}/{event_hub}"))
        .map_err(|error| pollux_model::Error::invalid(error.to_string()))
}

/// A message as routing queries see it; body and twin are made into documents only if asked for.
struct Routed<'a> {
    event: &'a HubEvent,
    twin: Option<&'a Device>,
    body: OnceCell<Option<Value>>,
    document: OnceCell<Option<Value>>,
}

impl RoutedMessage for Routed<'_> {
    fn app_property(&self, name: &str) -> Option<&str> {
        let mut properties = self.event.properties.iter();
        properties.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn system_property(&self, name: &str) -> Option<Cow<'_, str>> {
        let system = &self.event.system;
        let kept = |text: &'_ Option<String>| text.clone().map(Cow::Owned);
        match name {
            "connectionDeviceId" => Some(Cow::Borrowed(&self.event.device_id)),
            "connectionAuthMethod" => kept(&system.auth_method),
            "connectionAuthGenerationId" => kept(&system.generation_id),
            "contentType" => kept(&system.content_type),
            "contentEncoding" => kept(&system.content_encoding),
            "correlationId" => kept(&system.correlation_id),
            "creationTimeUtc" => kept(&system.creation_time),
            "dt-dataschema" => kept(&system.model_id),
            "dt-subject" => kept(&system.component),
            "enqueuedTime" => Some(Cow::Owned(system.enqueued.to_string())),
            "messageId" => kept(&system.message_id),
            "messageSource" => Some(Cow::Borrowed(self.event.source.annotation())),
            "to" => kept(&system.to),
            "userId" => kept(&system.user_id),
            _ => None,
        }
    }

    fn body(&self) -> Option<&Value> {
        self.body.get_or_init(|| json_body(self.event)).as_ref()
    }

    fn twin(&self) -> Option<&Value> {
        let document = |device: &Device| {
            let twin = &device.twin;
            json!({"tags": twin.tags, "properties": {"desired": twin.desired.properties, "reported": twin.reported.properties}})
        };
        self.document.get_or_init(|| self.twin.map(document)).as_ref()
    }
}

/// The body, if its content type and encoding say that it is JSON in a Unicode encoding.
fn json_body(event: &HubEvent) -> Option<Value> {
    let kind = event.system.content_type.as_deref()?.split(';').next()?.trim();
    let encoding = event.system.content_encoding.as_deref()?.to_ascii_lowercase();
    if !kind.eq_ignore_ascii_case("application/json") {
        return None;
    }
    match encoding.as_str() {
        "utf-8" => serde_json::from_slice(&event.body).ok(),
        "utf-16" => {
            let units: Vec<u16> =
                event.body.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            serde_json::from_str(&String::from_utf16(&units).ok()?).ok()
        }
        "utf-32" => {
            let words = event
                .body
                .chunks_exact(4)
                .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            let text: Option<String> = words.map(char::from_u32).collect();
            serde_json::from_str(&text?).ok()
        }
        _ => None,
    }
}
