//! From a declaration to a resource: a new one with defaults, or an existing one with some fields changed.

use std::collections::BTreeMap;

use pollux_model::resource::{
    BuiltInEndpoint, CloudToDevice, Consistency, Dps, EndpointTarget, Enrichment, EventHub, EventRoute,
    Events, Feedback, FileNameFormat, FileUpload, Functions, Hub, LinkedHub, Policy, PolicyRight, Properties,
    Resource, ResourceKind, Route, RoutingEndpoint, Setting, Sku, StorageContainer, TwinHistory, Twins,
};
use pollux_model::{Error, Etag, Key, KeyPair, Random, ResourceName, Result, Timestamp};

use super::Resources;
use super::declared::{
    Declared, DeclaredBuiltIn, DeclaredCloudToDevice, DeclaredEndpoint, DeclaredEnrichment, DeclaredEventHub,
    DeclaredEventRoute, DeclaredFeedback, DeclaredLink, DeclaredPolicy, DeclaredRoute, DeclaredSku,
    DeclaredTwins,
};
use super::{defaults, file_upload};

/// The consumer group every event hub has.
pub(super) const DEFAULT_CONSUMER_GROUP: &str = "$Default";

impl Resources {
    /// A new resource with defaults and what the declaration says. Not yet checked against the others.
    pub(super) fn built(&self, name: ResourceName, declared: &Declared) -> Result<Resource> {
        let context = &self.context;
        let random = &*context.random;
        let kind = declared.kind();
        let properties = match kind {
            ResourceKind::Dps => Properties::Dps(Dps {
                id_scope: self.fresh_id_scope(),
                policies: defaults::policies(kind, random),
                linked_hubs: Vec::new(),
                certificates: Vec::new(),
                issuer: None,
                revocations: Vec::new(),
                allocation: None,
            }),
            ResourceKind::Hub => Properties::Hub(Hub {
                policies: defaults::policies(kind, random),
                endpoints: Vec::new(),
                routes: Vec::new(),
                events: BuiltInEndpoint::default(),
                fallback_route: true,
                enrichments: Vec::new(),
                certificates: Vec::new(),
                cloud_to_device: CloudToDevice::default(),
                file_upload: FileUpload::default(),
                sku: None,
            }),
            ResourceKind::Events => Properties::Events(Events {
                policies: defaults::policies(kind, random),
                event_hubs: Vec::new(),
            }),
            ResourceKind::Twins => Properties::Twins(Twins::default()),
            ResourceKind::Functions => Properties::Functions(Functions {
                keys: KeyPair::generate(random),
                settings: BTreeMap::new(),
                mapping: Vec::new(),
            }),
        };
        let mut resource = Resource {
            host_name: self.default_host_name(kind, &name),
            name,
            group: defaults::GROUP.to_owned(),
            created: context.clock.now(),
            etag: Etag::fresh(random),
            properties,
        };
        self.merge(&mut resource, declared)?;
        Ok(resource)
    }

