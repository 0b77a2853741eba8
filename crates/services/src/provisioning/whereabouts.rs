//! Where a device that registers is already, so that it is in one place only after it.

use std::sync::Arc;

use pollux_model::DeviceId;
use pollux_model::device::Device;
use pollux_model::registration::Registration;
use pollux_model::resource::{Resource, ResourceKind};

use super::Provisioning;
use super::operate::Outcome;

/// A device's place: a hub, and its id there.
pub(super) struct Whereabouts {
    pub(super) hub: Arc<Resource>,
    pub(super) id: DeviceId,
}

impl Whereabouts {
    /// Whether the device need not move.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.hub.name == other.hub.name && self.id == other.id
    }
}

impl Provisioning {
    /// Where the device is now, if its record says so and it is still there. `next`: its id from now on.
    pub(super) async fn current(
        &self,
        dps: &Resource,
        record: &Registration,
        next: &DeviceId,
    ) -> Result<Option<Whereabouts>, Outcome> {
        let Some(host) = &record.assigned_hub else { return Ok(None) };
        let Some(hub) = self.context.table.serving(ResourceKind::Hub, host) else { return Ok(None) };
        let id = record.device_id.as_deref().map_or_else(|| Ok(next.clone()), DeviceId::parse);
        let id = id.map_err(Outcome::of)?;
        let found = self.context.store.device(&hub.name, &id).await.map_err(Outcome::of)?;
        // One that somebody made anew under the same id is taken over, as where there is no record.
        let ours = |device: &Device| match &device.identity.provisioned_by {
            Some(_) => is_of(device, dps, record),
            None => id == *next,
        };
        Ok(found.filter(ours).map(|_| Whereabouts { hub, id }))
    }

    /// Where the device is beside where it is to be, though no record says so: its record was deleted, and allocation gives
    /// it another hub now. It must not be in both.
    pub(super) async fn stray(
        &self,
        dps: &Resource,
        record: &Registration,
        next: &Whereabouts,
    ) -> Result<Option<Whereabouts>, Outcome> {
        for link in &Self::dps(dps).map_err(Outcome::of)?.linked_hubs {
            let hub = self.context.table.named(ResourceKind::Hub, &link.hub);
            let Some(hub) = hub.filter(|hub| hub.name != next.hub.name) else { continue };
            let found = self.context.store.device(&hub.name, &next.id).await.map_err(Outcome::of)?;
            if found.is_some_and(|device| is_of(&device, dps, record)) {
                return Ok(Some(Whereabouts { hub, id: next.id.clone() }));
            }
        }
        Ok(None)
    }
}

/// Whether it is the device of this registration.
fn is_of(device: &Device, dps: &Resource, record: &Registration) -> bool {
    let by = device.identity.provisioned_by.as_ref();
    by.is_some_and(|by| by.dps == *dps.name && by.registration_id == *record.registration_id)
}
