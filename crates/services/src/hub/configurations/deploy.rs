//! What edge deployments make of the modules of a device.

use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, ModuleId, Result};
use pollux_store::CommitError;

use super::super::Hub;
use super::compile::Set;
use crate::cluster::Fence;
use crate::consume::held;

impl Hub {
    /// Whether a module is missing that is deployed to a device.
    pub(super) async fn lacks_modules(&self, hub: &Resource, set: &Set, device: &Device) -> Result<bool> {
        let wanted = set.modules_of(device);
        if wanted.is_empty() {
            return Ok(false);
        }
        let there = self.context.store.modules_of(&hub.name, &device.id).await?;
        Ok(wanted.into_iter().any(|name| !is_there(&there, name)))
    }

    /// Makes the modules that are deployed to a device and not there, as far as it may have so many, and brings the others in
    /// line. Modules of a deployment that is gone stay.
    pub(super) async fn deploy(&self, hub: &Resource, id: &DeviceId, fence: Option<&Fence>) -> Result<()> {
        let set = self.compiled_configurations(hub).await?;
        let device = self.context.store.device(&hub.name, id).await?;
        let Some(device) = device.filter(|device| device.identity.iot_edge) else { return Ok(()) };
        let there = self.context.store.modules_of(&hub.name, id).await?;
        let room = self.context.limits.modules_per_device.saturating_sub(there.len());
        let missing = set.modules_of(&device).into_iter().filter(|name| !is_there(&there, name));
        for name in missing.take(room) {
            let mut module = self.new_device(id.clone(), self.authentication(None, None)?, false);
            module.module = Some(ModuleId::parse(name)?);
            module.identity.managed_by = Some(super::super::edge_device::MANAGED_BY.to_owned());
            let mut batch = held(fence);
            batch.writes.extend(self.plan_new(hub, module).await?.1.writes);
            match self.context.store.commit(batch).await {
                // Somebody made it, or deleted the device.
                Ok(()) | Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for module in &there {
            self.bring_twin_in_line(hub, &module.address(), fence).await?;
        }
        Ok(())
    }

    /// The same after a device changed. What fails now is done later, in the background.
    pub(in crate::hub) async fn deploy_after(&self, hub: &Resource, device: &Device) {
        if device.module.is_none()
            && device.identity.iot_edge
            && let Err(error) = self.deploy(hub, &device.id, None).await
        {
            tracing::warn!(hub = %hub.name, device = %device.id, %error, "modules are deployed later");
        }
    }

    /// After an identity changed: whether it is an edge device says whether deployments are for it.
    pub(in crate::hub) async fn line_up_after(&self, hub: &Resource, device: &Device) {
        let lined_up = async {
            if self.compiled_configurations(hub).await?.is_empty() {
                return Ok(());
            }
            self.bring_in_line(hub, &device.address(), None).await
        };
        let lined_up: Result<()> = lined_up.await;
        if let Err(error) = lined_up {
            tracing::warn!(hub = %hub.name, device = %device.id, %error, "the device is brought in line later");
        }
    }
}

fn is_there(modules: &[Device], name: &str) -> bool {
    modules.iter().any(|module| module.module.as_deref() == Some(name))
}
