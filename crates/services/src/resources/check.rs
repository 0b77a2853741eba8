//! What must hold of a resource before it is stored: its own form, and what it says of others.

use std::sync::Arc;

use pollux_model::ids::shown;
use pollux_model::resource::{
    BUILT_IN_ENDPOINT, Consistency, Dps, EndpointTarget, Enrichment, EventHub, Events, Functions, Hub,
    Policy, PolicyRight, Properties, Resource, ResourceKind, RoutingEndpoint, Twins,
};
use pollux_model::{Error, ErrorCode, Result};

use super::Resources;
use super::defaults::ROOT_POLICY;

/// Names of endpoints that hubs have by themselves (Azure article "IoT Hub endpoints").
const RESERVED_ENDPOINTS: [&str; 4] =
    [BUILT_IN_ENDPOINT, "operationsMonitoringEvents", "fileNotifications", "$default"];

/// Networks that a linked hub's latencies are said of. Ours.
const LATENCIES: usize = 256;

impl Resources {
    /// Checks a resource that is about to be stored.
    pub(super) fn checked(&self, resource: &Resource) -> Result<()> {
        check_group(&resource.group)?;
        check_host_name(&resource.host_name)?;
        let other = |one: &&Arc<Resource>| one.kind() == resource.kind() && one.name != resource.name;
        let all = self.context.table.all();
        if let Some(taken) = all.iter().filter(other).find(|one| one.host_name == resource.host_name) {
            return Err(Error::invalid(format!(
                "the host name '{}' already leads to the {} '{}': use another",
                resource.host_name,
                taken.kind(),
                taken.name
            )));
        }
        match &resource.properties {
            Properties::Dps(dps) => self.check_dps(resource, dps),
            Properties::Hub(hub) => self.check_hub(resource, hub),
            Properties::Events(events) => self.check_events(resource, events),
            Properties::Twins(twins) => {
                check_history(twins)?;
                self.check_twins(resource, twins)
            }
            Properties::Functions(functions) => check_functions(functions),
        }
    }

    fn check_dps(&self, resource: &Resource, dps: &Dps) -> Result<()> {
        check_id_scope(&dps.id_scope)?;
        if self.context.table.with_id_scope(&dps.id_scope).is_some_and(|one| one.name != resource.name) {
            return Err(Error::invalid(format!(
                "the ID scope '{}' is another DPS's: use another",
                dps.id_scope
            )));
        }
        for link in &dps.linked_hubs {
            if self.context.table.named(ResourceKind::Hub, &link.hub).is_none() {
                let message = format!("there is no hub named '{}' to link: create it first", link.hub);
                return Err(Error::new(ErrorCode::ResourceNotFound, message));
            }
            if !(1..=1000).contains(&link.allocation_weight) {
                return Err(Error::invalid("an allocation weight is 1 to 1000"));
            }
            if link.latencies.len() > LATENCIES {
                return Err(Error::invalid(format!("a hub has at most {LATENCIES} networks with latencies")));
            }
        }
        self.check_policies(resource, None, &dps.policies)
    }

    fn check_hub(&self, resource: &Resource, hub: &Hub) -> Result<()> {
        self.check_policies(resource, None, &hub.policies)?;
        self.check_built_in(resource, hub)?;
        for endpoint in &hub.endpoints {
            self.check_endpoint(resource, endpoint)?;
        }
        let present = self.context.table.named(ResourceKind::Hub, &resource.name);
        let (endpoints, routes) = match present.as_deref().map(|one| &one.properties) {
            Some(Properties::Hub(before)) => (before.endpoints.len(), before.routes.len()),
            _ => (0, 0),
        };
        let limits = self.context.limits.of_hub(hub.sku);
        check_count(&of_hub("endpoints", hub), endpoints, hub.endpoints.len(), limits.endpoints)?;
        check_count(&of_hub("routes", hub), routes, hub.routes.len(), limits.routes)?;
        let custom = hub.endpoints.iter().map(|one| one.name.as_str());
        let names: Vec<_> = std::iter::once(BUILT_IN_ENDPOINT).chain(custom).collect();
        let is_endpoint = |what: &str, name: &str| {
            if names.contains(&name) {
                return Ok(());
            }
            let (name, all) = (shown(name), names.join(", "));
            Err(Error::invalid(format!(
                "{what} leads to '{name}', which is no endpoint of the hub; there are: {all}"
            )))
        };
        self.check_enrichments(resource, hub)?;
        for one in &hub.enrichments {
            one.endpoints
                .iter()
                .try_for_each(|name| is_endpoint(&format!("the enrichment '{}'", one.key), name))?;
        }
        for route in &hub.routes {
            check_name("a route", &route.name)?;
            is_endpoint(&format!("the route '{}'", route.name), &route.endpoint)?;
            pollux_query::routing::parse(&route.condition).map_err(|error| {
                Error::invalid(format!("the condition of the route '{}' does not hold: {error}", route.name))
            })?;
        }
        Ok(())
    }

