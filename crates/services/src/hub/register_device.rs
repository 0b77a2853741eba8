//! A device that the provisioning service assigns to this hub: planned here, committed there, in one batch.

use std::sync::Arc;

use pollux_model::configuration::Configured;
use pollux_model::device::{Authentication, Device, ProvisionedBy};
use pollux_model::enrollment::InitialTwin;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, ResourceName, Result};
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
    /// The hub the device leaves, if it moves.
    pub moved_from: Option<Arc<Resource>>,
}

impl Hub {
    /// The writes that put the device into this hub (and take it out of the one it leaves), with the events that tell
    /// of it. An operator's "disabled" stays.
    pub async fn plan_registration(&self, hub: &Resource, plan: RegisterDevice) -> Result<Batch> {
        let mut batch = Batch::new();
        let left = match &plan.moved_from {
            Some(from) => self.plan_departure(from, &plan.id, &mut batch).await?,
            None => None,
        };
        match self.context.store.device(&hub.name, &plan.id).await? {
            Some(device) => {
                let planned = self.plan_twin(hub, device, TwinChange::TakeOver(&plan)).await?;
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

    async fn plan_departure(
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

    /// A device that is in this hub already: how it proves itself follows the enrollment, state follows the policy.
    pub(super) fn taken_over(&self, mut device: Device, plan: &RegisterDevice) -> Result<Device> {
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
            let (desired, reported, version) =
                (device.twin.desired.version, device.twin.reported.version, device.twin.version);
            let service_etag = next_service_etag(&device.twin.service_etag);
            device.twin = fresh.twin;
            // Versions never go back, or a device would miss what follows.
            device.twin.desired.version = desired + 1;
            device.twin.reported.version = reported + 1;
            device.twin.version = version + 1;
            device.twin.service_etag = service_etag;
            return self.overlaid(device, plan);
        }
        if plan.initial_overrides { self.overlaid(device, plan) } else { Ok(device) }
    }

    /// Lays the initial twin over the device's; nothing changes if it says what is there already.
    fn overlaid(&self, mut device: Device, plan: &RegisterDevice) -> Result<Device> {
        let Some(initial) = &plan.initial_twin else { return Ok(device) };
        twin_rules::check("initialTwin.tags", &initial.tags)?;
        twin_rules::check("initialTwin.properties.desired", &initial.desired)?;
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

fn provisioned_by(plan: &RegisterDevice) -> ProvisionedBy {
    ProvisionedBy { dps: plan.dps.clone(), registration_id: plan.registration_id.clone() }
}
