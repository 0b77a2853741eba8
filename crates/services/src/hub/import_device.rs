//! One of many identities that are written together, each for itself (Azure article "Import and export IoT Hub device
//! identities in bulk", `importMode`).

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{ErrorCode, Etag, Result};

use super::{DeviceInput, Hub, TwinInput};
use crate::caller::{Caller, Right};

/// What is done with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportMode {
    /// It must not be there.
    Create,
    /// It is made, or changed.
    CreateOrUpdate,
    /// It must be there, with this etag where one is named.
    Update(Option<Etag>),
    /// The same.
    Delete(Option<Etag>),
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
        (input, twin): (DeviceInput, TwinInput),
    ) -> Result<()> {
        let id = input.id.clone();
        if let ImportMode::Delete(etag) = mode {
            return self.delete_device(caller, hub, &id, etag).await;
        }
        let of_twin = twin.tags.is_some() || twin.desired.is_some();
        if of_twin {
            caller.require(ResourceKind::Hub, &hub.name, Right::Policy(PolicyRight::ServiceConnect))?;
        }
        match mode {
            ImportMode::Create => drop(self.create_device(caller, hub, input).await?),
            ImportMode::Update(etag) => drop(self.update_device(caller, hub, input, etag).await?),
            ImportMode::CreateOrUpdate => self.create_or_update(caller, hub, input).await?,
            ImportMode::Delete(_) => {}
        }
        if of_twin {
            self.patch_twin(caller, hub, &id, twin, None).await?;
        }
        Ok(())
    }

    async fn create_or_update(&self, caller: &Caller, hub: &Resource, input: DeviceInput) -> Result<()> {
        loop {
            match self.update_device(caller, hub, input.clone(), None).await {
                Err(error) if error.code == ErrorCode::DeviceNotFound => {}
                changed => return changed.map(drop),
            }
            match self.create_device(caller, hub, input.clone()).await {
                // Somebody made it in between.
                Err(error) if error.code == ErrorCode::DeviceExists => {}
                made => return made.map(drop),
            }
        }
    }
}
