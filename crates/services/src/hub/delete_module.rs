//! A module deleted: identity, twin and the event that tells of it in one commit; a live connection is cut.

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, Etag, Result};

use super::{Hub, Operation};
use crate::caller::{Caller, HubAction, Right};

impl Hub {
    /// Deletes a module; `if_match` is the etag its identity must have, `None` for whatever it has.
    pub async fn delete_module(
        &self,
        caller: &Caller,
        hub: &Resource,
        (device, id): (&str, &str),
        if_match: Option<Etag>,
    ) -> Result<()> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::DevicesDelete))?;
        self.throttle(hub, Operation::Identity, 1)?;
        self.delete_identity(hub, &DeviceAddress::of(device, Some(id))?, if_match).await
    }
}
