//! Which endpoints a message goes to.
//!
//! Azure article "Use IoT Hub message routing": every enabled route of the message's source is tried; a message that
//! matches several routes to one endpoint goes there once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use pollux_model::OwnerName;
use pollux_model::device::Device;
use pollux_model::resource::{
    BUILT_IN_ENDPOINT, Hub as HubProperties, Properties, Resource, ResourceKind, RouteSource,
};
use pollux_query::routing::{Query, RoutedMessage};
use pollux_store::Write;
use serde_json::{Value, json};

use super::Hub;
use super::hub_event::{HubEvent, encode};
use crate::context::Context;
use crate::destination::Destination;
use crate::streams::Stream;

/// Routes ready to be tried.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    routes: Vec<Route>,
    /// Where device-to-cloud messages go that no route takes; `None`: nowhere.
    fallback: Option<Destination>,
}

/// A route ready to be tried.
#[derive(Debug)]
struct Route {
    source: RouteSource,
    query: Query,
    destination: Destination,
}

impl Hub {
    /// Where a message goes. `twin` is asked for only if a route looks at it.
    pub(super) fn destinations(
        &self,
        hub: &Resource,
        event: &HubEvent,
        twin: Option<&Device>,
    ) -> Vec<Destination> {
        let compiled = self.compiled(hub);
        let message = Routed { event, twin, body: OnceCell::new(), document: OnceCell::new() };
        let mut found: Vec<Destination> = Vec::new();
        for route in compiled.routes.iter().filter(|route| route.source == event.source) {
            if !found.contains(&route.destination) && route.query.matches(&message) {
                found.push(route.destination.clone());
            }
        }
        if found.is_empty() && event.source == RouteSource::DeviceMessages {
            found.extend(compiled.fallback.clone());
        }
        found
    }

    /// Whether a route of this source looks at the device's twin, so that it must be read first.
    pub(super) fn needs_twin(&self, hub: &Resource, source: RouteSource) -> bool {
        self.compiled(hub).routes.iter().any(|route| route.source == source && route.query.needs_twin())
    }

    /// The outbox entries that make an event part of a commit.
    pub(super) fn outbox(&self, hub: &Resource, event: HubEvent, twin: Option<&Device>) -> Vec<Write> {
        let destinations = self.destinations(hub, &event, twin);
        if destinations.is_empty() {
            return Vec::new();
        }
        let payload = encode(&event);
        let entry = |destination: Destination| destination.outbox(&self.context, &event.device_id, &payload);
        destinations.into_iter().map(entry).collect()
    }

    fn compiled(&self, hub: &Resource) -> Arc<Compiled> {
        let which = (ResourceKind::Hub, &hub.name);
        self.routes.get(&self.context, which, |hub| compile(&self.context, hub))
    }
}

fn compile(context: &Context, hub: &Resource) -> Compiled {
    let Properties::Hub(properties) = &hub.properties else { return Compiled::default() };
    let enabled = properties.routes.iter().filter(|route| route.enabled);
    let routes = enabled.filter_map(|route| {
        let destination = destination(context, hub, properties, &route.endpoint);
        let query = pollux_query::routing::parse(&route.condition);
        match (destination, query) {
            (Some(destination), Ok(query)) => Some(Route { source: route.source, query, destination }),
            _ => {
                tracing::warn!(hub = %hub.name, route = %route.name, "the route leads nowhere: its endpoint or condition is gone");
                None
            }
        }
    });
    let routes = routes.collect();
    let fallback = if properties.fallback_route { built_in(hub, properties) } else { None };
    Compiled { routes, fallback }
}

/// Where an endpoint of the hub is.
fn destination(
    context: &Context,
    hub: &Resource,
    properties: &HubProperties,
    endpoint: &str,
) -> Option<Destination> {
    if endpoint == BUILT_IN_ENDPOINT {
        return built_in(hub, properties);
    }
    let endpoint = properties.endpoints.iter().find(|one| one.name == endpoint)?;
    Destination::of_endpoint(context, &OwnerName::of_hub(&hub.name), endpoint)
}

fn built_in(hub: &Resource, properties: &HubProperties) -> Option<Destination> {
    Destination::of(Stream::built_in(&hub.name, properties))
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
