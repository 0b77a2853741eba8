//! A device deleted: identity, twin and the event that tells of it in one commit; a live connection is cut.

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::hub_event::{Lifecycle, lifecycle};
use super::{DeviceCommand, Hub};
use crate::caller::{Caller, Right};

impl Hub {
    /// Deletes a device; `if_match` is the etag its identity must have, `None` for whatever it has.
    pub async fn delete_device(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Policy(PolicyRight::RegistryWrite))?;
        let id = DeviceId::parse(id)?;
        loop {
            let device = self.existing(hub, &id).await?;
            if if_match.as_ref().is_some_and(|etag| *etag != device.identity.etag) {
                return Err(Error::new(
                    ErrorCode::PreconditionFailed,
                    "the device's etag is not the one given in If-Match",
                ));
            }
            let identity = Expect::Etag(device.identity.etag.clone());
            let mut batch =
                Batch::from(Write::DeleteDevice { hub: hub.name.clone(), id: id.clone(), identity });
            let event = lifecycle(hub, &device, Lifecycle::Deleted, self.context.clock.now());
            batch.writes.extend(self.outbox(hub, event, Some(&device)));
            match self.commit(hub, &id, batch).await {
                Ok(()) => {
                    let close = DeviceCommand::Close { reason: "the device was deleted".into() };
                    self.connections.deliver(&hub.name, &id, close).await;
                    return Ok(());
                }
                // It changed meanwhile: look again, so that the event tells of what was deleted.
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
