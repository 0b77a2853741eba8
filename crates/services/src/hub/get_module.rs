//! Module identities read.

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, DeviceId, Result};

use super::get_device::READ;
use super::{Hub, Operation};
use crate::caller::Caller;

impl Hub {
    /// One module.
    pub async fn module(&self, caller: &Caller, hub: &Resource, device: &str, id: &str) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, READ)?;
        self.throttle(hub, Operation::Identity, 1)?;
        self.addressed(hub, &DeviceAddress::of(device, Some(id))?).await
    }

    /// All of a device, in order of id.
    pub async fn modules(&self, caller: &Caller, hub: &Resource, device: &str) -> Result<Vec<Device>> {
        caller.require(ResourceKind::Hub, &hub.name, READ)?;
        self.throttle(hub, Operation::Identity, 1)?;
        let device = DeviceId::parse(device)?;
        let modules = self.context.store.modules_of(&hub.name, &device).await?;
        if modules.is_empty() {
            self.existing(hub, &device).await?;
        }
        Ok(modules)
    }
}
