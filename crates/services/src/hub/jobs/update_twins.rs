//! Changes the twins of a job's devices: each twin, the event that tells of it, the device's row and the job's counts are one
//! commit, so that a job that goes on after a crash changes none twice. Connected devices are told in order of versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use pollux_model::device::Device;
use pollux_model::scheduled_job::{DeviceJob, DeviceJobError, DeviceJobStatus, JobWork};
use pollux_model::{DeviceAddress, Error, ErrorCode, Etag};

use super::run::{Ended, Moves, Run, absent, stored};
use crate::hub::TwinInput;
use crate::hub::plan_twin::{Planned, TwinChange, slot};

/// Twins that change in one commit.
const BATCH: usize = 64;

impl Run {
    pub(super) async fn update_twins(&mut self) -> Result<(), Ended> {
        let JobWork::UpdateTwin { tags, desired, etag } = self.job.work.clone() else { return Ok(()) };
        let input = TwinInput { tags, desired, ..TwinInput::default() };
        let mut size = BATCH;
        loop {
            self.check()?;
            // Where a tier bounds the hub, as many as may have their turn now.
            let Some(turns) = self.turns(size).await? else { continue };
            let rows = self.rows(DeviceJobStatus::Pending, None, turns).await?.items;
            if rows.is_empty() {
                return Ok(());
            }
            let count = rows.len();
            // Where somebody else changed one of them, fewer are tried: at last one, as anybody who changes a twin does.
            let done = self.update(rows, &input, etag.as_ref()).await?;
            if done {
                self.acted(count);
            }
            size = if done { BATCH } else { (size / 2).max(1) };
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
        // In one order for all who take several. Before the twins are read: somebody who changes one of them all the time
        // would be faster each time.
        let mut turns = Vec::with_capacity(slots.len());
        for slot in slots {
            turns.push(hub.desired_order[slot].lock().await);
        }
        let found = join_all(rows.iter().map(|row| self.device(&row.device))).await;
        let mut moves = Moves { begins: true, ..Moves::default() };
        let (mut writes, mut changed) = (Vec::new(), Vec::new());
        for (mut row, found) in rows.into_iter().zip(found) {
            row.start = Some(self.now());
            match self.plan(&row.device, found?, input, etag).await? {
                Ok(Planned { device, writes: of_twin, notices, followed }) => {
                    row.status = DeviceJobStatus::Completed;
                    writes.extend(of_twin);
                    moves.moved.push((DeviceJobStatus::Pending, row.status));
                    writes.extend(self.put(row, Some(&device)).await?);
                    changed.push((device, notices, followed));
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
                for (device, ..) in &changed {
                    hub.connections.look_later(&self.resource.name, &device.address());
                }
                return Err(ended);
            }
        }
        let resource = &self.resource;
        let told = changed.into_iter().map(|(device, notices, followed)| {
            let elsewhere = hub.tell_here(resource, &device.address(), notices);
            (device, elsewhere, followed)
        });
        let told: Vec<_> = told.collect();
        // Others need not wait until other nodes have answered, and modules share these turns.
        drop(turns);
        let tell = async |(device, elsewhere, followed): (Device, _, bool)| {
            hub.tell_elsewhere(resource, &device.address(), elsewhere).await;
            followed.then_some(device)
        };
        for device in join_all(told.into_iter().map(tell)).await.into_iter().flatten() {
            hub.deploy_after(resource, &device).await;
        }
        Ok(true)
    }

    /// What the change makes of the device, or why it cannot be.
    async fn plan(
        &self,
        id: &DeviceAddress,
        found: Option<Device>,
        input: &TwinInput,
        etag: Option<&Etag>,
    ) -> Result<Result<Planned, DeviceJobError>, Ended> {
        let Some(device) = found else { return Ok(Err(absent(id))) };
        if etag.is_some_and(|etag| *etag != device.twin.service_etag) {
            let description = "the twin's etag is not the one given in updateTwin".to_owned();
            return Ok(Err(DeviceJobError { code: "PreconditionFailed".to_owned(), description }));
        }
        match self.hub.plan_twin(&self.resource, device, TwinChange::Patch(input)).await {
            Ok(planned) => Ok(Ok(planned)),
            Err(error) => refusal(error).map(Err),
        }
    }
}

/// Why a twin cannot be changed so; what says nothing of the twin ends the work for now.
fn refusal(error: Error) -> Result<DeviceJobError, Ended> {
    let code = match error.code {
        ErrorCode::Unavailable | ErrorCode::Internal => return Err(stored(error)),
        ErrorCode::TooLarge => "MessageTooLarge",
        _ => "ArgumentInvalid",
    };
    Ok(DeviceJobError { code: code.to_owned(), description: error.message })
}
