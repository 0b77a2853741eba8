//! Changes the twins of a job's devices: each twin, the event that tells of it, the device's row and the job's counts are one
//! commit, so that a job that goes on after a crash changes none twice. Connected devices are told in order of versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use pollux_model::device::Device;
use pollux_model::scheduled_job::{DeviceJob, DeviceJobError, DeviceJobStatus, JobWork};
use pollux_model::{DeviceAddress, ErrorCode, Etag};
use pollux_store::{Expect, Write};

use super::run::{Ended, Moves, Run, absent};
use crate::hub::hub_event::twin_changed;
use crate::hub::patch_twin::slot;
use crate::hub::{DesiredChange, TwinInput};

/// Twins that change in one commit.
const BATCH: usize = 64;

/// A change of one twin.
struct Change {
    device: Device,
    /// As it was, where somebody is told how its digital twin changes.
    was: Option<Device>,
    /// Whether configurations had a part in it.
    followed: bool,
    /// What it is told of: the job's change, and what configurations make of that.
    desired: Vec<DesiredChange>,
    identity: Etag,
    twin: Etag,
}

impl Run {
    pub(super) async fn update_twins(&mut self) -> Result<(), Ended> {
        let JobWork::UpdateTwin { tags, desired, etag } = self.job.work.clone() else { return Ok(()) };
        let input = TwinInput { tags, desired, ..TwinInput::default() };
        let mut size = BATCH;
        loop {
            self.check()?;
            let rows = self.rows(DeviceJobStatus::Pending, None, size).await?.items;
            if rows.is_empty() {
                return Ok(());
            }
            // Where somebody else changed one of them, fewer are tried: at last one, as anybody who changes a twin does.
            size = if self.update(rows, &input, etag.as_ref()).await? { BATCH } else { (size / 2).max(1) };
        }
    }

    /// Changes these twins; `false`: one of them changed meanwhile, and nothing was done.
    async fn update(
        &mut self,
        rows: Vec<DeviceJob>,
        input: &TwinInput,
        etag: Option<&Etag>,
    ) -> Result<bool, Ended> {
        let hub = Arc::clone(&self.hub);
        let slots: BTreeSet<usize> = rows.iter().map(|row| slot(&row.device)).collect();
        // In one order for all who take several.
        let mut order = Vec::with_capacity(slots.len());
        for slot in slots {
            order.push(hub.desired_order[slot].lock().await);
        }
        let found = join_all(rows.iter().map(|row| self.device(&row.device))).await;
        let mut moves = Moves { begins: true, ..Moves::default() };
        let (mut writes, mut told, mut deploys) = (Vec::new(), Vec::new(), Vec::new());
        for (mut row, found) in rows.into_iter().zip(found) {
            row.start = Some(self.now());
            match self.change(&row.device, found?, input, etag) {
                Ok(mut change) => {
                    row.status = DeviceJobStatus::Completed;
                    writes.extend(self.twin_writes(&mut change, input).await?);
                    moves.moved.push((DeviceJobStatus::Pending, row.status));
                    let device = row.device.clone();
                    writes.extend(self.put(row, Some(&change.device)).await?);
                    told.push((device, change.desired));
                    deploys.extend(change.followed.then_some(change.device));
                }
                Err(error) => {
                    (row.status, row.error) = (DeviceJobStatus::Failed, Some(error));
                    moves.moved.push((DeviceJobStatus::Pending, row.status));
                    writes.extend(self.put(row, None).await?);
                }
            }
        }
        match self.save(&moves, &writes).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(ended) => {
                // It may have been done all the same: whoever has the devices' connections looks.
                for (device, _) in &told {
                    hub.connections.look_later(&self.resource.name, device);
                }
                return Err(ended);
            }
        }
        let (hub, resource) = (&hub, &self.resource);
        join_all(
            told.into_iter()
                .map(async |(device, desired)| hub.tell_desired(resource, &device, desired).await),
        )
        .await;
        // Their modules may share places in the order.
        drop(order);
        for device in &deploys {
            hub.deploy_after(resource, device).await;
        }
        Ok(true)
    }

    /// What the change makes of the device, or why it cannot be.
    fn change(
        &self,
        id: &DeviceAddress,
        found: Option<Device>,
        input: &TwinInput,
        etag: Option<&Etag>,
    ) -> Result<Change, DeviceJobError> {
        let device = found.ok_or_else(|| absent(id))?;
        if etag.is_some_and(|etag| *etag != device.twin.service_etag) {
            let description = "the twin's etag is not the one given in updateTwin".to_owned();
            return Err(DeviceJobError { code: "PreconditionFailed".to_owned(), description });
        }
        let (identity, twin) = (device.identity.etag.clone(), device.twin.etag.clone());
        let was = self.hub.digital_twin_watched(&self.resource, &device);
        let patched = self.hub.patched(device, input).map_err(|error| {
            let code = if error.code == ErrorCode::TooLarge { "MessageTooLarge" } else { "ArgumentInvalid" };
            DeviceJobError { code: code.to_owned(), description: error.message }
        });
        let (device, desired) = patched?;
        Ok(Change { device, was, followed: false, desired: desired.into_iter().collect(), identity, twin })
    }

    async fn twin_writes(&self, change: &mut Change, input: &TwinInput) -> Result<Vec<Write>, Ended> {
        let Change { device, was, followed: follows, desired, identity, twin } = change;
        let (now, tags) = (self.now(), input.tags.as_ref());
        let event = twin_changed(&self.resource, device, tags, desired.first(), false, now);
        let mut told = self.hub.outbox(&self.resource, event, Some(device));
        let followed = self.hub.follow_configurations(&self.resource, device).await;
        if let Some(followed) = followed.map_err(|error| Ended::Interrupted(error.message))? {
            *follows = true;
            told.extend(followed.told);
            desired.extend(followed.desired);
        }
        told.extend(self.hub.digital_twin_told(&self.resource, was.as_ref(), device));
        let mut writes = vec![Write::PutDevice {
            hub: self.resource.name.clone(),
            device: Box::new(device.clone()),
            identity: Expect::Etag(identity.clone()),
            twin: Expect::Etag(twin.clone()),
        }];
        writes.extend(told);
        Ok(writes)
    }
}
