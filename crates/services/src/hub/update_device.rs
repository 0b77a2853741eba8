//! A device identity changed. A device that is disabled is cut off at once, and so are its modules: what a module may is
//! bounded by what its device may (Azure article "Understand the identity registry in your IoT hub": a module cannot be
//! disabled by itself).

use pollux_model::device::{Device, Identity, Status};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::create_device::checked_reason;
use super::{DeviceInput, Hub, Operation};
use crate::caller::{Caller, HubAction, Right};

impl Hub {
    /// Changes a device's identity; `if_match` is the etag it must have, `None` for whatever it has.
    pub async fn update_device(
        &self,
        caller: &Caller,
        hub: &Resource,
        input: DeviceInput,
        if_match: Option<Etag>,
    ) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::DevicesWrite))?;
        self.throttle(hub, Operation::Identity, 1)?;
        let id = DeviceId::parse(&input.id)?;
        let reason = checked_reason(input.status_reason)?;
        let before = self.existing(hub, &id).await?.identity;
        self.check_scopes(hub, &input.scopes, Some((&id, &before))).await?;
        let change = |identity: &mut Identity| {
            identity.authentication =
                self.authentication(input.authentication.clone(), Some(&identity.authentication))?;
            let status = input.status.unwrap_or(identity.status);
            if status != identity.status {
                identity.status = status;
                identity.status_updated = self.context.clock.now();
            }
            identity.status_reason.clone_from(&reason);
            identity.iot_edge = input.iot_edge;
            input.scopes.give(&id, identity)
        };
        let device = self.change_identity(hub, &id.clone().into(), if_match, change).await?;
        if device.identity.status == Status::Disabled {
            let (own, reason) = (device.address(), "the device was disabled");
            self.cut_off(hub, std::slice::from_ref(&own), reason).await;
            // Read only now: whatever module is made later finds its device disabled.
            match self.context.store.modules_of(&hub.name, &id).await {
                Ok(modules) => {
                    let ids: Vec<_> = modules.iter().map(Device::address).collect();
                    self.cut_off(hub, &ids, reason).await;
                }
                // The change is made: its modules are cut off as soon as they can be looked at.
                Err(error) => {
                    tracing::warn!(hub = %hub.name, device = %id, %error, "modules of a disabled device are looked at later");
                    self.connections.look_later(&hub.name, &own);
                }
            }
        }
        self.add_edge_modules(hub, &device).await?;
        self.line_up_after(hub, &device).await;
        Ok(device)
    }

    /// Changes the identity of a device or module, however often it must be looked at again.
    pub(super) async fn change_identity(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        if_match: Option<Etag>,
        change: impl Fn(&mut Identity) -> Result<()>,
    ) -> Result<Device> {
        loop {
            let mut device = self.addressed(hub, id).await?;
            expected(&device, if_match.as_ref())?;
            let (identity, twin) = (device.identity.etag.clone(), device.twin.etag.clone());
            change(&mut device.identity)?;
            device.identity.etag = self.identity_etag();
            let write = Write::PutDevice {
                hub: hub.name.clone(),
                device: Box::new(device.clone()),
                identity: Expect::Etag(identity),
                twin: Expect::Etag(twin),
            };
            match self.commit(hub, id, Batch::from(write)).await {
                Ok(()) => return Ok(device),
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// [`ErrorCode::PreconditionFailed`] where its identity has another etag than is asked for.
pub(super) fn expected(device: &Device, if_match: Option<&Etag>) -> Result<()> {
    if if_match.is_some_and(|etag| *etag != device.identity.etag) {
        let message = format!("the {}'s etag is not the one given in If-Match", device.address().noun());
        return Err(Error::new(ErrorCode::PreconditionFailed, message));
    }
    Ok(())
}