    /// Adopts what the declaration says; what it leaves out stays.
    pub(super) fn merge(&self, resource: &mut Resource, declared: &Declared) -> Result<()> {
        let random = &*self.context.random;
        let (group, host_name) = declared.common();
        if let Some(group) = group {
            group.clone_into(&mut resource.group);
        }
        if let Some(host_name) = host_name {
            resource.host_name = host_name.to_ascii_lowercase();
        }
        match (&mut resource.properties, declared) {
            (Properties::Dps(dps), Declared::Dps(said)) => {
                if let Some(id_scope) = &said.id_scope {
                    id_scope.clone_into(&mut dps.id_scope);
                }
                if let Some(policy) = &said.allocation_policy {
                    dps.allocation = Some(policy.parse()?);
                }
                merge_policies(&mut dps.policies, &said.policies, random)?;
                said.linked_hubs.iter().try_for_each(|link| merge_link(&mut dps.linked_hubs, link))
            }
            (Properties::Hub(hub), Declared::Hub(said)) => {
                merge_policies(&mut hub.policies, &said.policies, random)?;
                for one in &said.endpoints {
                    put(&mut hub.endpoints, endpoint(one)?, |a, b| a.name == b.name);
                }
                for one in &said.routes {
                    put(&mut hub.routes, route(one), |a, b| a.name == b.name);
                }
                for one in &said.enrichments {
                    put(&mut hub.enrichments, enrichment(one), |a, b| a.key == b.key);
                }
                merge_built_in(&mut hub.events, &said.events);
                hub.fallback_route = said.fallback_route.unwrap_or(hub.fallback_route);
                merge_cloud_to_device(&mut hub.cloud_to_device, &said.cloud_to_device);
                if let Some(said) = &said.sku {
                    merge_sku(&mut hub.sku, said)?;
                }
                hub.cloud_to_device.check()?;
                file_upload::merge(&mut hub.file_upload, &said.file_upload)
            }
            (Properties::Events(events), Declared::Events(said)) => {
                merge_policies(&mut events.policies, &said.policies, random)?;
                said.event_hubs
                    .iter()
                    .try_for_each(|one| merge_event_hub(&mut events.event_hubs, one, random))
            }
            (Properties::Functions(functions), Declared::Functions(said)) => {
                if let Some(key) = &said.key {
                    functions.keys.primary = key_of("the function key", key)?;
                }
                merge_settings(&mut functions.settings, &said.settings);
                if let Some(mapping) = &said.mapping {
                    functions.mapping.clone_from(mapping);
                }
                Ok(())
            }
            (Properties::Twins(twins), Declared::Twins(said)) => {
                merge_history(twins, said, self.context.clock.now());
                if let Some(said) = &said.indexes {
                    twins.indexes = self.declared_indexes(&resource.name, said)?;
                }
                for one in &said.endpoints {
                    put(&mut twins.endpoints, endpoint(one)?, |a, b| a.name == b.name);
                }
                for one in &said.event_routes {
                    put(&mut twins.event_routes, event_route(one), |a, b| a.id == b.id);
                }
                Ok(())
            }
            _ => Err(Error::internal()),
        }
    }

    /// `localhost` for the first of its kind on a deployment of that domain, else `<name>.<domain>`.
    pub(super) fn default_host_name(&self, kind: ResourceKind, name: &ResourceName) -> String {
        let first = !self.context.table.all().iter().any(|one| one.kind() == kind);
        if self.domain == "localhost" && first {
            self.domain.clone()
        } else {
            format!("{name}.{}", self.domain)
        }
    }

    fn fresh_id_scope(&self) -> String {
        loop {
            let number = self.context.random.below(1 << 32);
            let id_scope = format!("0ne{number:08X}");
            if self.context.table.with_id_scope(&id_scope).is_none() {
                return id_scope;
            }
        }
    }
}

fn merge_history(twins: &mut Twins, said: &DeclaredTwins, now: Timestamp) {
    if let Some(hours) = said.history_hours {
        let since = twins.history.as_ref().map_or(now, |history| history.since);
        twins.history = (hours > 0).then_some(TwinHistory { hours, since });
    }
    twins.consistency = said.consistency.unwrap_or(twins.consistency);
    let late = twins.consistency != Consistency::Strong;
    if late && twins.history.is_none() && said.history_hours.is_none() {
        twins.history = Some(TwinHistory { hours: 1, since: now });
    }
}

fn endpoint(said: &DeclaredEndpoint) -> Result<RoutingEndpoint> {
    if let Some(container) = &said.container {
        return stored(said, container);
    }
    let place = (&said.namespace, &said.event_hub, &said.connection_string, &said.webhook);
    let target = match place {
        (Some(namespace), Some(event_hub), None, None) => EndpointTarget::EventHub {
            namespace: ResourceName::parse(namespace)?,
            event_hub: event_hub.to_ascii_lowercase(),
        },
        (None, None, Some(text), None) => EndpointTarget::External { connection_string: text.clone() },
        (None, None, None, Some(url)) => {
            EndpointTarget::Webhook { url: url.clone(), dead_letters: said.dead_letters.unwrap_or(true) }
        }
        _ => {
            return Err(Error::invalid(format!(
                "the endpoint '{}' needs one of: 'namespace' and 'event_hub' (of this deployment), 'connection_string' (of an \
                 event hub elsewhere), 'webhook', 'container' (of a hub's storage)",
                pollux_model::ids::shown(&said.name)
            )));
        }
    };
    Ok(RoutingEndpoint { name: said.name.clone(), target })
}

