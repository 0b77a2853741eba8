//! Where a device that registers is already, so that it is in one place only after it.

use std::sync::Arc;

use pollux_model::device::Device;
use pollux_model::registration::{Failure, Registration, RegistrationStatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Etag, RegistrationId};
use pollux_store::{Batch, CommitError, Expect};

use super::Provisioning;
use super::operate::Outcome;
use super::placed::devices_changed;

/// A device's place: a hub, and its id there.
#[derive(Clone)]
pub(super) struct Whereabouts {
    pub(super) hub: Arc<Resource>,
    pub(super) id: DeviceId,
}

impl Whereabouts {
    /// Whether the device need not move.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.hub.name == other.hub.name && self.id == other.id
    }
}

/// A device of an id that a registration is to have, and the registration that put it there.
pub(super) struct Stray {
    pub(super) place: Whereabouts,
    by: RegistrationId,
    /// Whether it leaves its hub. One that is where it is to be becomes another's.
    pub(super) departs: bool,
}

impl Provisioning {
    /// Where the device is now, if its record says so and it is still there. `next`: its id from now on.
    pub(super) async fn current(
        &self,
        dps: &Resource,
        record: &Registration,
        next: &DeviceId,
    ) -> Result<Option<Whereabouts>, Outcome> {
        let Some(host) = &record.assigned_hub else { return Ok(None) };
        let Some(hub) = self.context.table.serving(ResourceKind::Hub, host) else { return Ok(None) };
        let id = record.device_id.as_deref().map_or_else(|| Ok(next.clone()), DeviceId::parse);
        let id = id.map_err(Outcome::of)?;
        let found = self.context.store.device(&hub.name, &id).await.map_err(Outcome::of)?;
        // One that somebody made anew under the same id is taken over, as where there is no record.
        let ours = |device: &Device| match &device.identity.provisioned_by {
            Some(_) => is_of(device, dps, record),
            None => id == *next,
        };
        Ok(found.filter(ours).map(|_| Whereabouts { hub, id }))
    }

    /// Where else in linked hubs there is a device of that id, which registrations of this service made: that of this one,
    /// whose record was deleted (those first), or of another one whose entry names the same id. Of a service an id is one
    /// device, and it must not be in two hubs. `here`: also that of another one where it is to be.
    pub(super) async fn strays(
        &self,
        dps: &Resource,
        record: &Registration,
        next: &Whereabouts,
        here: bool,
    ) -> Result<Vec<Stray>, Outcome> {
        let mut strays = Vec::new();
        for link in &Self::dps(dps).map_err(Outcome::of)?.linked_hubs {
            let hub = self.context.table.named(ResourceKind::Hub, &link.hub);
            let Some(hub) = hub.filter(|hub| here || hub.name != next.hub.name) else { continue };
            let found = self.context.store.device(&hub.name, &next.id).await.map_err(Outcome::of)?;
            let departs = hub.name != next.hub.name;
            let by = found.and_then(|device| device.identity.provisioned_by).filter(|by| by.dps == *dps.name);
            let Some(by) = by.and_then(|by| RegistrationId::parse(&by.registration_id).ok()) else {
                continue;
            };
            if departs || by != record.registration_id {
                strays.push(Stray { place: Whereabouts { hub, id: next.id.clone() }, by, departs });
            }
        }
        strays.sort_by_key(|stray| stray.by != record.registration_id);
        Ok(strays)
    }

    /// The writes by which the device leaves those places, and by which whoever put it there knows. `done`: the registration that
    /// has it now.
    pub(super) async fn plan_leaving(
        &self,
        dps: &Resource,
        done: &Registration,
        strays: &[Stray],
        batch: &mut Batch,
    ) -> Result<(), Outcome> {
        for Stray { place, by, departs } in strays {
            if *departs {
                self.hub.plan_departure(&place.hub, &place.id, batch).await.map_err(Outcome::of)?;
            }
            if *by == done.registration_id {
                continue;
            }
            let other = self.context.store.registration(&dps.name, by).await.map_err(Outcome::of)?;
            // One that is being assigned finds its device gone, and decides again.
            let tells = |other: &Registration| {
                let hub = other
                    .assigned_hub
                    .as_deref()
                    .and_then(|host| self.context.table.serving(ResourceKind::Hub, host));
                other.status != RegistrationStatus::Assigning
                    && hub.is_some_and(|hub| hub.name == place.hub.name)
            };
            let Some(other) = other.filter(tells) else { continue };
            let message = format!(
                "the device '{}' is that of the registration '{}' now, in {}: give one of the two enrollments another deviceId",
                place.id,
                done.registration_id,
                done.assigned_hub.as_deref().unwrap_or_default(),
            );
            batch.writes.push(self.audit(dps, &self.displaced_record(&other, &message)));
            let expect = Expect::Etag(other.etag.clone());
            let displaced = Registration {
                status: RegistrationStatus::Unassigned,
                substatus: None,
                assigned_hub: None,
                device_id: None,
                failure: Some(Failure { code: 409_000, message }),
                updated: self.context.clock.now(),
                etag: Etag::fresh(&*self.context.random),
                ..other
            };
            batch.writes.push(self.put(dps, displaced, expect));
        }
        Ok(())
    }

    /// Looks once more when the device is in its place: another registration may have put it elsewhere at the same moment, and
    /// of two that do, one at least sees both. Gives the record as it is then.
    pub(super) async fn settle(
        &self,
        dps: &Resource,
        mut done: Registration,
    ) -> Result<Registration, Outcome> {
        loop {
            let (Some(host), Some(id)) = (&done.assigned_hub, &done.device_id) else { return Ok(done) };
            let Some(hub) = self.context.table.serving(ResourceKind::Hub, host) else { return Ok(done) };
            let next = Whereabouts { hub, id: DeviceId::parse(id).map_err(Outcome::of)? };
            let strays = self.strays(dps, &done, &next, false).await?;
            if strays.is_empty() || done.status != RegistrationStatus::Assigned {
                return Ok(done);
            }
            let mut batch = Batch::new();
            self.plan_leaving(dps, &done, &strays, &mut batch).await?;
            let changed = devices_changed(&batch);
            let (expect, etag) = (Expect::Etag(done.etag.clone()), Etag::fresh(&*self.context.random));
            let settled = Registration { etag, ..done.clone() };
            batch.writes.push(self.put(dps, settled.clone(), expect));
            match self.context.store.commit(batch).await {
                Ok(()) => {
                    for (hub, device) in changed {
                        self.hub.connections.look_after(&hub, &device).await;
                    }
                    return Ok(settled);
                }
                Err(CommitError::Expectation { .. }) => {}
                Err(CommitError::Store(error)) => return Err(Outcome::of(error)),
            }
            let now = self.context.store.registration(&dps.name, &done.registration_id).await;
            match now.map_err(Outcome::of)? {
                Some(now) => done = now,
                None => return Ok(done),
            }
        }
    }
}

/// Whether it is the device of this registration.
fn is_of(device: &Device, dps: &Resource, record: &Registration) -> bool {
    let by = device.identity.provisioned_by.as_ref();
    by.is_some_and(|by| by.dps == *dps.name && by.registration_id == *record.registration_id)
}
