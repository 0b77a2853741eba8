//! A device deleted with its modules: identities, twins and the events that tell of it in one commit; live connections are
//! cut.

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, DeviceId, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::hub_event::{Lifecycle, lifecycle};
use super::update_device::expected;
use super::{Hub, Operation};
use crate::caller::{Caller, HubAction, Right};

impl Hub {
    /// Deletes a device; `if_match` is the etag its identity must have, `None` for whatever it has.
    pub async fn delete_device(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::DevicesDelete))?;
        self.throttle(hub, Operation::Identity, 1)?;
        self.delete_identity(hub, &DeviceId::parse(id)?.into(), if_match).await
    }

    pub(super) async fn delete_identity(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        if_match: Option<Etag>,
    ) -> Result<()> {
        loop {
            let device = self.addressed(hub, id).await?;
            expected(&device, if_match.as_ref())?;
            let mut batch = Batch::new();
            let gone = self.plan_deletion(hub, &device, &mut batch).await?;
            match self.commit(hub, id, batch).await {
                Ok(()) => {
                    self.cut_off(hub, &gone, "the device was deleted").await;
                    return Ok(());
                }
                // It changed meanwhile, or got a module: look again, so that the events tell of what was deleted.
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The writes that delete a module, or a device behind its modules, with the events that tell of it; who is deleted.
    pub(super) async fn plan_deletion(
        &self,
        hub: &Resource,
        device: &Device,
        batch: &mut Batch,
    ) -> Result<Vec<DeviceAddress>> {
        let modules = match &device.module {
            Some(_) => Vec::new(),
            None => self.context.store.modules_of(&hub.name, &device.id).await?,
        };
        let mut gone = Vec::with_capacity(modules.len() + 1);
        for one in modules.iter().chain([device]) {
            let (id, identity) = (one.address(), Expect::Etag(one.identity.etag.clone()));
            batch.writes.push(Write::DeleteDevice { hub: hub.name.clone(), id: id.clone(), identity });
            if id.module.is_some() {
                batch.writes.push(Write::DeleteMqttSession { hub: hub.name.clone(), device: id.to_string() });
            }
            let event = lifecycle(hub, one, Lifecycle::Deleted, self.context.clock.now());
            batch.writes.extend(self.outbox(hub, event, Some(one)));
            gone.push(id);
        }
        Ok(gone)
    }
}
