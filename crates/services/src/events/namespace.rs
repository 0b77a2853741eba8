//! A namespace as clients of event hubs see it: whatever resource is behind it.

use std::sync::Arc;

use pollux_eventlog::StreamName;
use pollux_model::resource::{
    BUILT_IN_ENDPOINT, EventHub, Policy, PolicyRight, Properties, Resource, ResourceKind,
};
use pollux_model::{OwnerName, Result, Timestamp};

use super::Events;
use super::access::Claim;
use super::address::path;
use crate::streams;

/// What the address of a hub's built-in endpoint begins with, at the hub's own name.
const OF_HUBS: &str = "messages";

/// Event hubs and the policies that open them.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Unique; the first part of its streams' names.
    pub name: OwnerName,
    /// When it was made.
    pub created: Timestamp,
    /// Its event hubs.
    pub event_hubs: Vec<EventHub>,
    pub(super) policies: Vec<Policy>,
    pub(super) resource: Arc<Resource>,
}

impl Namespace {
    /// An event hubs namespace, or a hub with its built-in endpoint: whoever may connect to the hub as a service may
    /// receive (Azure article "Read device-to-cloud messages from the built-in endpoint").
    fn of(resource: &Arc<Resource>) -> Option<Self> {
        let (name, event_hubs, policies) = match &resource.properties {
            Properties::Events(events) => {
                (resource.name.clone().into(), events.event_hubs.clone(), events.policies.clone())
            }
            Properties::Hub(hub) => {
                let reads = |policy: &&Policy| policy.rights.contains(&PolicyRight::ServiceConnect);
                let reader = |policy: &Policy| Policy { rights: vec![PolicyRight::Listen], ..policy.clone() };
                let policies = hub.policies.iter().filter(reads).map(reader).collect();
                (OwnerName::of_hub(&resource.name), vec![hub.events.event_hub(&resource.name)], policies)
            }
            Properties::Dps(_) | Properties::Twins(_) | Properties::Functions(_) => return None,
        };
        let created = resource.created;
        Some(Self { name, created, event_hubs, policies, resource: Arc::clone(resource) })
    }

    /// Whether it is a hub's built-in endpoint.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.name.hub().is_some()
    }

    pub(super) fn stream(&self, event_hub: &str) -> Result<StreamName> {
        streams::name(&self.name, event_hub)
    }

    fn has(&self, event_hub: &str) -> bool {
        self.event_hubs.iter().any(|hub| hub.name.eq_ignore_ascii_case(event_hub))
            || (self.is_built_in() && event_hub.eq_ignore_ascii_case(OF_HUBS))
    }
}

/// What has event hubs.
const KINDS: [ResourceKind; 2] = [ResourceKind::Events, ResourceKind::Hub];

impl Events {
    /// The namespace that a host name and an address or audience lead to: of those that bear the name the one that has
    /// the event hub; without such, the first.
    #[must_use]
    pub fn namespace(&self, host: &str, address: &str) -> Option<Namespace> {
        self.namespaces_for(host, address).into_iter().next()
    }

    /// All namespaces that a host name and an address may mean: where one has the event hub, only such.
    pub(super) fn namespaces_for(&self, host: &str, address: &str) -> Vec<Namespace> {
        let event_hub = path(address).split('/').next().unwrap_or_default();
        let mut all = self.namespaces(host);
        if all.iter().any(|one| one.has(event_hub)) {
            all.retain(|one| one.has(event_hub));
        }
        all
    }

    /// All namespaces that a host name may mean, hubs last: a name of this machine is each one's.
    pub(super) fn namespaces(&self, host: &str) -> Vec<Namespace> {
        let table = &self.context.table;
        if table.is_local(host.split(':').next().unwrap_or(host)) {
            return self.every_namespace();
        }
        KINDS.into_iter().filter_map(|kind| Namespace::of(&table.serving(kind, host)?)).collect()
    }

    /// The namespaces of all hosts, hubs last.
    pub(super) fn every_namespace(&self) -> Vec<Namespace> {
        let all = self.context.table.all();
        let of = |kind| all.iter().filter(move |one| one.kind() == kind).filter_map(Namespace::of);
        KINDS.into_iter().flat_map(of).collect()
    }

    /// Where an address of a hub's own (`messages/events/…`) leads: the same at its built-in endpoint, by the name that
    /// event hubs' clients know. `None` for other addresses; an error where no claim allows it.
    pub fn at_built_in<'c>(
        &self,
        host: &str,
        claims: impl Iterator<Item = &'c Claim> + Clone,
        address: &str,
    ) -> Option<Result<String>> {
        let path = path(address);
        let (messages, rest) = path.split_once('/')?;
        let (events, rest) = rest.split_once('/').map_or((rest, None), |(events, rest)| (events, Some(rest)));
        if !messages.eq_ignore_ascii_case(OF_HUBS) || !events.eq_ignore_ascii_case(BUILT_IN_ENDPOINT) {
            return None;
        }
        let mut refused = None;
        for hub in self.namespaces_for(host, path).into_iter().filter(Namespace::is_built_in) {
            match self.require(&hub, claims.clone(), path, PolicyRight::Listen) {
                Ok(_) => {
                    let name = hub.event_hubs.into_iter().map(|one| one.name);
                    return Some(Ok(name.chain(rest.map(str::to_owned)).collect::<Vec<_>>().join("/")));
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Some(Err(refused.unwrap_or_else(super::access::no_namespace)))
    }

    /// The namespace of that name.
    pub(super) fn named(&self, name: &OwnerName) -> Option<Namespace> {
        let table = &self.context.table;
        let found = match name.hub() {
            Some(hub) => table.named(ResourceKind::Hub, hub),
            None => table.named(ResourceKind::Events, name),
        };
        found.as_ref().and_then(Namespace::of)
    }

    /// The namespace as it is now; `None` when it is gone.
    #[must_use]
    pub fn current(&self, namespace: &Namespace) -> Option<Namespace> {
        let before = &namespace.resource;
        let now = self.context.table.named(before.kind(), &before.name)?;
        // One made anew under the same name is another.
        (now.created == before.created).then(|| Namespace::of(&now)).flatten()
    }
}
