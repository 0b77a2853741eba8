//! A twin brought in line with the configurations that match it, in the commit that changes it.

use pollux_model::Result;
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_store::Write;

use super::super::hub_event::twin_changed;
use super::super::plan_twin::desire;
use super::super::{DesiredChange, Hub};
use super::compile::Set;
use super::overlay::{Overlay, overlay};

/// What came of configurations.
#[derive(Debug)]
pub(in crate::hub) struct Followed {
    /// The events that tell of it.
    pub(in crate::hub) told: Vec<Write>,
    /// What the device is to be told.
    pub(in crate::hub) desired: Option<DesiredChange>,
}

impl Hub {
    /// What a twin would have to become.
    pub(super) async fn overlay_of(
        &self,
        hub: &Resource,
        set: &Set,
        device: &Device,
    ) -> Result<Option<Overlay>> {
        let deployed = device.module.as_ref().is_some_and(|module| set.deploys_to(module));
        let of = match deployed {
            true => self.context.store.device(&hub.name, &device.id).await?,
            false => None,
        };
        let most = self.context.limits.device_twin_properties;
        Ok(overlay(&device.twin, &set.matching(device, of.as_ref()), most))
    }

    /// Changes a twin that is about to be written as the configurations that match it want; `None`: they want nothing. Where
    /// there is something to tell the device, the caller must hold its place in the order of changes.
    pub(in crate::hub) async fn follow_configurations(
        &self,
        hub: &Resource,
        device: &mut Device,
    ) -> Result<Option<Followed>> {
        let set = self.compiled_configurations(hub).await?;
        if set.is_empty() && device.twin.configured.is_empty() {
            return Ok(None);
        }
        let Some(Overlay { configured, patch }) = self.overlay_of(hub, &set, device).await? else {
            return Ok(None);
        };
        let (now, twin) = (self.context.clock.now(), &mut device.twin);
        twin.configured = configured;
        if patch.is_empty() {
            // Desired properties are as they were: nobody is told which configuration holds them.
            self.move_twin(twin);
            return Ok(Some(Followed { told: Vec::new(), desired: None }));
        }
        let change = desire(twin, patch, now);
        self.move_for_service(twin);
        let event = twin_changed(hub, device, None, Some(&change), false, now);
        let told = self.outbox(hub, event, Some(device));
        Ok(Some(Followed { told, desired: Some(change) }))
    }
}
