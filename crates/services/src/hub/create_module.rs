//! A module identity created under a device (Azure article "Understand and use module twins in IoT Hub").

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, Error, ErrorCode, Result};
use pollux_store::{CommitError, Mismatch};

use super::create_device::AuthenticationInput;
use super::{Hub, Operation, no_device};
use crate::caller::{Caller, HubAction, Right};

/// Characters of `managedBy`. Ours: Azure names none.
const MANAGED_BY: usize = 128;

/// A module identity as a client writes it.
#[derive(Debug, Clone)]
pub struct ModuleInput {
    /// Its device's id.
    pub device: String,
    /// Its id.
    pub id: String,
    /// By keys that are made here when absent.
    pub authentication: Option<AuthenticationInput>,
    /// Who looks after it.
    pub managed_by: Option<String>,
}

impl ModuleInput {
    pub(super) fn address(&self) -> Result<DeviceAddress> {
        DeviceAddress::of(&self.device, Some(&self.id))
    }

    pub(super) fn checked_managed_by(&self) -> Result<Option<String>> {
        match &self.managed_by {
            Some(text) if text.chars().count() > MANAGED_BY => {
                Err(Error::invalid(format!("managedBy may have {MANAGED_BY} characters at most")))
            }
            text => Ok(text.clone().filter(|text| !text.is_empty())),
        }
    }
}

impl Hub {
    /// Creates a module, which has a twin from then on.
    ///
    /// # Errors
    /// [`ErrorCode::DeviceNotFound`]; [`ErrorCode::ModuleExists`]; [`ErrorCode::ModuleLimitReached`] as of the moment
    /// before it is made.
    pub async fn create_module(&self, caller: &Caller, hub: &Resource, input: ModuleInput) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::DevicesWrite))?;
        self.throttle(hub, Operation::Identity, 1)?;
        let address = input.address()?;
        let managed_by = input.checked_managed_by()?;
        let authentication = self.authentication(input.authentication, None)?;
        let most = self.context.limits.modules_per_device;
        let modules = self.context.store.modules_of(&hub.name, &address.device).await?;
        let there = modules.iter().any(|module| module.module == address.module);
        if modules.len() >= most && !there {
            let message = format!("the device '{}' has {most} modules, as many as it may", address.device);
            return Err(Error::new(ErrorCode::ModuleLimitReached, message));
        }
        let mut module = self.new_device(address.device.clone(), authentication, false);
        module.module.clone_from(&address.module);
        module.identity.managed_by = managed_by;
        let (module, batch) = self.plan_new(hub, module).await?;
        match self.context.store.commit(batch).await {
            Ok(()) => Ok(module),
            Err(CommitError::Expectation { mismatch: Mismatch::NoDevice, .. }) => {
                Err(no_device(&address.device))
            }
            Err(CommitError::Expectation { mismatch: Mismatch::Exists, .. }) => {
                Err(Error::new(ErrorCode::ModuleExists, format!("a module '{address}' exists")))
            }
            Err(error) => Err(error.into()),
        }
    }
}