fn stored(said: &DeclaredEndpoint, container: &str) -> Result<RoutingEndpoint> {
    if said.namespace.is_some() || said.event_hub.is_some() || said.webhook.is_some() {
        let name = pollux_model::ids::shown(&said.name);
        return Err(Error::invalid(format!(
            "the endpoint '{name}' is a container or something else, not both"
        )));
    }
    let target = EndpointTarget::Storage(StorageContainer {
        container: container.to_owned(),
        connection_string: said.connection_string.clone(),
        encoding: said.encoding.unwrap_or_default(),
        file_name_format: said.file_name_format.clone().map_or_else(FileNameFormat::default, FileNameFormat),
        batch_frequency_seconds: said.batch_frequency_seconds.unwrap_or(StorageContainer::BATCH_FREQUENCY),
        max_chunk_bytes: said.max_chunk_bytes.unwrap_or(StorageContainer::MAX_CHUNK),
    });
    Ok(RoutingEndpoint { name: said.name.clone(), target })
}

fn merge_built_in(present: &mut BuiltInEndpoint, said: &DeclaredBuiltIn) {
    present.partitions = said.partitions.unwrap_or(present.partitions);
    present.retention_hours = said.retention_hours.unwrap_or(present.retention_hours);
    present.retention_bytes = said.retention_bytes.or(present.retention_bytes).filter(|bytes| *bytes > 0);
    merge_groups(&mut present.consumer_groups, &said.consumer_groups);
}

fn merge_cloud_to_device(present: &mut CloudToDevice, said: &DeclaredCloudToDevice) {
    present.default_ttl_as_iso8601 = said.default_ttl_as_iso8601.unwrap_or(present.default_ttl_as_iso8601);
    present.max_delivery_count = said.max_delivery_count.unwrap_or(present.max_delivery_count);
    merge_feedback(&mut present.feedback, &said.feedback);
}

/// Of feedback, and of what is told in the same way.
pub(super) fn merge_feedback(feedback: &mut Feedback, said: &DeclaredFeedback) {
    feedback.lock_duration_as_iso8601 =
        said.lock_duration_as_iso8601.unwrap_or(feedback.lock_duration_as_iso8601);
    feedback.ttl_as_iso8601 = said.ttl_as_iso8601.unwrap_or(feedback.ttl_as_iso8601);
    feedback.max_delivery_count = said.max_delivery_count.unwrap_or(feedback.max_delivery_count);
}

fn merge_sku(present: &mut Option<Sku>, said: &DeclaredSku) -> Result<()> {
    let name = match said.name.as_deref() {
        Some(name) if name.eq_ignore_ascii_case("none") => {
            *present = None;
            return Ok(());
        }
        Some(name) => name.parse()?,
        None => present.ok_or_else(|| Error::invalid("sku.name is missing: F1, S1, S2 or S3"))?.name,
    };
    let kept = present.filter(|sku| sku.name == name).map_or(1, |sku| sku.capacity);
    let sku = Sku { name, capacity: said.capacity.unwrap_or(kept) };
    sku.check()?;
    *present = Some(sku);
    Ok(())
}

fn merge_groups(present: &mut Vec<String>, said: &[String]) {
    said.iter().for_each(|group| merge_group(present, group));
}

pub(super) fn route(said: &DeclaredRoute) -> Route {
    Route {
        name: said.name.clone(),
        source: said.source,
        condition: said.condition.clone().unwrap_or_else(|| "true".to_owned()),
        endpoint: said.endpoint.clone(),
        enabled: said.enabled.unwrap_or(true),
    }
}

fn enrichment(said: &DeclaredEnrichment) -> Enrichment {
    Enrichment { key: said.key.clone(), value: said.value.clone(), endpoints: said.endpoints.clone() }
}

fn event_route(said: &DeclaredEventRoute) -> EventRoute {
    EventRoute {
        id: said.id.clone(),
        endpoint: said.endpoint.clone(),
        filter: said.filter.clone().unwrap_or_else(|| "true".to_owned()),
    }
}

pub(super) fn merge_link(links: &mut Vec<LinkedHub>, said: &DeclaredLink) -> Result<()> {
    let hub = ResourceName::parse(&said.hub)?;
    let present = links.iter().find(|link| link.hub == hub);
    let link = LinkedHub {
        allocation_weight: said.allocation_weight.or(present.map(|l| l.allocation_weight)).unwrap_or(1),
        apply_allocation_policy: said
            .apply_allocation_policy
            .or(present.map(|l| l.apply_allocation_policy))
            .unwrap_or(true),
        latency_ms: said.latency_ms.or(present.and_then(|l| l.latency_ms)),
        latencies: said
            .latencies
            .clone()
            .or_else(|| present.map(|l| l.latencies.clone()))
            .unwrap_or_default(),
        hub,
    };
    put(links, link, |a, b| a.hub == b.hub);
    Ok(())
}

