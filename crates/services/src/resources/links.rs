//! Linking hubs to a provisioning service.

use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::declared::DeclaredLink;
use super::{Resources, administer, build};
use crate::caller::Caller;

impl Resources {
    /// Links a hub, or changes the weight of a linked one.
    pub async fn link_hub(
        &self,
        caller: &Caller,
        dps: &ResourceName,
        link: &DeclaredLink,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Dps, dps)?;
        let mut resource = Resource::clone(&present);
        if let Properties::Dps(dps) = &mut resource.properties {
            build::merge_link(&mut dps.linked_hubs, link)?;
            let limits = &self.context.limits;
            if limits.provisioning_quotas && dps.linked_hubs.len() > limits.linked_hubs {
                let message =
                    format!("{} hubs are linked, which is the limit: unlink one first", limits.linked_hubs);
                return Err(Error::new(ErrorCode::QuotaExceeded, message));
            }
        }
        self.replace(&present, resource).await
    }

    /// Unlinks a hub. Devices that were assigned to it stay there.
    pub async fn unlink_hub(&self, caller: &Caller, dps: &ResourceName, hub: &str) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Dps, dps)?;
        let mut resource = Resource::clone(&present);
        let Properties::Dps(properties) = &mut resource.properties else { return Err(Error::internal()) };
        let before = properties.linked_hubs.len();
        properties.linked_hubs.retain(|link| &*link.hub != hub);
        if properties.linked_hubs.len() == before {
            let message = format!("the hub '{}' is not linked to '{dps}'", pollux_model::ids::shown(hub));
            return Err(Error::new(ErrorCode::ResourceNotFound, message));
        }
        self.replace(&present, resource).await
    }
}
