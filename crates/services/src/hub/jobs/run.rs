//! A job under way: its record, what is written with it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use pollux_model::device::Device;
use pollux_model::resource::{Resource, RouteSource};
use pollux_model::scheduled_job::{
    DeviceJob, DeviceJobError, DeviceJobStatus, JobStatistics, JobWork, ScheduledJob, ScheduledJobStatus,
    Selection,
};
use pollux_model::{DeviceAddress, Error, Etag, Timestamp};
use pollux_store::scheduled_jobs::DeviceJobFilter;
use pollux_store::{CommitError, Expect, Page, StoreError, Write};

use super::device_job;
use crate::cluster::Fence;
use crate::consume::held;
use crate::hub::Hub;

/// How long a job that is over is kept ("IoT Hub quotas and throttling").
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Why a device had no turn when the job's time is over.
const NO_TURN: &str =
    "the device had no turn within maxExecutionTimeInSeconds: it was not connected, or others took too long";
/// Devices that are told at once that they have no turn any more.
const BATCH: usize = 256;

/// A job under way.
pub(super) struct Run {
    pub(super) hub: Arc<Hub>,
    pub(super) resource: Arc<Resource>,
    pub(super) fence: Option<Fence>,
    /// As it is in the store, as far as is known here.
    pub(super) job: ScheduledJob,
}

/// Why work ended before its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was cancelled.
    Cancelled,
    /// Its time is over.
    Late,
    /// It cannot be done.
    Failed(String),
    /// It goes on later, or on another node.
    Interrupted(String),
}

/// What changes in a job's record with a commit. Whoever cancels writes the record too: the change is made to what is
/// there then.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) status: Option<ScheduledJobStatus>,
    pub(super) selection: Option<Selection>,
    /// Devices that were chosen.
    pub(super) chosen: u64,
    /// It begins something: not once the job is cancelled.
    pub(super) begins: bool,
    /// Devices that stood there and stand here now.
    pub(super) moved: Vec<(DeviceJobStatus, DeviceJobStatus)>,
}

impl Moves {
    fn apply(&self, job: &mut ScheduledJob) {
        if let Some(status) = self.status
            && job.status.waits()
        {
            job.status = status;
        }
        if let Some(selection) = &self.selection {
            job.selection = selection.clone();
        }
        let statistics = &mut job.statistics;
        statistics.devices += self.chosen;
        statistics.pending += self.chosen;
        for (from, to) in &self.moved {
            if let Some(count) = count_of(statistics, *from) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = count_of(statistics, *to) {
                *count += 1;
            }
        }
    }
}

/// Cancelled ones are not counted: the API has no word for their number.
fn count_of(statistics: &mut JobStatistics, status: DeviceJobStatus) -> Option<&mut u64> {
    match status {
        DeviceJobStatus::Pending => Some(&mut statistics.pending),
        DeviceJobStatus::Running => Some(&mut statistics.running),
        DeviceJobStatus::Completed => Some(&mut statistics.succeeded),
        DeviceJobStatus::Failed => Some(&mut statistics.failed),
        DeviceJobStatus::Canceled => None,
    }
}