    /// Azure article "Message enrichments for device-to-cloud IoT Hub messages", "Limitations".
    fn check_enrichments(&self, resource: &Resource, hub: &Hub) -> Result<()> {
        let present = self.context.table.named(ResourceKind::Hub, &resource.name);
        let before = match present.as_deref().map(|one| &one.properties) {
            Some(Properties::Hub(before)) => before.enrichments.len(),
            _ => 0,
        };
        let most = self.context.limits.of_hub(hub.sku).enrichments;
        check_count(&of_hub("enrichments", hub), before, hub.enrichments.len(), most)?;
        for Enrichment { key, value, endpoints } in &hub.enrichments {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if !(1..=64).contains(&key.len()) || !key.bytes().all(good) {
                let key = shown(key);
                return Err(Error::invalid(format!(
                    "'{key}' is no key of an enrichment: use 1 to 64 letters, digits, '-', '_' and '.'"
                )));
            }
            if value.is_empty() || value.len() > 1024 || endpoints.is_empty() {
                return Err(Error::invalid(format!(
                    "the enrichment '{key}' needs a value of 1 to 1024 bytes, and endpoints"
                )));
            }
        }
        Ok(())
    }

    fn check_twins(&self, resource: &Resource, twins: &Twins) -> Result<()> {
        let present = self.context.table.named(ResourceKind::Twins, &resource.name);
        let (endpoints, routes) = match present.as_deref().map(|one| &one.properties) {
            Some(Properties::Twins(before)) => (before.endpoints.len(), before.event_routes.len()),
            _ => (0, 0),
        };
        let limits = &self.context.limits;
        check_count("endpoints of an instance", endpoints, twins.endpoints.len(), limits.endpoints)?;
        twins.endpoints.iter().try_for_each(|endpoint| self.check_endpoint(resource, endpoint))?;
        for route in &twins.event_routes {
            super::event_routes::check(route, &twins.endpoints)?;
        }
        check_count("event routes of an instance", routes, twins.event_routes.len(), limits.event_routes)
    }

    fn check_built_in(&self, resource: &Resource, hub: &Hub) -> Result<()> {
        check_stored_events("the built-in endpoint", &hub.events.event_hub(&resource.name))?;
        let present = self.context.table.named(ResourceKind::Hub, &resource.name);
        let Some(Properties::Hub(before)) = present.as_deref().map(|one| &one.properties) else {
            return Ok(());
        };
        if before.events.partitions > hub.events.partitions {
            return Err(Error::invalid("the partitions of the built-in endpoint can only grow"));
        }
        Ok(())
    }

    fn check_endpoint(&self, keeper: &Resource, endpoint: &RoutingEndpoint) -> Result<()> {
        check_name("a routing endpoint", &endpoint.name)?;
        if RESERVED_ENDPOINTS.iter().any(|name| name.eq_ignore_ascii_case(&endpoint.name)) {
            let text = format!("'{}' is a built-in endpoint: use another name", endpoint.name);
            return Err(Error::invalid(text));
        }
        match &endpoint.target {
            EndpointTarget::EventHub { namespace, event_hub: name } => {
                let namespace = self.context.table.get(ResourceKind::Events, namespace)?;
                if event_hub(&namespace, name).is_none() {
                    let message = format!("the namespace '{}' has no event hub '{name}'", namespace.name);
                    return Err(Error::new(ErrorCode::EventHubNotFound, message));
                }
                Ok(())
            }
            EndpointTarget::Storage(_) if keeper.kind() != ResourceKind::Hub => {
                let text =
                    format!("the endpoint '{}' cannot be a container: those are for hubs", endpoint.name);
                Err(Error::invalid(text))
            }
            EndpointTarget::Storage(storage) => {
                crate::forwarding::check_storage(&self.blobs, keeper, storage)
            }
            EndpointTarget::External { connection_string } => {
                crate::forwarding::external_event_hub(connection_string).map(drop)
            }
            EndpointTarget::Webhook { url, .. } => crate::forwarding::webhook_url(url).map(drop),
        }
    }

