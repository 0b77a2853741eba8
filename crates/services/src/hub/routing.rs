//! Which endpoints a message goes to.
//!
//! Azure article "Use IoT Hub message routing": every enabled route of the message's source is tried; a message that
//! matches several routes to one endpoint goes there once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use pollux_model::OwnerName;
use pollux_model::device::Device;
use pollux_model::resource::{
    BUILT_IN_ENDPOINT, Enrichment, Hub as HubProperties, Properties, Resource, ResourceKind, RouteSource,
};
use pollux_query::routing::{Query, RoutedMessage};
use pollux_store::Write;
use serde_json::{Value, json};

use super::Hub;
use super::device_twin::side;
use super::hub_event::{HubEvent, System, encode};
use super::json_text::json_text;
use crate::context::Context;
use crate::destination::Destination;
use crate::streams::Stream;

/// Routes ready to be tried.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    routes: Vec<Route>,
    /// Where device-to-cloud messages go that no route takes; `None`: nowhere.
    fallback: Option<Arc<Target>>,
}

/// Where messages go, and what they get on their way there.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) destination: Destination,
    enrichments: Vec<Enrichment>,
}

/// A route ready to be tried.
#[derive(Debug)]
struct Route {
    source: RouteSource,
    query: Query,
    target: Arc<Target>,
}

impl Hub {
    /// Where a message goes. `twin` is asked for only if a route looks at it.
    pub(super) fn destinations(
        &self,
        hub: &Resource,
        event: &HubEvent,
        twin: Option<&Device>,
    ) -> Vec<Arc<Target>> {
        let compiled = self.compiled(hub);
        let message = Routed { event, twin, body: OnceCell::new(), document: OnceCell::new() };
        let mut found: Vec<Arc<Target>> = Vec::new();
        for route in compiled.routes.iter().filter(|route| route.source == event.source) {
            let goes_there = found.iter().any(|target| target.destination == route.target.destination);
            if !goes_there && route.query.matches(&message) {
                found.push(Arc::clone(&route.target));
            }
        }
        if found.is_empty() && event.source == RouteSource::DeviceMessages {
            found.extend(compiled.fallback.clone());
        }
        found
    }

    /// Whether a route of this source, or what it adds, looks at the device's twin, so that it must be read first.
    pub(super) fn needs_twin(&self, hub: &Resource, source: RouteSource) -> bool {
        let compiled = self.compiled(hub);
        let fallback = compiled.fallback.iter().filter(|_| source == RouteSource::DeviceMessages);
        let routes = compiled.routes.iter().filter(|route| route.source == source);
        fallback.chain(routes.clone().map(|route| &route.target)).any(|target| target.needs_twin())
            || routes.into_iter().any(|route| route.query.needs_twin())
    }

    /// Whether there is anybody to tell of what comes from this source.
    pub(super) fn has_routes(&self, hub: &Resource, source: RouteSource) -> bool {
        self.compiled(hub).routes.iter().any(|route| route.source == source)
    }

    /// The outbox entries that make an event part of a commit.
    pub(super) fn outbox(&self, hub: &Resource, mut event: HubEvent, twin: Option<&Device>) -> Vec<Write> {
        let destinations = self.destinations(hub, &event, twin);
        if destinations.is_empty() {
            return Vec::new();
        }
        // "A unique ID that identifies the event" (Azure article "IoT Hub non-telemetry event schemas").
        let id = || format!("{:x}", self.context.random.below(1 << 48));
        event.system.correlation_id.get_or_insert_with(id);
        let plain = encode(&event);
        let entry = |target: Arc<Target>| {
            let payload = target.payload(hub, &event, &plain, twin);
            target.destination.clone().outbox(&self.context, &event.device_id, &payload)
        };
        destinations.into_iter().map(entry).collect()
    }

    fn compiled(&self, hub: &Resource) -> Arc<Compiled> {
        let which = (ResourceKind::Hub, &hub.name);
        self.routes.get(&self.context, which, |hub| compile(&self.context, hub))
    }
}

/// Whether a message takes a route with that condition.
pub(super) fn matches(query: &Query, event: &HubEvent, twin: Option<&Device>) -> bool {
    query.matches(&Routed { event, twin, body: OnceCell::new(), document: OnceCell::new() })
}

