//! A device that the provisioning service assigns to this hub: planned here, committed there, in one batch.

use std::sync::Arc;

use pollux_model::configuration::Configured;
use pollux_model::device::{Authentication, Device, DeviceTwin, ProvisionedBy};
use pollux_model::enrollment::InitialTwin;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Etag, ResourceName, Result};
use pollux_store::Batch;

use super::create_device::next_service_etag;
use super::plan_twin::{TwinChange, desire};
use super::twin_merge::{changes, merge_plain};
use super::{Hub, twin_rules};

/// What the provisioning service wants of the hub.
#[derive(Debug, Clone)]
pub struct RegisterDevice {
    /// The id in the hub.
    pub id: DeviceId,
    /// How the device proves who it is.
    pub authentication: Authentication,
    /// An edge device.
    pub iot_edge: bool,
    /// The provisioning service's name.
    pub dps: String,
    /// The registration id there.
    pub registration_id: String,
    /// Tags and desired properties to start with.
    pub initial_twin: Option<InitialTwin>,
    /// Whether a device that is there starts over from `initial_twin`.
    pub reset: bool,
    /// Whether `initial_twin` is laid over the state of a device that is there.
    pub initial_overrides: bool,
    /// The hub the device leaves, and its id there, if it moves.
    pub moved_from: Option<(Arc<Resource>, DeviceId)>,
}

impl Hub {
    /// The writes that put the device into this hub (and take it out of the one it leaves), with the events that tell
    /// of it. An operator's "disabled" stays.
    pub async fn plan_registration(&self, hub: &Resource, plan: RegisterDevice) -> Result<Batch> {
        let mut batch = Batch::new();
        let left = match &plan.moved_from {
            Some((from, id)) => self.plan_departure(from, id, &mut batch).await?,
            None => None,
        };
        match self.context.store.device(&hub.name, &plan.id).await? {
            Some(device) => {
                let planned = self.plan_twin(hub, device, TwinChange::TakeOver(&plan, left.as_ref())).await?;
                batch.writes.extend(planned.writes);
            }
            None => {
                let (_, new) = self.plan_new(hub, self.newcomer(&plan, left)?).await?;
                batch.writes.extend(new.writes);
            }
        }
        Ok(batch)
    }

    /// Once that is committed: what is deployed to the modules of an edge device.
    pub(crate) async fn deploy_to_registered(&self, hub: &ResourceName, device: &Device) {
        if let Some(hub) = self.context.table.named(ResourceKind::Hub, hub) {
            self.deploy_after(&hub, device).await;
        }
    }

    /// The writes that take the device out of that hub; the device, if it is there.
    pub(crate) async fn plan_departure(
        &self,
        from: &Resource,
        id: &DeviceId,
        batch: &mut Batch,
    ) -> Result<Option<Device>> {
        let Some(device) = self.context.store.device(&from.name, id).await? else { return Ok(None) };
        // Its modules are nothing that a provisioning service knows of: they do not move along.
        self.plan_deletion(from, &device, batch).await?;
        Ok(Some(device))
    }

    fn newcomer(&self, plan: &RegisterDevice, left: Option<Device>) -> Result<Device> {
        let mut device = self.new_device(plan.id.clone(), plan.authentication.clone(), plan.iot_edge);
        device.identity.provisioned_by = Some(provisioned_by(plan));
        if let Some(left) = left.filter(|_| !plan.reset) {
            device.identity.status = left.identity.status;
            device.twin = left.twin;
            // What the other hub's configurations set stays, but is no longer theirs.
            device.twin.configured = Configured::default();
            return if plan.initial_overrides { self.overlaid(device, plan) } else { Ok(device) };
        }
        self.overlaid(device, plan)
    }

    /// A device that is in this hub already: how it proves itself follows the enrollment, state follows the policy. `left`: as it
    /// was in the hub that it leaves, whose state counts (Azure article "IoT Hub Device reprovisioning concepts").
    pub(super) fn taken_over(
        &self,
        mut device: Device,
        plan: &RegisterDevice,
        left: Option<&Device>,
    ) -> Result<Device> {
        let authentication = plan.authentication.clone();
        let by = Some(provisioned_by(plan));
        let identity = &mut device.identity;
        if identity.authentication != authentication || identity.provisioned_by != by {
            identity.authentication = authentication;
            identity.provisioned_by = by;
            identity.etag = self.identity_etag();
        }
        if plan.reset {
            let fresh =
                self.new_device(device.id.clone(), device.identity.authentication.clone(), plan.iot_edge);
            device.twin = after(&device.twin, fresh.twin);
            return self.overlaid(device, plan);
        }
        if let Some(left) = left {
            if !left.identity.status.is_enabled() && device.identity.status.is_enabled() {
                device.identity.status = left.identity.status;
                device.identity.status_reason.clone_from(&left.identity.status_reason);
                device.identity.status_updated = left.identity.status_updated;
                device.identity.etag = self.identity_etag();
            }
            let mut twin = left.twin.clone();
            twin.configured = Configured::default();
            twin.etag = Etag::fresh(&*self.context.random);
            device.twin = after(&device.twin, twin);
        }
        if plan.initial_overrides { self.overlaid(device, plan) } else { Ok(device) }
    }

    /// Whether a device may begin with these tags and desired properties.
    pub(crate) fn check_initial_twin(&self, initial: &InitialTwin) -> Result<()> {
        let (limits, tags, desired) =
            (&self.context.limits, "initialTwin.tags", "initialTwin.properties.desired");
        twin_rules::check(tags, &initial.tags)?;
        twin_rules::check(desired, &initial.desired)?;
        twin_rules::check_size(tags, &initial.tags, limits.device_twin_tags)?;
        twin_rules::check_size(desired, &initial.desired, limits.device_twin_properties)
    }

    /// Lays the initial twin over the device's; nothing changes if it says what is there already.
    fn overlaid(&self, mut device: Device, plan: &RegisterDevice) -> Result<Device> {
        let Some(initial) = &plan.initial_twin else { return Ok(device) };
        self.check_initial_twin(initial)?;
        let twin = &mut device.twin;
        let mut tags = twin.tags.clone();
        merge_plain(&mut tags, &initial.tags);
        let mut desired = twin.desired.properties.clone();
        merge_plain(&mut desired, &initial.desired);
        let patch = changes(&twin.desired.properties, &desired);
        if tags == twin.tags && patch.is_empty() {
            return Ok(device);
        }
        twin_rules::check_size("initialTwin.tags", &tags, self.context.limits.device_twin_tags)?;
        twin_rules::check_size(
            "initialTwin.properties.desired",
            &desired,
            self.context.limits.device_twin_properties,
        )?;
        twin.tags = tags;
        if !patch.is_empty() {
            // Whoever has the device's connection looks once this is committed: the registration tells it to.
            let _told = desire(twin, patch, self.context.clock.now());
        }
        self.move_for_service(twin);
        Ok(device)
    }
}

/// A twin in the place of another. Versions never go back, or a device would miss what follows.
fn after(before: &DeviceTwin, mut twin: DeviceTwin) -> DeviceTwin {
    for (side, was) in [(&mut twin.desired, &before.desired), (&mut twin.reported, &before.reported)] {
        side.version = side.version.max(was.version) + 1;
    }
    twin.version = twin.version.max(before.version) + 1;
    twin.service_etag = next_service_etag(&before.service_etag);
    twin
}

fn provisioned_by(plan: &RegisterDevice) -> ProvisionedBy {
    ProvisionedBy { dps: plan.dps.clone(), registration_id: plan.registration_id.clone() }
}
