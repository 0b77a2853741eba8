//! Reading devices of a hub.

use async_trait::async_trait;
use pollux_model::device::Device;
use pollux_model::{DeviceAddress, DeviceId, ResourceName};

use crate::error::StoreError;
use crate::modules::Modules;
use crate::store::Page;

/// Devices, keyed by hub and device id.
#[async_trait]
pub trait Devices: Modules {
    /// One device.
    async fn device(&self, hub: &ResourceName, id: &DeviceId) -> Result<Option<Device>, StoreError>;
    /// One device, or one module.
    async fn addressed(&self, hub: &ResourceName, id: &DeviceAddress) -> Result<Option<Device>, StoreError> {
        match &id.module {
            Some(module) => self.module(hub, &id.device, module).await,
            None => self.device(hub, &id.device).await,
        }
    }
    /// Devices in order of id, after `after`.
    async fn devices(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>, StoreError>;
    /// How many there are: all, and those enabled.
    async fn count_devices(&self, hub: &ResourceName) -> Result<(u64, u64), StoreError>;
}
