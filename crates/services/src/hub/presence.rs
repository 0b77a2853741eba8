//! What a device's record does not say: whether it is connected and when it was heard of, how many messages wait for it.

use std::collections::HashMap;

use pollux_model::device::{Activity, Device};
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, DeviceId, Error, Result, Timestamp};

use super::Hub;

/// Of one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whether it is connected.
    pub connected: bool,
    /// When it was last heard of.
    pub activity: Activity,
    /// How many messages wait for it (`cloudToDeviceMessageCount`).
    pub messages: u64,
}

/// Of several.
#[derive(Debug, Default)]
pub struct Presences {
    since: HashMap<DeviceAddress, Timestamp>,
    activities: HashMap<DeviceAddress, Activity>,
    messages: HashMap<DeviceId, u64>,
}

impl Presences {
    /// Of one of them.
    #[must_use]
    pub fn of(&self, id: &DeviceAddress) -> Presence {
        // No message is for a module.
        let messages = self.messages.get(&id.device).filter(|_| id.module.is_none());
        let messages = messages.copied().unwrap_or_default();
        let (since, known) = (self.since.get(id), self.activities.get(id).copied().unwrap_or_default());
        let activity =
            since.map_or(known, |since| Activity { state_updated: *since, last: known.last.max(*since) });
        Presence { connected: since.is_some(), activity, messages }
    }
}

impl Hub {
    /// Of one device.
    pub async fn presence(&self, hub: &Resource, device: &Device) -> Result<Presence> {
        Ok(self.presences(hub, std::slice::from_ref(device)).await?.of(&device.address()))
    }

    /// Of each of these devices.
    pub async fn presences(&self, hub: &Resource, devices: &[Device]) -> Result<Presences> {
        let own = devices.iter().map(Device::address).filter(|id| id.module.is_none());
        let ids: Vec<DeviceId> = own.map(|id| id.device).collect();
        let counted = async { Ok(self.context.store.count_messages(&hub.name, &ids).await?) };
        let heard = async {
            let since = self.connections.since_each(&hub.name, devices).await;
            // After that: who has left in between has been noted.
            Ok::<_, Error>((since, self.activities(hub, devices).await?))
        };
        let (messages, (since, activities)) = tokio::try_join!(counted, heard)?;
        Ok(Presences { since, activities, messages })
    }
}
