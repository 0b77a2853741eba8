//! All resources in memory, replaced whole when one changes.

use std::sync::Arc;

use parking_lot::RwLock;
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use tokio::sync::watch;

/// The deployment's resources. Reading is a lock held for a pointer copy.
#[derive(Debug)]
pub struct ResourceTable {
    /// Names that mean "this machine": `localhost`, addresses, the configured domain and extra names, lower case.
    local_names: Vec<String>,
    resources: RwLock<Arc<[Arc<Resource>]>>,
    /// Counts the replacements.
    version: watch::Sender<u64>,
}

impl ResourceTable {
    /// An empty table that takes `local_names` for this machine.
    #[must_use]
    pub fn new(local_names: Vec<String>) -> Self {
        Self { local_names, resources: RwLock::new(Arc::new([])), version: watch::Sender::new(0) }
    }

    /// Replaces all resources.
    pub fn replace(&self, mut resources: Vec<Resource>) {
        resources.sort_by(|a, b| (a.kind(), a.created, &a.name).cmp(&(b.kind(), b.created, &b.name)));
        *self.resources.write() = resources.into_iter().map(Arc::new).collect();
        self.version.send_modify(|version| *version += 1);
    }

    /// Grows with every replacement: caches made from the resources compare it.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Wakes whenever resources were replaced.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// All resources, ordered by kind and age.
    #[must_use]
    pub fn all(&self) -> Arc<[Arc<Resource>]> {
        Arc::clone(&self.resources.read())
    }

    /// By kind and name.
    #[must_use]
    pub fn named(&self, kind: ResourceKind, name: &str) -> Option<Arc<Resource>> {
        self.all().iter().find(|resource| resource.kind() == kind && &*resource.name == name).cloned()
    }

    /// By kind and name, or [`ErrorCode::ResourceNotFound`].
    pub fn get(&self, kind: ResourceKind, name: &ResourceName) -> Result<Arc<Resource>> {
        self.named(kind, name).ok_or_else(|| {
            Error::new(ErrorCode::ResourceNotFound, format!("there is no {kind} named '{name}'"))
        })
    }

    /// The resource of a kind that a host name (with or without port) leads to: the one that bears it, or, for a name
    /// of this machine, the oldest of its kind.
    #[must_use]
    pub fn serving(&self, kind: ResourceKind, host: &str) -> Option<Arc<Resource>> {
        let host = without_port(host);
        let all = self.all();
        let mut of_kind = all.iter().filter(|resource| resource.kind() == kind);
        let bears = |resource: &&Arc<Resource>| bears_name(resource, host);
        of_kind.clone().find(bears).or_else(|| of_kind.next().filter(|_| self.is_local(host))).cloned()
    }

    /// The resource of a kind that a URL leads to, where its host name is certainly ours: a resource's own, one of this
    /// machine, or `<resource>.<name of this machine>`. For those who call: `<name>.<anything>` will do for whoever has
    /// reached us, but one like it may be elsewhere (`twins1.api.weu.digitaltwins.azure.net`).
    #[must_use]
    pub fn own(&self, kind: ResourceKind, host: &str) -> Option<Arc<Resource>> {
        let name = without_port(host);
        let below = || name.split_once('.').is_some_and(|(_, rest)| self.is_local(rest));
        let ours =
            |one: &Arc<Resource>| one.host_name.eq_ignore_ascii_case(name) || self.is_local(name) || below();
        self.serving(kind, host).filter(ours)
    }

    /// Whether a hub may be called so beside this host name of it: by its own name, or by the first label of the host name, which
    /// is the same in Azure and which clients take (`config.js` of npm's azure-event-hubs).
    pub fn is_called(&self, hub: &Resource, host: &str, name: &str) -> bool {
        let label = host.split(['.', ':']).next().unwrap_or_default();
        let by_host = label.eq_ignore_ascii_case(name) && self.answers_to(hub, host);
        hub.name.eq_ignore_ascii_case(name) || by_host
    }

    /// Whether a host name (with or without port) may stand for this resource in a token or a user name.
    #[must_use]
    pub fn answers_to(&self, resource: &Resource, host: &str) -> bool {
        let host = without_port(host);
        bears_name(resource, host) || self.is_local(host)
    }

    /// The provisioning service with this ID scope.
    #[must_use]
    pub fn with_id_scope(&self, id_scope: &str) -> Option<Arc<Resource>> {
        let has = |resource: &&Arc<Resource>| matches!(&resource.properties, Properties::Dps(dps) if dps.id_scope.eq_ignore_ascii_case(id_scope));
        self.all().iter().find(has).cloned()
    }

    /// Whether a name means this machine.
    #[must_use]
    pub fn is_local(&self, host: &str) -> bool {
        self.local_names.iter().any(|name| name.eq_ignore_ascii_case(host))
            || host.parse::<std::net::IpAddr>().is_ok()
    }
}

/// `hub1.example.com` bears its full name; so does every `<name>.<anything>` whose first label is the resource's name.
fn bears_name(resource: &Resource, host: &str) -> bool {
    resource.host_name.eq_ignore_ascii_case(host)
        || host.split_once('.').is_some_and(|(label, _)| label.eq_ignore_ascii_case(&resource.name))
}

fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;

    #[tokio::test]
    async fn a_name_elsewhere_is_not_taken_for_our_own() {
        let world = World::new().await;
        let own = |host: &str| world.services.context.table.own(ResourceKind::Twins, host).is_some();
        for ours in
            ["localhost", "localhost:8443", "127.0.0.1", "[::1]", "twins1.localhost", "Twins1.LOCALHOST"]
        {
            assert!(own(ours), "{ours}");
        }
        for foreign in
            ["twins1.api.weu.digitaltwins.azure.net", "twins1.example", "other.localhost", "example"]
        {
            assert!(!own(foreign), "{foreign}");
        }
    }
}
