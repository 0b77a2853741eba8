//! A device identity changed. A device that is disabled is cut off at once.

use pollux_model::device::{Device, Status};
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::create_device::checked_reason;
use super::{DeviceCommand, DeviceInput, Hub};
use crate::caller::{Caller, Right};

impl Hub {
    /// Changes a device's identity; `if_match` is the etag it must have, `None` for whatever it has.
    pub async fn update_device(
        &self,
        caller: &Caller,
        hub: &Resource,
        input: DeviceInput,
        if_match: Option<Etag>,
    ) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Policy(PolicyRight::RegistryWrite))?;
        let id = DeviceId::parse(&input.id)?;
        let reason = checked_reason(input.status_reason)?;
        loop {
            let before = self.existing(hub, &id).await?;
            if if_match.as_ref().is_some_and(|etag| *etag != before.identity.etag) {
                return Err(Error::new(
                    ErrorCode::PreconditionFailed,
                    "the device's etag is not the one given in If-Match",
                ));
            }
            let (expect_identity, expect_twin) = (before.identity.etag.clone(), before.twin.etag.clone());
            let mut device = before;
            let identity = &mut device.identity;
            identity.authentication =
                self.authentication(input.authentication.clone(), Some(&identity.authentication))?;
            let status = input.status.unwrap_or(identity.status);
            if status != identity.status {
                identity.status = status;
                identity.status_updated = self.context.clock.now();
            }
            identity.status_reason.clone_from(&reason);
            identity.iot_edge = input.iot_edge;
            identity.etag = self.identity_etag();
            let write = Write::PutDevice {
                hub: hub.name.clone(),
                device: Box::new(device.clone()),
                identity: Expect::Etag(expect_identity),
                twin: Expect::Etag(expect_twin),
            };
            match self.commit(hub, &id, Batch::from(write)).await {
                Ok(()) => {
                    if device.identity.status == Status::Disabled {
                        let close = DeviceCommand::Close { reason: "the device was disabled".into() };
                        self.connections.deliver(&hub.name, &id, close).await;
                    }
                    return Ok(device);
                }
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
