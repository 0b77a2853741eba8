//! A namespace as clients of event hubs see it: whatever resource is behind it.

use std::sync::Arc;

use pollux_eventlog::StreamName;
use pollux_model::resource::{EventHub, Policy, Properties, Resource, ResourceKind};
use pollux_model::{Result, Timestamp};

use super::Events;
use super::address::path;

/// Event hubs and the policies that open them.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Unique; the first part of its streams' names.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its event hubs.
    pub event_hubs: Vec<EventHub>,
    pub(super) policies: Vec<Policy>,
    pub(super) resource: Arc<Resource>,
}

impl Namespace {
    fn of(resource: &Arc<Resource>) -> Option<Self> {
        let Properties::Events(events) = &resource.properties else { return None };
        Some(Self {
            name: resource.name.to_string(),
            created: resource.created,
            event_hubs: events.event_hubs.clone(),
            policies: events.policies.clone(),
            resource: Arc::clone(resource),
        })
    }

    pub(super) fn stream(&self, event_hub: &str) -> Result<StreamName> {
        StreamName::new(&format!("{}/{event_hub}", self.name))
            .map_err(|error| pollux_model::Error::invalid(error.to_string()))
    }

    fn has(&self, event_hub: &str) -> bool {
        self.event_hubs.iter().any(|hub| hub.name.eq_ignore_ascii_case(event_hub))
    }
}

impl Events {
    /// The namespace that a host name leads to: the one that bears it. On a name of this machine, which all share, the
    /// one that has the event hub of this address or audience; without such, the oldest.
    #[must_use]
    pub fn namespace(&self, host: &str, address: &str) -> Option<Namespace> {
        let table = &self.context.table;
        let serving = table.serving(ResourceKind::Events, host);
        if !table.is_local(host.split(':').next().unwrap_or(host)) {
            return serving.as_ref().and_then(Namespace::of);
        }
        let event_hub = path(address).split('/').next().unwrap_or_default();
        let all = table.all();
        let mut namespaces = all.iter().filter_map(Namespace::of);
        namespaces.find(|one| one.has(event_hub)).or_else(|| serving.as_ref().and_then(Namespace::of))
    }

    /// All namespaces that a host name may mean.
    pub(super) fn namespaces(&self, host: &str) -> Vec<Namespace> {
        let table = &self.context.table;
        if table.is_local(host.split(':').next().unwrap_or(host)) {
            return table.all().iter().filter_map(Namespace::of).collect();
        }
        table.serving(ResourceKind::Events, host).as_ref().and_then(Namespace::of).into_iter().collect()
    }

    /// The namespace of that name.
    pub(super) fn named(&self, name: &str) -> Option<Namespace> {
        self.context.table.named(ResourceKind::Events, name).as_ref().and_then(Namespace::of)
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