    fn check_events(&self, resource: &Resource, events: &Events) -> Result<()> {
        self.check_policies(resource, None, &events.policies)?;
        check_root_policy(&events.policies)?;
        let present = self.context.table.named(ResourceKind::Events, &resource.name);
        for one in &events.event_hubs {
            check_event_hub(one)?;
            let before = present.as_deref().and_then(|namespace| event_hub(namespace, &one.name));
            if before.is_some_and(|before| before.partitions > one.partitions) {
                return Err(Error::invalid(format!(
                    "the partitions of event hub '{}' can only grow",
                    one.name
                )));
            }
            let groups = before.map_or(0, |before| before.consumer_groups.len());
            let what = format!("consumer groups of the event hub '{}'", one.name);
            check_count(&what, groups, one.consumer_groups.len(), self.context.limits.consumer_groups)?;
            self.check_policies(resource, Some(&one.name), &one.policies)?;
        }
        Ok(())
    }

    fn check_policies(&self, of: &Resource, of_hub: Option<&str>, policies: &[Policy]) -> Result<()> {
        policies.iter().try_for_each(|policy| check_policy(of.kind(), policy))?;
        let present = self.context.table.named(of.kind(), &of.name);
        let before =
            present.as_deref().and_then(|present| super::policies::policies_of(present, of_hub).ok());
        let what = match of_hub {
            Some(event_hub) => format!("shared access policies of the event hub '{event_hub}'"),
            None => format!("shared access policies of the {} '{}'", of.kind(), of.name),
        };
        let before = before.map_or(0, <[Policy]>::len);
        check_count(&what, before, policies.len(), self.context.limits.policies)
    }

    /// [`ErrorCode::ResourceInUse`] if a resource that stays refers to one that leaves.
    pub(super) fn check_unused(&self, leaving: &[Arc<Resource>]) -> Result<()> {
        let leaves = |kind, name: &str| leaving.iter().any(|one| one.kind() == kind && &*one.name == name);
        for one in self.context.table.all().iter().filter(|one| !leaves(one.kind(), &one.name)) {
            let (kind, used) = match &one.properties {
                Properties::Dps(dps) => {
                    let used = dps.linked_hubs.iter().find(|link| leaves(ResourceKind::Hub, &link.hub));
                    (ResourceKind::Hub, used.map(|link| &link.hub))
                }
                Properties::Hub(_) | Properties::Twins(_) => {
                    let mut namespaces = one.endpoints().iter().filter_map(|end| match &end.target {
                        EndpointTarget::EventHub { namespace, .. } => Some(namespace),
                        EndpointTarget::Storage(_)
                        | EndpointTarget::External { .. }
                        | EndpointTarget::Webhook { .. } => None,
                    });
                    (ResourceKind::Events, namespaces.find(|name| leaves(ResourceKind::Events, name)))
                }
                Properties::Events(_) | Properties::Functions(_) => continue,
            };
            if let Some(used) = used {
                let message = format!(
                    "the {kind} '{used}' is used by the {} '{}': unlink it first",
                    one.kind(),
                    one.name
                );
                return Err(Error::new(ErrorCode::ResourceInUse, message));
            }
        }
        Ok(())
    }
}

/// The event hub of that name in a namespace.
pub(super) fn event_hub<'r>(namespace: &'r Resource, name: &str) -> Option<&'r EventHub> {
    let Properties::Events(events) = &namespace.properties else { return None };
    events.event_hubs.iter().find(|one| one.name.eq_ignore_ascii_case(name))
}

fn check_group(group: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.()".contains(&b);
    if (1..=90).contains(&group.len()) && group.bytes().all(good) && !group.ends_with('.') {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is no resource group: use 1 to 90 letters, digits and - _ . ( ), not ending with a full stop",
        shown(group)
    )))
}

fn check_host_name(host_name: &str) -> Result<()> {
    let label = |label: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host_name.len() <= 253 && host_name.split('.').all(label) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is no host name: use labels of letters, digits and hyphens, without a port",
        shown(host_name)
    )))
}

fn check_id_scope(id_scope: &str) -> Result<()> {
    let hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    match id_scope.strip_prefix("0ne") {
        Some(digits) if digits.len() == 8 && digits.bytes().all(hex) => Ok(()),
        _ => Err(Error::invalid(format!(
            "'{}' is no ID scope: use 0ne and 8 upper-case hex digits, such as 0ne0012ABCD",
            shown(id_scope)
        ))),
    }
}

fn check_event_hub(event_hub: &EventHub) -> Result<()> {
    check_name("an event hub", &event_hub.name)?;
    check_stored_events("an event hub", event_hub)
}

