//! What a device's record does not say: since when it is connected, how many messages wait for it.

use std::collections::HashMap;

use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Result, Timestamp};

use super::Hub;

/// Of one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// Since when it is connected, if it is.
    pub since: Option<Timestamp>,
    /// How many messages wait for it (`cloudToDeviceMessageCount`).
    pub messages: u64,
}

/// Of several.
#[derive(Debug, Default)]
pub struct Presences {
    since: HashMap<DeviceId, Timestamp>,
    messages: HashMap<DeviceId, u64>,
}

impl Presences {
    /// Of one of them.
    #[must_use]
    pub fn of(&self, id: &DeviceId) -> Presence {
        let messages = self.messages.get(id).copied().unwrap_or_default();
        Presence { since: self.since.get(id).copied(), messages }
    }
}

impl Hub {
    /// Of one device.
    pub async fn presence(&self, hub: &Resource, device: &Device) -> Result<Presence> {
        Ok(self.presences(hub, std::slice::from_ref(device)).await?.of(&device.id))
    }

    /// Of each of these devices.
    pub async fn presences(&self, hub: &Resource, devices: &[Device]) -> Result<Presences> {
        let ids: Vec<DeviceId> = devices.iter().map(|device| device.id.clone()).collect();
        let messages = self.context.store.count_messages(&hub.name, &ids).await?;
        Ok(Presences { since: self.connections.since_each(&hub.name, devices).await, messages })
    }
}
