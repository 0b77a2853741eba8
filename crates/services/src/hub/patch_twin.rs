//! The service side changes the twin of a device or a module: patch or replace. The device is told of its desired properties in order.

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, Error, ErrorCode, Etag, Result};
use serde_json::{Map, Value};

use super::plan_twin::TwinChange;
use super::{Hub, Operation, twin_rules};
use crate::caller::{Caller, HubAction, Right};

/// What the service side writes. In a patch `None` leaves a part alone; in a replacement it empties it.
#[derive(Debug, Clone, Default)]
pub struct TwinInput {
    /// Tags.
    pub tags: Option<Map<String, Value>>,
    /// Desired properties, without `$metadata` and `$version`.
    pub desired: Option<Map<String, Value>>,
    /// Which parts a patch takes away: `null` does to a whole part what it does to a member.
    pub removed: Removed,
}

/// Parts of a twin that are `null` in a patch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// All tags.
    pub tags: bool,
    /// All desired properties.
    pub desired: bool,
}

/// What a change of desired properties means to the device.
#[derive(Debug, Clone)]
pub struct DesiredChange {
    /// What changed.
    pub patch: Map<String, Value>,
    /// The version after it.
    pub version: u64,
}

impl Hub {
    /// Merges a patch into the twin.
    pub async fn patch_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        input: TwinInput,
        if_match: Option<Etag>,
    ) -> Result<Device> {
        self.change_twin(caller, hub, id, (&input, TwinChange::Patch(&input)), if_match).await
    }

    /// Replaces tags and desired properties.
    pub async fn replace_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        input: TwinInput,
        if_match: Option<Etag>,
    ) -> Result<Device> {
        self.change_twin(caller, hub, id, (&input, TwinChange::Replace(&input)), if_match).await
    }

    async fn change_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        (input, change): (&TwinInput, TwinChange<'_>),
        if_match: Option<Etag>,
    ) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::TwinsWrite))?;
        check(input)?;
        self.throttle(hub, Operation::TwinUpdate, 1)?;
        let mut turn = Some(self.in_order(id).await);
        loop {
            let before = self.addressed(hub, id).await?;
            if if_match.as_ref().is_some_and(|etag| *etag != before.twin.service_etag) {
                return Err(Error::new(
                    ErrorCode::PreconditionFailed,
                    "the twin's etag is not the one given in If-Match",
                ));
            }
            let planned = self.plan_twin(hub, before, change).await?;
            if let Some(changed) = self.commit_planned(hub, planned, &mut turn, None).await? {
                return Ok(self.with_modules(hub, changed).await);
            }
        }
    }
}

pub(super) fn check(input: &TwinInput) -> Result<()> {
    if let Some(tags) = &input.tags {
        twin_rules::check("tags", tags)?;
    }
    if let Some(desired) = &input.desired {
        twin_rules::check("properties.desired", desired)?;
    }
    Ok(())
}