fn compile(context: &Context, hub: &Resource) -> Compiled {
    let Properties::Hub(properties) = &hub.properties else { return Compiled::default() };
    let enabled = properties.routes.iter().filter(|route| route.enabled);
    let routes = enabled.filter_map(|route| {
        let target = target(context, hub, properties, &route.endpoint);
        let query = pollux_query::routing::parse(&route.condition);
        match (target, query) {
            (Some(target), Ok(query)) => Some(Route { source: route.source, query, target: Arc::new(target) }),
            _ => {
                tracing::warn!(hub = %hub.name, route = %route.name, "the route leads nowhere: its endpoint or condition is gone");
                None
            }
        }
    });
    let routes = routes.collect();
    let fallback = properties.fallback_route.then(|| target(context, hub, properties, BUILT_IN_ENDPOINT));
    Compiled { routes, fallback: fallback.flatten().map(Arc::new) }
}

/// Where an endpoint of the hub is.
fn target(context: &Context, hub: &Resource, properties: &HubProperties, name: &str) -> Option<Target> {
    let destination = if name == BUILT_IN_ENDPOINT {
        Destination::of(Stream::built_in(&hub.name, properties))?
    } else {
        let endpoint = properties.endpoints.iter().find(|one| one.name == name)?;
        Destination::of_endpoint(context, &OwnerName::of_hub(&hub.name), endpoint)?
    };
    let added = properties.enrichments.iter().filter(|one| one.endpoints.iter().any(|to| to == name));
    Some(Target { destination, enrichments: added.cloned().collect() })
}

impl Target {
    fn needs_twin(&self) -> bool {
        self.enrichments.iter().any(|one| one.twin_path().is_some())
    }

    /// The event as it arrives there; `plain`: as it is without what is added.
    pub(super) fn payload(
        &self,
        hub: &Resource,
        event: &HubEvent,
        plain: &Bytes,
        twin: Option<&Device>,
    ) -> Bytes {
        if self.enrichments.is_empty() {
            return plain.clone();
        }
        let document = twin.filter(|_| self.needs_twin()).map(document);
        let mut event = event.clone();
        for Enrichment { key, .. } in &self.enrichments {
            event.properties.retain(|(name, _)| name != key);
        }
        let added = self.enrichments.iter().map(|one| {
            let value = match (one.twin_path(), one.value.as_str()) {
                (Some(path), text) => {
                    document.as_ref().and_then(|twin| at(twin, path)).unwrap_or_else(|| text.to_owned())
                }
                (None, "$iothubname") => hub.name.to_string(),
                (None, text) => text.to_owned(),
            };
            (one.key.clone(), value)
        });
        event.properties.extend(added);
        encode(&event)
    }
}

/// What stands there, as text; JSON where it is no single value. A path that leads nowhere stays as it is written.
fn at(twin: &Value, path: &str) -> Option<String> {
    let found = path.split('.').try_fold(twin, |value, name| value.get(name))?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

/// A twin as routing queries and enrichments see it, `$metadata` and `$version` too ("IoT Hub message routing query syntax").
fn document(device: &Device) -> Value {
    let twin = &device.twin;
    json!({"tags": twin.tags, "properties": {"desired": side(&twin.desired), "reported": side(&twin.reported)}})
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
            "connectionModuleId" => kept(&self.event.module_id),
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
            "messageSource" => Some(Cow::Borrowed(self.event.annotation())),
            "to" => kept(&system.to),
            "userId" => kept(&system.user_id),
            _ => None,
        }
    }

    fn body(&self) -> Option<&Value> {
        self.body.get_or_init(|| json_body(self.event)).as_ref()
    }

    fn twin(&self) -> Option<&Value> {
        self.document.get_or_init(|| self.twin.map(document)).as_ref()
    }
}

/// The body, if its content type and encoding say that it is JSON in a Unicode encoding.
fn json_body(event: &HubEvent) -> Option<Value> {
    let System { content_type, content_encoding, .. } = &event.system;
    let text = json_text(content_type.as_deref(), content_encoding.as_deref(), &event.body)?;
    serde_json::from_str(&text).ok()
}
