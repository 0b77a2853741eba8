//! Device identities read.

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Result};
use pollux_store::Page;

use super::{Hub, Operation};
use crate::caller::{Caller, HubAction, Right};

pub(super) const READ: Right = Right::Hub(HubAction::DevicesRead);

/// Counts of a hub's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// All devices.
    pub total: u64,
    /// Those that may connect.
    pub enabled: u64,
    /// Those that are connected.
    pub connected: u64,
}

impl Hub {
    /// One device.
    pub async fn device(&self, caller: &Caller, hub: &Resource, id: &str) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, READ)?;
        self.throttle(hub, Operation::Identity, 1)?;
        self.existing(hub, &DeviceId::parse(id)?).await
    }

    /// Devices in order of id.
    pub async fn devices(
        &self,
        caller: &Caller,
        hub: &Resource,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>> {
        caller.require(ResourceKind::Hub, &hub.name, READ)?;
        self.throttle(hub, Operation::Identity, 1)?;
        Ok(self.context.store.devices(&hub.name, after, limit).await?)
    }

    /// How many devices there are.
    pub async fn statistics(&self, caller: &Caller, hub: &Resource) -> Result<Statistics> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::StatisticsRead))?;
        let (total, enabled) = self.context.store.count_devices(&hub.name).await?;
        let connected = u64::try_from(self.connections.count(&hub.name).await).unwrap_or(u64::MAX);
        Ok(Statistics { total, enabled, connected })
    }
}
