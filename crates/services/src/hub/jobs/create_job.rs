//! Adds a job.

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::scheduled_job::{JobStatistics, JobWork, ScheduledJob, ScheduledJobStatus, Selection};
use pollux_model::{Error, ErrorCode, Etag, Result, Timestamp, ids};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::{WRITE, select};
use crate::caller::Caller;
use crate::hub::patch_twin::check;
use crate::hub::throttle::sku;
use crate::hub::{Hub, MethodInput, Operation, Removed, TwinInput, twin_rules};

/// How long a job may go where nobody says, in seconds: what the clients ask for (npm azure-iothub, az iot hub job).
const EXECUTION: u64 = 3600;
/// The longest, in seconds: as long as a job is kept. Ours.
const LONGEST: u64 = 30 * 24 * 3600;
/// Jobs that are over and may not be kept longer when another is added.
const HURRIED: u64 = 16;
/// Characters of an id, as of a device's.
const ID: usize = 128;
/// What the article says ids cannot have, beside blanks and what is not printable ASCII.
const SEPARATORS: &str = "$()<>@,;:\\\"/[]?={}";
/// What the path of a query is called.
const QUERY: &str = "query";

/// A job as it is asked for.
#[derive(Debug, Clone)]
pub struct JobInput {
    /// Chosen by the caller, unique in the hub.
    pub id: String,
    /// What is to be done.
    pub work: JobWorkInput,
    /// At which devices: a condition, `*`, or a query `FROM devices` or `FROM devices.modules`.
    pub query_condition: String,
    /// From when on; `None`, or what is past: at once.
    pub start: Option<Timestamp>,
    /// How long devices may take to have their turn, in seconds; `None` or 0: an hour.
    pub max_execution_seconds: Option<u64>,
}

/// What a job does.
#[derive(Debug, Clone)]
pub enum JobWorkInput {
    /// Merges into tags and desired properties; the etag twins must have, `None`: whatever they have.
    UpdateTwin(TwinInput, Option<Etag>),
    /// Calls a method.
    DeviceMethod(MethodInput),
}

impl Hub {
    /// Adds a job; it begins as soon as its time has come. Gives it as it is kept.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] and [`ErrorCode::TooLarge`] of what it is to do, [`ErrorCode::QueryInvalid`] of where,
    /// [`ErrorCode::JobExists`], [`ErrorCode::ActiveJobLimitReached`].
    pub async fn create_job(&self, caller: &Caller, hub: &Resource, input: JobInput) -> Result<ScheduledJob> {
        caller.require(ResourceKind::Hub, &hub.name, WRITE)?;
        self.throttle(hub, Operation::Job, 1)?;
        check_id(&input.id)?;
        select::condition(&input.query_condition)?;
        let work = self.checked_work(input.work)?;
        let max_execution_seconds =
            input.max_execution_seconds.filter(|seconds| *seconds > 0).unwrap_or(EXECUTION);
        if max_execution_seconds > LONGEST {
            return Err(Error::invalid(format!("maxExecutionTimeInSeconds must be at most {LONGEST}")));
        }
        let now = self.context.clock.now();
        let start = input.start.unwrap_or(now).max(now);
        let job = ScheduledJob {
            id: input.id,
            etag: Etag::fresh(&*self.context.random),
            work,
            query_condition: input.query_condition,
            status: if start > now { ScheduledJobStatus::Scheduled } else { ScheduledJobStatus::Queued },
            created: now,
            start,
            max_execution_seconds,
            ended: None,
            purge: None,
            failure_reason: None,
            statistics: JobStatistics::default(),
            selection: Selection::Beginning,
        };
        let _one = self.jobs.adding.lock().await;
        let alone = self.context.cluster.alone(&format!("hub-jobs/{}", hub.name), "create").await?;
        let added = self.add_job(hub, job).await;
        alone.release().await;
        if added.is_ok() {
            self.jobs_changed().await;
        }
        added
    }