fn check_stored_events(what: &str, event_hub: &EventHub) -> Result<()> {
    if !(1..=32).contains(&event_hub.partitions) {
        return Err(Error::invalid(format!("{what} has 1 to 32 partitions")));
    }
    if !(1..=24 * 90).contains(&event_hub.retention_hours) {
        return Err(Error::invalid(format!("{what} keeps events for 1 to 2160 hours")));
    }
    event_hub
        .consumer_groups
        .iter()
        .filter(|group| *group != super::build::DEFAULT_CONSUMER_GROUP)
        .try_for_each(|group| check_name("a consumer group", group))
}

/// Names inside a resource: as Event Hubs' ("Naming rules and restrictions"), at most 50 characters.
fn check_name(what: &str, name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if first && name.len() <= 50 && name.bytes().all(good) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is no name for {what}: use up to 50 letters, digits and . _ -, beginning with a letter or digit",
        shown(name)
    )))
}

/// There may be no more than the bound; what was stored under another bound stays, and may become less.
fn check_count(what: &str, before: usize, now: usize, most: usize) -> Result<()> {
    if now <= most || now <= before {
        return Ok(());
    }
    Err(Error::new(ErrorCode::QuotaExceeded, format!("there may be {most} {what}, not {now}")))
}

/// Parts of a hub, for people.
fn of_hub(parts: &str, hub: &Hub) -> String {
    match hub.sku {
        Some(sku) => format!("{parts} of a hub of the tier {}", sku.name),
        None => format!("{parts} of a hub"),
    }
}

fn check_policy(kind: ResourceKind, policy: &Policy) -> Result<()> {
    check_name("a shared access policy", &policy.name)?;
    if policy.rights.is_empty() {
        return Err(Error::invalid(format!("the policy '{}' needs at least one right", policy.name)));
    }
    match policy.rights.iter().find(|right| !belongs(kind, **right)) {
        None => Ok(()),
        Some(foreign) => {
            Err(Error::invalid(format!("a {kind} knows no right {foreign:?} (policy '{}')", policy.name)))
        }
    }
}

/// Who has it may do everything in the namespace; so it stays.
fn check_root_policy(policies: &[Policy]) -> Result<()> {
    let root = policies.iter().find(|one| one.name.eq_ignore_ascii_case(ROOT_POLICY));
    match root {
        Some(root) if !root.rights.contains(&PolicyRight::Manage) => {
            Err(Error::invalid(format!("the policy '{ROOT_POLICY}' keeps the right Manage")))
        }
        _ => Ok(()),
    }
}

const fn belongs(kind: ResourceKind, right: PolicyRight) -> bool {
    match right {
        PolicyRight::ServiceConfig
        | PolicyRight::EnrollmentRead
        | PolicyRight::EnrollmentWrite
        | PolicyRight::RegistrationStatusRead
        | PolicyRight::RegistrationStatusWrite => matches!(kind, ResourceKind::Dps),
        PolicyRight::DeviceConnect => matches!(kind, ResourceKind::Dps | ResourceKind::Hub),
        PolicyRight::RegistryRead | PolicyRight::RegistryWrite | PolicyRight::ServiceConnect => {
            matches!(kind, ResourceKind::Hub)
        }
        PolicyRight::Listen | PolicyRight::Send | PolicyRight::Manage => matches!(kind, ResourceKind::Events),
    }
}

/// Longer than any disk lasts: ten years.
const LONGEST_HISTORY: u32 = 10 * 366 * 24;

fn check_history(twins: &Twins) -> Result<()> {
    if twins.history.is_none() && twins.consistency != Consistency::Strong {
        return Err(Error::invalid(format!(
            "consistency {} is answered from the history: history_hours must not be 0",
            twins.consistency
        )));
    }
    if twins.history.as_ref().is_some_and(|history| history.hours > LONGEST_HISTORY) {
        return Err(Error::invalid(format!(
            "history_hours is 1 to {LONGEST_HISTORY} (ten years), or 0 for no history"
        )));
    }
    Ok(())
}

fn check_functions(functions: &Functions) -> Result<()> {
    for name in functions.settings.keys() {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
        if !(1..=128).contains(&name.len()) || !name.bytes().all(good) {
            return Err(Error::invalid(format!("'{}' is no name for a setting", shown(name))));
        }
    }
    let pointer = |text: &str| text.starts_with('/');
    for one in &functions.mapping {
        if !pointer(&one.field) || !(one.property.is_empty() || pointer(&one.property)) {
            return Err(Error::invalid(format!(
                "a mapping leads from a JSON pointer to a JSON pointer, such as /temp to /Temperature, not '{}' to '{}'",
                shown(&one.field),
                shown(&one.property)
            )));
        }
    }
    Ok(())
}
