//! Edge devices and their children, as far as the registry knows of them: scopes and the two modules that each has from its
//! beginning. Nothing is routed between them.
//!
//! ```text
//!   gateway   iotEdge   deviceScope ms-azure-iot-edge://gateway-<generation>   (given once, for life)
//!   ├─ inner  iotEdge   deviceScope ms-azure-iot-edge://inner-<generation>     parentScopes [gateway's]
//!   └─ leaf             deviceScope gateway's                                  parentScopes [gateway's]
//! ```
//!
//! Azure article "Understand the identity registry in your IoT hub" (`deviceScope`, `parentScopes`); `iothub_device_identity`
//! of the Azure CLI's extension azure-iot shows which of the two members clients change.

use std::collections::BTreeSet;

use pollux_model::device::{Device, Identity};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Error, ModuleId, Result, ids};

use pollux_store::{Batch, CommitError};
use serde_json::{Value, json};

use super::Hub;
use super::plan_twin::TwinChange;

const SCHEME: &str = "ms-azure-iot-edge://";
/// What the runtime of an edge device is made of ("Understand the Azure IoT Edge runtime and its architecture").
const MODULES: [&str; 2] = ["$edgeAgent", "$edgeHub"];
/// Who looks after them.
pub(super) const MANAGED_BY: &str = "IotEdge";
/// Parents of one device. Ours: Azure's clients give one.
const PARENTS: usize = 8;
/// Edge devices above one device. Ours.
const ANCESTORS: usize = 256;

/// Where a client wants a device among edge devices. What is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    /// Its own, or its parent's; empty: none.
    pub device: Option<String>,
    /// Its parents'.
    pub parents: Option<Vec<String>>,
}

impl Scopes {
    /// The ids of the edge devices that they are of.
    pub(super) fn heads(&self) -> impl Iterator<Item = DeviceId> {
        self.device.iter().chain(self.parents.iter().flatten()).filter_map(|scope| head(scope))
    }

    /// Gives a device its place.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::InvalidArgument`]: the scope of an edge device is its own and stays.
    pub(super) fn give(&self, id: &DeviceId, identity: &mut Identity) -> Result<()> {
        let own = scope_of(id, &identity.generation_id);
        let was = identity.device_scope.take();
        let given = self.device.as_deref().filter(|scope| !scope.is_empty());
        if identity.iot_edge {
            if given.is_some_and(|given| given != own) && given != was.as_deref() {
                return Err(Error::invalid(format!("deviceScope of an edge device is its own: {own}")));
            }
            identity.device_scope = Some(own);
            if let Some(parents) = &self.parents {
                identity.parent_scopes.clone_from(parents);
            }
            return Ok(());
        }
        // It may have been one until now.
        let (was, given) = (was.filter(|scope| *scope != own), given.filter(|scope| *scope != own));
        let scope = match (&self.device, &self.parents) {
            (None, None) => was,
            // Clients send back what they were shown beside what they change.
            (Some(_), Some(parents)) if given == was.as_deref() => parents.first().cloned(),
            (Some(_), _) => given.map(str::to_owned),
            (None, Some(parents)) => parents.first().cloned(),
        };
        identity.parent_scopes = match &self.parents {
            Some(parents) if parents.first() == scope.as_ref() => parents.clone(),
            _ => scope.iter().cloned().collect(),
        };
        identity.device_scope = scope;
        Ok(())
    }
}

/// The ids of the edge devices right above a device.
pub(super) fn parents(identity: &Identity, id: &DeviceId) -> Vec<DeviceId> {
    let scopes = identity.device_scope.iter().chain(&identity.parent_scopes);
    let mut parents: Vec<_> = scopes.filter_map(|scope| head(scope)).filter(|parent| parent != id).collect();
    parents.dedup();
    parents
}

/// The id of the edge device that a scope is of.
fn head(scope: &str) -> Option<DeviceId> {
    let (id, _) = scope.strip_prefix(SCHEME)?.rsplit_once('-')?;
    DeviceId::parse(id).ok()
}

/// Writes a device's place into a document about it.
pub fn place(identity: &Identity, document: &mut Value) {
    if let Some(scope) = &identity.device_scope {
        document["deviceScope"] = json!(scope);
        document["parentScopes"] = json!(identity.parent_scopes);
    }
}

/// The scope of an edge device.
pub(super) fn own_scope(device: &Device) -> String {
    scope_of(&device.id, &device.identity.generation_id)
}

fn scope_of(id: &DeviceId, generation_id: &str) -> String {
    format!("{SCHEME}{id}-{generation_id}")
}

