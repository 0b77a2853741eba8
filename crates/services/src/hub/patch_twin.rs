//! The service side changes the twin of a device or a module: patch or replace. The device is told of its desired properties in order.

use std::hash::{DefaultHasher, Hash, Hasher};

use pollux_model::device::Device;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{DeviceAddress, Error, ErrorCode, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};
use serde_json::{Map, Value};

use super::create_device::next_service_etag;
use super::hub_event::twin_changed;
use super::twin_merge::{difference, merge, merge_plain};
use super::{DeviceCommand, Hub, Operation, twin_rules};
use crate::caller::{Caller, Right};

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

/// Whether parts given are merged or put in the place of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Patch,
    Replace,
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
        self.change_twin(caller, hub, id, input, if_match, Mode::Patch).await
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
        self.change_twin(caller, hub, id, input, if_match, Mode::Replace).await
    }

    async fn change_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        input: TwinInput,
        if_match: Option<Etag>,
        mode: Mode,
    ) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Policy(PolicyRight::ServiceConnect))?;
        check(&input)?;
        self.throttle(hub, Operation::TwinUpdate, 1)?;
        let order = self.in_order(id).await;
        loop {
            let before = self.addressed(hub, id).await?;
            if if_match.as_ref().is_some_and(|etag| *etag != before.twin.service_etag) {
                return Err(Error::new(
                    ErrorCode::PreconditionFailed,
                    "the twin's etag is not the one given in If-Match",
                ));
            }
            let (identity, twin) = (before.identity.etag.clone(), before.twin.etag.clone());
            let tags = match input.removed.tags {
                true if mode == Mode::Patch => Some(difference(&before.twin.tags, &Map::new())),
                _ => input.tags.clone(),
            };
            let was = self.digital_twin_watched(hub, &before);
            let (mut device, desired) = self.changed(before, &input, mode)?;
            let event = twin_changed(
                hub,
                &device,
                tags.as_ref(),
                desired.as_ref(),
                mode == Mode::Replace,
                self.context.clock.now(),
            );
            let mut told = self.outbox(hub, event, Some(&device));
            let followed = self.follow_configurations(hub, &mut device).await?;
            let deploys = followed.is_some();
            let (more, by_configurations) = followed.map(|it| (it.told, it.desired)).unwrap_or_default();
            told.extend(more);
            told.extend(self.digital_twin_told(hub, was.as_ref(), &device));
            let mut batch = Batch::from(Write::PutDevice {
                hub: hub.name.clone(),
                device: Box::new(device.clone()),
                identity: Expect::Etag(identity),
                twin: Expect::Etag(twin),
            });
            batch.writes.extend(told);
            match self.commit(hub, id, batch).await {
                Ok(()) => {
                    self.tell_desired(hub, id, desired.into_iter().chain(by_configurations)).await;
                    // Its modules may share its place in the order.
                    drop(order);
                    if deploys {
                        self.deploy_after(hub, &device).await;
                    }
                    return Ok(device);
                }
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for this device's or module's turn: changes of its desired properties are committed and told in one order.
    pub(super) async fn in_order(&self, id: &DeviceAddress) -> tokio::sync::MutexGuard<'_, ()> {
        self.desired_order[slot(id)].lock().await
    }

    /// Tells a device or module, if it is connected, what changed.
    pub(super) async fn tell_desired(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        changes: impl IntoIterator<Item = DesiredChange, IntoIter: Send>,
    ) {
        for DesiredChange { patch, version } in changes {
            let command = DeviceCommand::Desired { patch: Value::Object(patch), version };
            self.connections.deliver(&hub.name, id, command).await;
        }
    }

    /// The device as a patch leaves it, and what that means to it.
    pub(super) fn patched(
        &self,
        device: Device,
        input: &TwinInput,
    ) -> Result<(Device, Option<DesiredChange>)> {
        self.changed(device, input, Mode::Patch)
    }

    fn changed(
        &self,
        mut device: Device,
        input: &TwinInput,
        mode: Mode,
    ) -> Result<(Device, Option<DesiredChange>)> {
        let now = self.context.clock.now();
        let twin = &mut device.twin;
        if mode == Mode::Replace || input.removed.tags {
            twin.tags.clear();
        }
        merge_plain(&mut twin.tags, input.tags.as_ref().unwrap_or(&Map::new()));
        let patch = match (&input.desired, mode) {
            (desired, Mode::Patch) if !input.removed.desired => desired.clone(),
            (desired, _) => {
                let mut after = Map::new();
                merge_plain(&mut after, desired.as_ref().unwrap_or(&Map::new()));
                Some(difference(&twin.desired.properties, &after))
            }
        };
        let change = patch.map(|patch| {
            twin.desired.version += 1;
            let side = &mut twin.desired;
            merge(&mut side.properties, &mut side.metadata, &patch, now, Some(side.version));
            DesiredChange { patch, version: side.version }
        });
        twin_rules::check_size("tags", &twin.tags, self.context.limits.device_twin_tags)?;
        twin_rules::check_size(
            "properties.desired",
            &twin.desired.properties,
            self.context.limits.device_twin_properties,
        )?;
        twin.version += 1;
        twin.etag = Etag::fresh(&*self.context.random);
        twin.service_etag = next_service_etag(&twin.service_etag);
        Ok((device, change))
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

/// Which of [`Hub::desired_order`](Hub) is the device's.
pub(super) fn slot(id: &DeviceAddress) -> usize {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    usize::try_from(hasher.finish() % 64).unwrap_or(0)
}
