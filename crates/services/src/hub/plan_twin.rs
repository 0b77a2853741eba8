//! A change of a twin, planned: what stands there after it, the writes that make it so in one commit, and what the connection is
//! told then. Whatever changes the twin of a device or a module comes through here, so that its event, what configurations make of
//! it and what its digital twin is told of are never left out.
//!
//! ```text
//!   as it was read + change ──▶ its own part: properties, tags, bounds, versions ──▶ the event of that
//!                            ──▶ what configurations make of the outcome ──▶ the event of that
//!                            ──▶ how the digital twin changed on the whole ──▶ the event of that
//!                            ══▶ Planned: one write under the etags that were read, these events, the notices
//! ```

use pollux_model::device::{Device, DeviceTwin};
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Error, ErrorCode, Etag, Result, Timestamp};
use pollux_store::{CommitError, Expect, Mismatch, Write};
use serde_json::{Map, Value};
use tokio::sync::MutexGuard;

use super::create_device::next_service_etag;
use super::hub_event::{HubEvent, Lifecycle, lifecycle, twin_changed, twin_reported};
use super::twin_merge::{difference, merge, merge_plain};
use super::{DesiredChange, DeviceCommand, Hub, RegisterDevice, TwinInput, twin_rules};
use crate::cluster::Fence;
use crate::consume::held;

