//! One of many identities that are written together, each for itself (Azure article "Import and export IoT Hub device
//! identities in bulk", `importMode`).

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, ErrorCode, Etag, Result};

use super::{DeviceInput, Hub, ModuleInput, TwinInput};
use crate::caller::{Caller, HubAction, Right};

/// What is done with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportMode {
    /// It must not be there.
    Create,
    /// It is made, or changed.
    CreateOrUpdate,
    /// It is made, or changed if it has this etag.
    CreateOrUpdateIf(Etag),
    /// It must be there, with this etag where one is named.
    Update(Option<Etag>),
    /// The same.
    Delete(Option<Etag>),
    /// Its twin is patched, which must have this etag where one is named; the identity stays as it is.
    UpdateTwin(Option<Etag>),
}

/// Whose identity it is.
#[derive(Debug, Clone)]
pub enum Imported {
    /// A device's.
    Device(DeviceInput),
    /// A module's.
    Module(ModuleInput),
}

impl Hub {
    /// Writes one identity, and its tags and desired properties where they are given.
    ///
    /// # Errors
    /// As of the operation it comes to; the right to change twins is asked for before anything is done.
    pub async fn import_device(
        &self,
        caller: &Caller,
        hub: &Resource,
        mode: ImportMode,
        (identity, twin): (Imported, TwinInput),
    ) -> Result<()> {
        if let ImportMode::Delete(etag) = mode {
            return match identity {
                Imported::Device(input) => self.delete_device(caller, hub, &input.id, etag).await,
                Imported::Module(input) => {
                    self.delete_module(caller, hub, (&input.device, &input.id), etag).await
                }
            };
        }
        let id = match &identity {
            Imported::Device(input) => DeviceAddress::of(&input.id, None)?,
            Imported::Module(input) => input.address()?,
        };
        if let ImportMode::UpdateTwin(etag) = mode {
            return self.patch_twin(caller, hub, &id, twin, etag).await.map(drop);
        }
        let of_twin = twin.tags.is_some() || twin.desired.is_some();
        if of_twin {
            caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::TwinsWrite))?;
        }
        match mode {
            ImportMode::Create => self.create(caller, hub, identity).await?,
            ImportMode::Update(etag) => self.update(caller, hub, identity, etag).await?,
            ImportMode::CreateOrUpdate => self.create_or_update(caller, hub, identity, None).await?,
            ImportMode::CreateOrUpdateIf(etag) => {
                self.create_or_update(caller, hub, identity, Some(etag)).await?;
            }
            ImportMode::Delete(_) | ImportMode::UpdateTwin(_) => {}
        }
        if of_twin {
            self.patch_twin(caller, hub, &id, twin, None).await?;
        }
        Ok(())
    }

    async fn create_or_update(
        &self,
        caller: &Caller,
        hub: &Resource,
        one: Imported,
        if_match: Option<Etag>,
    ) -> Result<()> {
        use ErrorCode::{DeviceExists, DeviceNotFound, ModuleExists, ModuleNotFound};
        loop {
            match self.update(caller, hub, one.clone(), if_match.clone()).await {
                Err(error) if matches!(error.code, DeviceNotFound | ModuleNotFound) => {}
                changed => return changed,
            }
            match self.create(caller, hub, one.clone()).await {
                // Somebody made it in between.
                Err(error) if matches!(error.code, DeviceExists | ModuleExists) => {}
                made => return made,
            }
        }
    }

    async fn create(&self, caller: &Caller, hub: &Resource, one: Imported) -> Result<()> {
        match one {
            Imported::Device(input) => self.create_device(caller, hub, input).await.map(drop),
            Imported::Module(input) => self.create_module(caller, hub, input).await.map(drop),
        }
    }

    async fn update(
        &self,
        caller: &Caller,
        hub: &Resource,
        one: Imported,
        if_match: Option<Etag>,
    ) -> Result<()> {
        match one {
            Imported::Device(input) => self.update_device(caller, hub, input, if_match).await.map(drop),
            Imported::Module(input) => self.update_module(caller, hub, input, if_match).await.map(drop),
        }
    }
}