fn merge_event_hub(
    event_hubs: &mut Vec<EventHub>,
    said: &DeclaredEventHub,
    random: &dyn Random,
) -> Result<()> {
    let name = said.name.to_ascii_lowercase();
    let mut event_hub = event_hubs.iter().find(|one| one.name == name).cloned().unwrap_or_else(|| EventHub {
        name,
        partitions: defaults::PARTITIONS,
        retention_hours: defaults::RETENTION_HOURS,
        retention_bytes: None,
        consumer_groups: vec![DEFAULT_CONSUMER_GROUP.to_owned()],
        policies: Vec::new(),
    });
    event_hub.partitions = said.partitions.unwrap_or(event_hub.partitions);
    event_hub.retention_hours = said.retention_hours.unwrap_or(event_hub.retention_hours);
    event_hub.retention_bytes = said.retention_bytes.or(event_hub.retention_bytes).filter(|bytes| *bytes > 0);
    merge_groups(&mut event_hub.consumer_groups, &said.consumer_groups);
    merge_policies(&mut event_hub.policies, &said.policies, random)?;
    put(event_hubs, event_hub, |a, b| a.name == b.name);
    Ok(())
}

/// Names of consumer groups compare without case; the first spelling stays.
pub(super) fn merge_group(groups: &mut Vec<String>, said: &str) {
    if !groups.iter().any(|one| one.eq_ignore_ascii_case(said)) {
        groups.push(said.to_owned());
    }
}

pub(super) fn merge_policies(
    policies: &mut Vec<Policy>,
    said: &[DeclaredPolicy],
    random: &dyn Random,
) -> Result<()> {
    for one in said {
        let present = policies.iter().find(|policy| policy.name.eq_ignore_ascii_case(&one.name)).cloned();
        let mut policy = match present {
            Some(policy) => policy,
            None => Policy::new(&one.name, KeyPair::generate(random), needed_rights(one)?),
        };
        if let Some(rights) = &one.rights {
            policy.rights = whole(rights);
        }
        if let Some(key) = &one.primary_key {
            policy.keys.primary = key_of(&one.name, key)?;
        }
        if let Some(key) = &one.secondary_key {
            policy.keys.secondary = key_of(&one.name, key)?;
        }
        put(policies, policy, |a, b| a.name.eq_ignore_ascii_case(&b.name));
    }
    Ok(())
}

/// Each right once, and what it implies: who may manage may send and listen (Azure article "Authorize access to Event Hubs
/// using Shared Access Signatures", whose portal ticks all three).
fn whole(said: &[PolicyRight]) -> Vec<PolicyRight> {
    let implied: &[_] = match said.contains(&PolicyRight::Manage) {
        true => &[PolicyRight::Send, PolicyRight::Listen],
        false => &[],
    };
    let mut rights = Vec::new();
    for right in said.iter().chain(implied) {
        if !rights.contains(right) {
            rights.push(*right);
        }
    }
    rights
}

fn needed_rights(said: &DeclaredPolicy) -> Result<&[PolicyRight]> {
    said.rights
        .as_deref()
        .ok_or_else(|| Error::invalid(format!("the new policy '{}' needs 'rights'", said.name)))
}

fn key_of(of: &str, text: &Setting) -> Result<Key> {
    Key::from_base64(&text.0)
        .ok_or_else(|| Error::invalid(format!("the key of '{of}' must be base64 of 16 to 64 bytes")))
}

fn merge_settings(settings: &mut BTreeMap<String, Setting>, said: &BTreeMap<String, Setting>) {
    for (name, value) in said {
        if value.0.is_empty() {
            settings.remove(name);
        } else {
            settings.insert(name.clone(), value.clone());
        }
    }
}

/// Replaces the item that is the same, in its place, or adds one at the end.
pub(super) fn put<T>(items: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) {
    match items.iter_mut().find(|one| same(one, &item)) {
        Some(place) => *place = item,
        None => items.push(item),
    }
}
