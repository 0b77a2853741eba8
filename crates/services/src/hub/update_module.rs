//! A module identity changed.

use pollux_model::device::{Device, Identity};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Etag, Result};

use super::{Hub, ModuleInput, Operation};
use crate::caller::{Caller, HubAction, Right};

impl Hub {
    /// Changes a module's identity; `if_match` is the etag it must have, `None` for whatever it has.
    pub async fn update_module(
        &self,
        caller: &Caller,
        hub: &Resource,
        input: ModuleInput,
        if_match: Option<Etag>,
    ) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::DevicesWrite))?;
        self.throttle(hub, Operation::Identity, 1)?;
        let (id, managed_by) = (input.address()?, input.checked_managed_by()?);
        let change = |identity: &mut Identity| {
            identity.authentication =
                self.authentication(input.authentication.clone(), Some(&identity.authentication))?;
            identity.managed_by.clone_from(&managed_by);
            Ok(())
        };
        self.change_identity(hub, &id, if_match, change).await
    }
}