impl Run {
    /// Works until the job is over; an error says why it is not.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let interrupted = |ended| match ended {
            Ended::Interrupted(why) | Ended::Failed(why) => why,
            Ended::Cancelled | Ended::Late => "it was changed by somebody else".to_owned(),
        };
        let ended = self.work().await.err();
        if let Some(ended) = &ended {
            self.settle(ended).await.map_err(interrupted)?;
        }
        let (status, reason) = match ended {
            // Whatever came of it at its devices.
            None | Some(Ended::Late) => (ScheduledJobStatus::Completed, None),
            Some(Ended::Cancelled) => (ScheduledJobStatus::Cancelled, None),
            Some(Ended::Failed(reason)) => (ScheduledJobStatus::Failed, Some(reason)),
            Some(Ended::Interrupted(why)) => return Err(why),
        };
        self.finish(status, reason).await.map_err(interrupted)
    }

    /// Its turn has come.
    pub(super) async fn begin_job(&mut self) -> Result<(), Ended> {
        if self.job.status.waits() {
            let begin = Moves { status: Some(ScheduledJobStatus::Running), ..Moves::default() };
            self.save(&begin, &[]).await?;
        }
        Ok(())
    }

    async fn work(&mut self) -> Result<(), Ended> {
        self.begin_job().await?;
        self.select().await?;
        match self.job.work {
            JobWork::UpdateTwin { .. } => self.update_twins().await,
            JobWork::DeviceMethod { .. } => self.call_methods().await,
        }
    }

    /// Whether more may begin.
    pub(super) fn check(&self) -> Result<(), Ended> {
        if self.job.status == ScheduledJobStatus::Cancelling {
            return Err(Ended::Cancelled);
        }
        if self.job.deadline() <= self.now() { Err(Ended::Late) } else { Ok(()) }
    }

    /// Devices whose turn did not come hear that it will not.
    pub(super) async fn settle(&mut self, ended: &Ended) -> Result<(), Ended> {
        let (status, error) = match ended {
            Ended::Interrupted(_) => return Ok(()),
            Ended::Cancelled => (DeviceJobStatus::Canceled, None),
            Ended::Late => (DeviceJobStatus::Failed, Some(not_started(NO_TURN))),
            Ended::Failed(reason) => (DeviceJobStatus::Failed, Some(not_started(reason))),
        };
        loop {
            let rows = self.rows(DeviceJobStatus::Pending, None, BATCH).await?.items;
            if rows.is_empty() {
                return Ok(());
            }
            let (mut moves, mut writes) = (Moves::default(), Vec::new());
            for mut row in rows {
                moves.moved.push((row.status, status));
                (row.status, row.error) = (status, error.clone());
                writes.extend(self.put(row, None).await?);
            }
            self.save(&moves, &writes).await?;
        }
    }

    /// Writes down how the job ended; one that is cancelled while its last device is done is done.
    async fn finish(&mut self, status: ScheduledJobStatus, reason: Option<String>) -> Result<(), Ended> {
        loop {
            let mut next = self.job.clone();
            end(&mut next, status, self.now());
            next.failure_reason.clone_from(&reason);
            if self.commit(next, &[]).await? != Committed::Overtaken {
                return Ok(());
            }
        }
    }

    /// Commits a change of the job's record with other writes; `false`: one of the others expected what is not so, or the choice
    /// of devices went on meanwhile, by a commit of a run before this one that was still under way.
    pub(super) async fn save(&mut self, moves: &Moves, others: &[Write]) -> Result<bool, Ended> {
        let from = self.job.selection.clone();
        loop {
            let mut next = self.job.clone();
            moves.apply(&mut next);
            match self.commit(next, others).await? {
                Committed::Done => return Ok(true),
                Committed::Refused => return Ok(false),
                Committed::Overtaken if moves.selection.is_some() && self.job.selection != from => {
                    return Ok(false);
                }
                Committed::Overtaken if moves.begins => self.check()?,
                Committed::Overtaken => {}
            }
        }
    }

    async fn commit(&mut self, mut next: ScheduledJob, others: &[Write]) -> Result<Committed, Ended> {
        next.etag = Etag::fresh(&*self.hub.context.random);
        let mut batch = held(self.fence.as_ref());
        let place = batch.writes.len();
        batch.writes.push(Write::PutScheduledJob {
            hub: self.resource.name.clone(),
            job: Box::new(next.clone()),
            expect: Expect::Etag(self.job.etag.clone()),
        });
        batch.writes.extend_from_slice(others);
        match self.hub.context.store.commit(batch).await {
            Ok(()) => {
                self.job = next;
                Ok(Committed::Done)
            }
            Err(CommitError::Expectation { index, .. }) if index < place => {
                Err(Ended::Interrupted("another node has the job".to_owned()))
            }
            Err(CommitError::Expectation { index, .. }) if index == place => {
                self.reload().await?;
                Ok(Committed::Overtaken)
            }
            Err(CommitError::Expectation { .. }) => Ok(Committed::Refused),
            Err(error) => Err(Ended::Interrupted(error.to_string())),
        }
    }

    /// Takes in what others made of the record.
    pub(super) async fn reload(&mut self) -> Result<(), Ended> {
        let found = self.hub.context.store.scheduled_job(&self.resource.name, &self.job.id).await;
        match found.map_err(unread)? {
            Some(job) if !job.status.is_over() => {
                self.job = job;
                Ok(())
            }
            _ => Err(Ended::Interrupted("it is over, or gone".to_owned())),
        }
    }

    /// Rows of the job that stand like this.
    pub(super) async fn rows(
        &self,
        status: DeviceJobStatus,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceJob>, Ended> {
        let filter = DeviceJobFilter { job: Some(&self.job.id), device: None, status: Some(status) };
        let store = &self.hub.context.store;
        store.device_jobs(&self.resource.name, filter, after, limit).await.map_err(unread)
    }

    /// A row of a device that was chosen.
    pub(super) fn row(&self, device: DeviceAddress) -> DeviceJob {
        let now = self.now();
        DeviceJob {
            job: self.job.id.clone(),
            kind: self.job.work.kind(),
            device,
            status: DeviceJobStatus::Pending,
            created: now,
            updated: now,
            start: None,
            end: None,
            outcome: None,
            error: None,
        }
    }

    /// What writes a row as it stands now, and the events that tell of it. The device's twin is read where a route wants it.
    pub(super) async fn put(&self, mut row: DeviceJob, device: Option<&Device>) -> Result<Vec<Write>, Ended> {
        row.updated = self.now();
        if matches!(
            row.status,
            DeviceJobStatus::Completed | DeviceJobStatus::Failed | DeviceJobStatus::Canceled
        ) {
            row.end = Some(row.updated);
        }
        let read;
        let wanted = self.hub.needs_twin(&self.resource, RouteSource::DeviceJobLifecycleEvents);
        let device = match device {
            None if wanted => {
                read = self.device(&row.device).await?;
                read.as_ref()
            }
            device => device,
        };
        let event = device_job::event(&self.resource, &row, device);
        let hub = self.resource.name.clone();
        let mut writes = vec![Write::PutDeviceJob { hub, job: Box::new(row) }];
        writes.extend(self.hub.outbox(&self.resource, event, device));
        Ok(writes)
    }

    /// The device or module, if it is there.
    pub(super) async fn device(&self, id: &DeviceAddress) -> Result<Option<Device>, Ended> {
        let (store, hub) = (&self.hub.context.store, &self.resource.name);
        let found = match &id.module {
            Some(module) => store.module(hub, &id.device, module).await,
            None => store.device(hub, &id.device).await,
        };
        found.map_err(unread)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.hub.context.clock.now()
    }
}

/// What came of a commit.
#[derive(Debug, PartialEq, Eq)]
enum Committed {
    Done,
    /// The record had been written by somebody else; it is known now.
    Overtaken,
    /// Another write was refused.
    Refused,
}

/// Ends a job, which is kept for a while.
pub(super) fn end(job: &mut ScheduledJob, status: ScheduledJobStatus, now: Timestamp) {
    job.status = status;
    job.ended = Some(now);
    job.purge = Some(now.plus(KEEP));
}

/// The device or module is not there.
pub(super) fn absent(id: &DeviceAddress) -> DeviceJobError {
    let code = if id.module.is_some() { "ModuleNotFound" } else { "DeviceNotFound" };
    let description = format!("there is no {} '{id}' any more", id.noun());
    DeviceJobError { code: code.to_owned(), description }
}

/// The code is what the service gives such devices (a response in the unit tests of the Java client).
fn not_started(why: &str) -> DeviceJobError {
    DeviceJobError { code: "JobRunPreconditionFailed".to_owned(), description: why.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unread(error: StoreError) -> Ended {
    Ended::Interrupted(error.to_string())
}

/// The same of a service's error.
pub(super) fn stored(error: Error) -> Ended {
    Ended::Interrupted(error.message)
}
