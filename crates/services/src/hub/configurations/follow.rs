//! A twin brought in line with the configurations that match it, in the commit that changes it.

use pollux_model::Etag;
use pollux_model::Result;
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_store::Write;

use super::super::create_device::next_service_etag;
use super::super::hub_event::twin_changed;
use super::super::twin_merge::merge;
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
        twin.version += 1;
        twin.etag = Etag::fresh(&*self.context.random);
        if patch.is_empty() {
            // Desired properties are as they were: nobody is told which configuration holds them.
            return Ok(Some(Followed { told: Vec::new(), desired: None }));
        }
        let side = &mut twin.desired;
        side.version += 1;
        merge(&mut side.properties, &mut side.metadata, &patch, now, Some(side.version));
        let change = DesiredChange { patch, version: side.version };
        twin.service_etag = next_service_etag(&twin.service_etag);
        let event = twin_changed(hub, device, None, Some(&change), false, now);
        let told = self.outbox(hub, event, Some(device));
        Ok(Some(Followed { told, desired: Some(change) }))
    }
}