/// What is to become of a twin.
#[derive(Debug, Clone, Copy)]
pub(super) enum TwinChange<'c> {
    /// Its device or module is new: there must be none.
    Birth,
    /// The service side merges into tags and desired properties.
    Patch(&'c TwinInput),
    /// The service side puts others in the place of tags and desired properties.
    Replace(&'c TwinInput),
    /// The device or module reports; the patch of its reported properties.
    Report(&'c Map<String, Value>),
    /// The device or module says which model it is of.
    Model(&'c str),
    /// The provisioning service assigns a device that is there already; as it was in the hub that it leaves, if it does.
    TakeOver(&'c RegisterDevice, Option<&'c Device>),
    /// Nothing of its own: only what configurations make of it.
    Follow,
}

/// What a change comes to.
#[derive(Debug)]
pub(super) struct Planned {
    /// The device or module after it.
    pub(super) device: Device,
    /// The device or module under the etags it was read with, then the events that tell of its change.
    pub(super) writes: Vec<Write>,
    /// What its connection is told once that is committed. Whoever commits while there are any must have the twin's
    /// [place in the order](Hub::in_order).
    pub(super) notices: Vec<DesiredChange>,
    /// Configurations had a part in it, and may have one in the modules of an edge device now.
    pub(super) followed: bool,
}

/// A change without what follows from it.
struct Own {
    device: Device,
    event: Option<HubEvent>,
    desired: Option<DesiredChange>,
}

/// The turn of a device or module: changes of its desired properties are committed in one order. Twins share a number of them.
pub(super) type Turn<'h> = MutexGuard<'h, ()>;

impl Hub {
    /// Plans a change of a device or module as it was read; nothing is written.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] and [`ErrorCode::InvalidArgument`] of the change; [`ErrorCode::Unavailable`] of the store.
    pub(super) async fn plan_twin(
        &self,
        hub: &Resource,
        before: Device,
        change: TwinChange<'_>,
    ) -> Result<Planned> {
        let born = matches!(change, TwinChange::Birth);
        let (identity, twin) = match born {
            true => (Expect::Absent, Expect::Any),
            false => (Expect::Etag(before.identity.etag.clone()), Expect::Etag(before.twin.etag.clone())),
        };
        let was = if born { None } else { self.digital_twin_watched(hub, &before) };
        let Own { mut device, event, desired } = self.own_part(hub, before, change)?;
        let mut told = event.map(|event| self.outbox(hub, event, Some(&device))).unwrap_or_default();
        let mut notices: Vec<_> = desired.into_iter().collect();
        let by_configurations = self.follow_configurations(hub, &mut device).await?;
        let followed = by_configurations.is_some();
        if let Some(by_configurations) = by_configurations {
            told.extend(by_configurations.told);
            notices.extend(by_configurations.desired);
        }
        told.extend(self.digital_twin_told(hub, was.as_ref(), &device));
        let put =
            Write::PutDevice { hub: hub.name.clone(), device: Box::new(device.clone()), identity, twin };
        let writes = std::iter::once(put).chain(told).collect();
        Ok(Planned { device, writes, notices, followed })
    }

    fn own_part(&self, hub: &Resource, mut device: Device, change: TwinChange<'_>) -> Result<Own> {
        let now = self.context.clock.now();
        let event = match change {
            TwinChange::Birth => Some(lifecycle(hub, &device, Lifecycle::Created, now)),
            TwinChange::Patch(input) => return self.by_service(hub, device, input, false),
            TwinChange::Replace(input) => return self.by_service(hub, device, input, true),
            TwinChange::Report(patch) => {
                let reported = &mut device.twin.reported;
                reported.version += 1;
                merge(&mut reported.properties, &mut reported.metadata, patch, now, None);
                let most = self.context.limits.device_twin_properties;
                twin_rules::check_size("properties.reported", &reported.properties, most)?;
                self.move_twin(&mut device.twin);
                Some(twin_reported(hub, &device, patch, now))
            }
            TwinChange::Model(id) => {
                id.clone_into(&mut device.twin.model_id);
                self.move_twin(&mut device.twin);
                None
            }
            TwinChange::TakeOver(plan, left) => {
                device = self.taken_over(device, plan, left)?;
                None
            }
            TwinChange::Follow => None,
        };
        Ok(Own { device, event, desired: None })
    }

    /// Where parts are replaced, those that are not given are emptied.
    fn by_service(
        &self,
        hub: &Resource,
        mut device: Device,
        input: &TwinInput,
        replaces: bool,
    ) -> Result<Own> {
        let (now, twin) = (self.context.clock.now(), &mut device.twin);
        // Who hears of a part that a patch takes away hears of each member that goes.
        let tags = match input.removed.tags && !replaces {
            true => Some(difference(&twin.tags, &Map::new())),
            false => input.tags.clone(),
        };
        if replaces || input.removed.tags {
            twin.tags.clear();
        }
        merge_plain(&mut twin.tags, input.tags.as_ref().unwrap_or(&Map::new()));
        let patch = if replaces || input.removed.desired {
            let mut after = Map::new();
            merge_plain(&mut after, input.desired.as_ref().unwrap_or(&Map::new()));
            Some(difference(&twin.desired.properties, &after))
        } else {
            input.desired.clone()
        };
        let desired = patch.map(|patch| desire(twin, patch, now));
        let limits = &self.context.limits;
        twin_rules::check_size("tags", &twin.tags, limits.device_twin_tags)?;
        let properties = &twin.desired.properties;
        twin_rules::check_size("properties.desired", properties, limits.device_twin_properties)?;
        self.move_for_service(twin);
        let event = twin_changed(hub, &device, tags.as_ref(), desired.as_ref(), replaces, now);
        Ok(Own { device, event: Some(event), desired })
    }

    /// The twin is another than before.
    pub(super) fn move_twin(&self, twin: &mut DeviceTwin) {
        twin.version += 1;
        twin.etag = Etag::fresh(&*self.context.random);
    }

    /// The same, and the service side, which names it by an etag of its own, is to see that: what devices report does not
    /// come in its way.
    pub(super) fn move_for_service(&self, twin: &mut DeviceTwin) {
        self.move_twin(twin);
        twin.service_etag = next_service_etag(&twin.service_etag);
    }

    /// Commits a plan, held to a lease where there is one, and tells the connection. `turn` is given up as soon as nobody
    /// can come in between any more: before other nodes are asked, which may not answer. `None`: the device or module was
    /// changed by somebody else, and is to be looked at again.
    pub(super) async fn commit_planned(
        &self,
        hub: &Resource,
        planned: Planned,
        turn: &mut Option<Turn<'_>>,
        fence: Option<&Fence>,
    ) -> Result<Option<Changed>> {
        let Planned { device, writes, notices, followed } = planned;
        let id = device.address();
        let mut batch = held(fence);
        batch.writes.extend(writes);
        match self.commit(hub, &id, batch).await {
            Ok(()) => {}
            Err(CommitError::Expectation { mismatch: Mismatch::LeaseLost, .. }) => {
                return Err(Error::new(ErrorCode::Unavailable, "another node does it now"));
            }
            Err(CommitError::Expectation { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let elsewhere = self.tell_here(hub, &id, notices);
        drop(turn.take());
        self.tell_elsewhere(hub, &id, elsewhere).await;
        Ok(Some(Changed { device, followed }))
    }

    /// Waits for this device's or module's turn.
    pub(super) async fn in_order(&self, id: &DeviceAddress) -> Turn<'_> {
        self.desired_order[slot(id)].lock().await
    }

    /// Tells a device or module whose connection is on this node what changed: that takes no time. Gives what another
    /// node may have to be told, which may take long, and needs no turn: a connection sorts what it hears by version.
    pub(super) fn tell_here(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        notices: Vec<DesiredChange>,
    ) -> Vec<DeviceCommand> {
        let commands = notices.into_iter().map(|DesiredChange { patch, version }| DeviceCommand::Desired {
            patch: Value::Object(patch),
            version,
        });
        commands.filter_map(|command| self.connections.deliver_here(&hub.name, id, command)).collect()
    }

    /// Tells the rest.
    pub(super) async fn tell_elsewhere(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        commands: Vec<DeviceCommand>,
    ) {
        for command in commands {
            self.connections.deliver(&hub.name, id, command).await;
        }
    }

    /// What is deployed to the modules of a device that configurations had a part in.
    pub(super) async fn with_modules(&self, hub: &Resource, changed: Changed) -> Device {
        if changed.followed {
            self.deploy_after(hub, &changed.device).await;
        }
        changed.device
    }
}

/// A plan that was carried out.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) device: Device,
    followed: bool,
}

/// Merges a patch into the desired properties, which are of their next version after it.
pub(super) fn desire(twin: &mut DeviceTwin, patch: Map<String, Value>, now: Timestamp) -> DesiredChange {
    let side = &mut twin.desired;
    side.version += 1;
    merge(&mut side.properties, &mut side.metadata, &patch, now, Some(side.version));
    DesiredChange { patch, version: side.version }
}

/// Which of the hub's turns is the device's or module's.
pub(super) fn slot(id: &DeviceAddress) -> usize {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    usize::try_from(hasher.finish() % 64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