impl Hub {
    /// Refuses scopes of edge devices that are not there, unless the device has them already: its parent may be deleted. Refuses a
    /// parent that is the device itself, or below it.
    pub(super) async fn check_scopes(
        &self,
        hub: &Resource,
        scopes: &Scopes,
        before: Option<(&DeviceId, &Identity)>,
    ) -> Result<()> {
        let parents = scopes.parents.iter().flatten();
        if parents.clone().count() > PARENTS {
            return Err(Error::invalid(format!("parentScopes may have {PARENTS} members at most")));
        }
        let known = |scope: &&String| {
            let had = |identity: &Identity| {
                identity.device_scope.as_ref() == Some(scope) || identity.parent_scopes.contains(scope)
            };
            scope.is_empty() || before.is_some_and(|(_, identity)| had(identity))
        };
        for scope in scopes.device.iter().chain(parents.clone()).filter(|scope| !known(scope)) {
            let found = match head(scope) {
                Some(id) => self.context.store.device(&hub.name, &id).await?,
                None => None,
            };
            if !found.is_some_and(|device| device.identity.iot_edge && own_scope(&device) == **scope) {
                let shown = ids::shown(scope);
                return Err(Error::invalid(format!("'{shown}' is the scope of no edge device of this hub")));
            }
        }
        let Some((id, identity)) = before else { return Ok(()) };
        let new = parents.filter(|scope| !identity.parent_scopes.contains(scope));
        let new = new.filter_map(|scope| head(scope)).collect();
        if self.is_among(hub, id, new).await? {
            let text = format!("a parent of '{id}' is '{id}' itself, or below it");
            return Err(Error::invalid(text));
        }
        Ok(())
    }

    /// Whether a device is one of these edge devices, or above one of them.
    async fn is_among(&self, hub: &Resource, id: &DeviceId, mut waiting: Vec<DeviceId>) -> Result<bool> {
        let mut seen = BTreeSet::new();
        while let Some(next) = waiting.pop() {
            if next == *id {
                return Ok(true);
            }
            if seen.len() >= ANCESTORS {
                return Err(Error::invalid(format!(
                    "there are more than {ANCESTORS} edge devices above '{id}'"
                )));
            }
            if seen.insert(next.clone())
                && let Some(found) = self.context.store.device(&hub.name, &next).await?
            {
                waiting.extend(parents(&found.identity, &next));
            }
        }
        Ok(false)
    }

    /// Scopes as they were exported, of this hub or another: a scope is made with its edge device, and anew when the device is. Each
    /// becomes that of the edge device of the same id as it is now; one whose edge device is not there stays.
    pub(super) async fn scopes_of_now(&self, hub: &Resource, id: &str, mut scopes: Scopes) -> Result<Scopes> {
        // Its own it has by itself.
        scopes.device = scopes.device.filter(|scope| head(scope).is_none_or(|head| head.as_str() != id));
        for scope in scopes.device.iter_mut().chain(scopes.parents.iter_mut().flatten()) {
            let Some(head) = head(scope) else { continue };
            let found = self.context.store.device(&hub.name, &head).await?;
            if let Some(found) = found.filter(|device| device.identity.iot_edge) {
                *scope = own_scope(&found);
            }
        }
        Ok(scopes)
    }

    /// Adds the writes that make the modules of a new edge device.
    pub(super) async fn plan_edge_modules(
        &self,
        hub: &Resource,
        device: &Device,
        batch: &mut Batch,
    ) -> Result<()> {
        for module in self.edge_modules(device) {
            batch.writes.extend(self.plan_twin(hub, module, TwinChange::Birth).await?.writes);
        }
        Ok(())
    }

    /// Makes those of an edge device that are missing: it was none until now.
    pub(super) async fn add_edge_modules(&self, hub: &Resource, device: &Device) -> Result<()> {
        if !device.identity.iot_edge {
            return Ok(());
        }
        let there = self.context.store.modules_of(&hub.name, &device.id).await?;
        for module in self.edge_modules(device) {
            if there.iter().any(|one| one.module == module.module) {
                continue;
            }
            let writes = self.plan_twin(hub, module, TwinChange::Birth).await?.writes;
            match self.context.store.commit(Batch { writes }).await {
                // Somebody else made it, or the device is gone.
                Ok(()) | Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The modules that an edge device has from its beginning; none of another.
    pub(super) fn edge_modules(&self, device: &Device) -> Vec<Device> {
        if !device.identity.iot_edge || device.module.is_some() {
            return Vec::new();
        }
        let made = MODULES.into_iter().filter_map(|name| ModuleId::parse(name).ok()).map(|name| {
            let keys = pollux_model::KeyPair::generate(&*self.context.random);
            let authentication = pollux_model::device::Authentication::Sas { keys };
            let mut module = self.new_device(device.id.clone(), authentication, false);
            module.module = Some(name);
            module.identity.managed_by = Some(MANAGED_BY.to_owned());
            module
        });
        made.collect()
    }
}

#[cfg(test)]
mod tests;
