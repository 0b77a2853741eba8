//! What is done with a job, and what ends it.

use std::sync::Arc;

use async_trait::async_trait;
use pollux_model::Etag;
use pollux_model::job::{Job, JobError, JobKind, JobStatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_store::{Mismatch, Write};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::job_error;
use super::log::Log;
use crate::Context;
use crate::cluster::Fence;
use crate::job_work::{JobWorker, Record, run_jobs};
use crate::twins::Twins;

pub(super) use crate::job_work::Ended;

/// A job under way.
pub(super) struct Work {
    pub(super) twins: Arc<Twins>,
    pub(super) resource: Arc<Resource>,
    pub(super) fence: Option<Fence>,
    /// As this node last wrote it.
    pub(super) job: Job,
    /// Of an import, once it is made.
    pub(super) log: Option<Log>,
}

impl Twins {
    /// Works on the jobs of all instances, as far as this node has their leases, until shutdown.
    pub(crate) async fn run_jobs(self: Arc<Self>, shutdown: CancellationToken) {
        run_jobs(self, ResourceKind::Twins, "jobs", shutdown).await;
    }
}

#[async_trait]
impl JobWorker for Twins {
    const KINDS: &'static [JobKind] = &JobKind::ALL;

    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn news(&self) -> &watch::Sender<u64> {
        &self.jobs.news
    }

    async fn work(
        self: Arc<Self>,
        resource: Arc<Resource>,
        fence: Option<Fence>,
        job: Job,
    ) -> Result<(), String> {
        Work { twins: self, resource, fence, job, log: None }.run().await
    }
}

impl Work {
    /// Works until the job is over; an error says why it is not.
    async fn run(mut self) -> Result<(), String> {
        let (twins, instance) = (Arc::clone(&self.twins), self.resource.name.clone());
        let (kind, id) = (self.job.kind, self.job.id.clone());
        let record = Record { context: &twins.context, of: &instance, fence: None };
        let (status, error) = match record.worked((kind, &id), self.work()).await? {
            (JobStatus::Succeeded, _) => self.judged(),
            ended => ended,
        };
        let (status, error) = self.end_log(status, error).await;
        self.record().finish(&self.job, status, error).await.map_err(|error| error.message)
    }

    async fn work(&mut self) -> Result<(), Ended> {
        if self.job.status == JobStatus::Cancelling {
            return Err(Ended::Cancelled);
        }
        match self.job.kind {
            JobKind::Imports => self.import().await,
            JobKind::Deletions => self.deletion().await,
            JobKind::Registry => Err(Ended::Interrupted("it is a hub's job".to_owned())),
        }
    }

    /// A job whose work is done failed if an item did ("Check permissions": the job's status reflects a failure).
    fn judged(&self) -> (JobStatus, Option<JobError>) {
        let failed = self.job.progress.failed;
        if failed == 0 {
            return (JobStatus::Succeeded, None);
        }
        let message =
            format!("{failed} items could not be imported; all others were. The output log tells of each.");
        (JobStatus::Failed, Some(JobError { code: "PartialSuccess".to_owned(), message }))
    }

    async fn end_log(&mut self, status: JobStatus, error: Option<JobError>) -> (JobStatus, Option<JobError>) {
        let now = self.twins.context.clock.now();
        let Some(log) = &mut self.log else { return (status, error) };
        let progress = &self.job.progress;
        let mut details = json!({
            "status": match status {
                JobStatus::Succeeded => "Succeeded",
                JobStatus::Cancelled => "Cancelled",
                _ => "Failed",
            },
            "models": progress.models, "twins": progress.twins, "relationships": progress.relationships,
            "unchanged": progress.unchanged, "failed": progress.failed,
        });
        match &error {
            None => log.info(now, details),
            Some(JobError { code, message }) => {
                details["code"] = code.as_str().into();
                details["message"] = message.as_str().into();
                log.error(now, details);
            }
        }
        match log.flush(&self.twins).await {
            Err(failed) if status == JobStatus::Succeeded => {
                (JobStatus::Failed, Some(job_error(failed, "OutputBlobNotWritable")))
            }
            _ => (status, error),
        }
    }

    fn record(&self) -> Record<'_> {
        Record { context: &self.twins.context, of: &self.resource.name, fence: self.fence.as_ref() }
    }

    /// The job as it will be written next.
    pub(super) fn moved(&self) -> Job {
        self.record().moved(&self.job)
    }

    /// What writes it, where the lease is still had and nobody else wrote it.
    pub(super) fn writes(&self, next: Job, before: &Etag) -> Vec<Write> {
        self.record().writes(next, before)
    }

    /// Writes the job and others.
    pub(super) async fn save(&mut self, next: Job, others: Vec<Write>) -> Result<(), Ended> {
        let (context, of) = (&self.twins.context, &self.resource.name);
        let record = Record { context, of, fence: self.fence.as_ref() };
        record.save(&mut self.job, next, others).await
    }

    /// Why the job was not as it was left.
    pub(super) async fn superseded(&self, mismatch: Mismatch) -> Ended {
        self.record().superseded(&self.job, mismatch).await
    }
}