    fn checked_work(&self, work: JobWorkInput) -> Result<JobWork> {
        match work {
            JobWorkInput::UpdateTwin(input, etag) => {
                check(&input)?;
                let limits = &self.context.limits;
                let TwinInput { tags, desired, removed } = input;
                if removed != Removed::default() {
                    let message =
                        "updateTwin of a job cannot be null for all tags or desired properties: name them";
                    return Err(Error::invalid(message));
                }
                if let Some(tags) = &tags {
                    twin_rules::check_size("tags", tags, limits.device_twin_tags)?;
                }
                if let Some(desired) = &desired {
                    twin_rules::check_size("properties.desired", desired, limits.device_twin_properties)?;
                }
                Ok(JobWork::UpdateTwin { tags, desired, etag })
            }
            JobWorkInput::DeviceMethod(input) => {
                let (response_timeout, connect_timeout) = (input.response_timeout, input.connect_timeout);
                let (call, ..) = self.checked_call(input)?;
                let (name, payload) = (call.name, call.payload);
                Ok(JobWork::DeviceMethod { name, payload, response_timeout, connect_timeout })
            }
        }
    }

    async fn add_job(&self, hub: &Resource, job: ScheduledJob) -> Result<ScheduledJob> {
        let (store, limits) = (&self.context.store, &self.context.limits);
        if store.scheduled_job(&hub.name, &job.id).await?.is_some() {
            return Err(exists(&job.id));
        }
        let counts = store.count_scheduled_jobs(&hub.name, job.created).await?;
        let (have, most, which) = match job.status {
            ScheduledJobStatus::Scheduled => (counts.waiting, limits.waiting_jobs, "wait for their time"),
            _ => (counts.active, limits.of_hub(sku(hub)).active_jobs, "are active"),
        };
        if have >= most {
            let message = format!("{have} jobs of the hub {which}; at most {most} may");
            return Err(Error::new(ErrorCode::ActiveJobLimitReached, message));
        }
        let put = Write::PutScheduledJob {
            hub: hub.name.clone(),
            job: Box::new(job.clone()),
            expect: Expect::Absent,
        };
        match store.commit(Batch::from(put)).await {
            Ok(()) => {
                let kept = counts.active + counts.waiting + counts.over + 1;
                if let Err(error) = self.hurry(hub, kept.saturating_sub(limits.kept_jobs)).await {
                    // The next job that is added sees to it.
                    tracing::warn!(hub = %hub.name, %error, "more jobs are kept than may be");
                }
                Ok(job)
            }
            Err(CommitError::Expectation { .. }) => Err(exists(&job.id)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Hub {
    /// Lets the oldest jobs that are over be kept no longer: so many are too many. Whoever works on the hub's jobs forgets them.
    async fn hurry(&self, hub: &Resource, surplus: u64) -> Result<()> {
        let (store, now) = (&self.context.store, self.context.clock.now());
        let most = usize::try_from(surplus.min(HURRIED)).unwrap_or_default();
        if most == 0 {
            return Ok(());
        }
        let oldest = store.due_scheduled_jobs(&hub.name, true, most).await?;
        for job in oldest.into_iter().filter(|job| job.due() > now) {
            let expect = Expect::Etag(job.etag.clone());
            let job = ScheduledJob { purge: Some(now), etag: Etag::fresh(&*self.context.random), ..job };
            let put = Write::PutScheduledJob { hub: hub.name.clone(), job: Box::new(job), expect };
            match store.commit(Batch::from(put)).await {
                // Where it was written by another, it is gone, or will be.
                Ok(()) | Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn check_id(id: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_graphic() && !SEPARATORS.contains(c);
    if id.is_empty() || id.len() > ID || !id.chars().all(good) {
        return Err(Error::invalid(format!(
            "the job id '{}' is not allowed: use 1 to {ID} printable ASCII characters without blanks and {SEPARATORS}",
            ids::shown(id)
        )));
    }
    if id.eq_ignore_ascii_case(QUERY) {
        return Err(Error::invalid(format!("a job cannot be called '{QUERY}': its path is that of queries")));
    }
    Ok(())
}

fn exists(id: &str) -> Error {
    Error::new(ErrorCode::JobExists, format!("there is a job '{}' already", ids::shown(id)))
}
