//! Reading modules of a hub's devices.

use async_trait::async_trait;
use pollux_model::device::Device;
use pollux_model::{DeviceAddress, DeviceId, ModuleId, ResourceName};

use crate::error::StoreError;
use crate::keys::mark_of;
use crate::store::Page;

/// Modules, keyed by hub, device id and module id. Their device is always there.
#[async_trait]
pub trait Modules {
    /// One module.
    async fn module(
        &self,
        hub: &ResourceName,
        device: &DeviceId,
        id: &ModuleId,
    ) -> Result<Option<Device>, StoreError>;
    /// All of a device, in order of id. Services bound how many it has.
    async fn modules_of(&self, hub: &ResourceName, device: &DeviceId) -> Result<Vec<Device>, StoreError>;
    /// All of a hub in order of device and id, after `after`.
    async fn modules(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>, StoreError>;
}

/// Where [`Modules::modules`] goes on behind this module.
#[must_use]
pub fn after_module(address: &DeviceAddress) -> String {
    mark_of(&address.device, address.module.as_deref().unwrap_or_default())
}
