//! Who works on which job, and what ends it.

use std::sync::Arc;
use std::time::Duration;

use pollux_model::job::{Job, JobError, JobKind, JobStatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, Etag, ResourceName, Result, Timestamp};
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::job_error;
use super::log::Log;
use crate::cluster::{Fence, Holding};
use crate::consume::{follow, held};
use crate::twins::commit::ATTEMPTS;
use crate::twins::{Twins, refusal};

/// How often a job's record is looked at for a cancellation.
const LOOK: Duration = Duration::from_millis(400);
/// How often a node looks for jobs that were added through another.
const ASK: Duration = Duration::from_secs(1);
/// How often it looks where there is no other.
const RARELY: Duration = Duration::from_secs(3600);
/// The pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a job that is over is kept ("purgeDateTime" of the API's examples).
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

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

/// Why work ended before its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was cancelled.
    Cancelled,
    /// It cannot be done.
    Failed(JobError),
    /// It goes on later, or on another node.
    Interrupted(String),
}

impl Twins {
    /// Works on the jobs of all instances, as far as this node has their leases, until shutdown.
    pub(crate) async fn run_jobs(self: Arc<Self>, shutdown: CancellationToken) {
        let instances = || -> Vec<(ResourceName, Timestamp)> {
            let all = self.context.table.all();
            let ours = all.iter().filter(|one| one.kind() == ResourceKind::Twins);
            ours.map(|one| (one.name.clone(), one.created)).collect()
        };
        let twins = Arc::clone(&self);
        let consume = move |(instance, _), stop| Arc::clone(&twins).work_on_instance(instance, stop);
        follow(&self.context, "jobs", &shutdown, instances, consume).await;
    }

    async fn work_on_instance(self: Arc<Self>, instance: ResourceName, stop: CancellationToken) {
        let work = |holding| Arc::clone(&self).work_while(instance.clone(), holding);
        self.context.cluster.while_held(&format!("jobs/{instance}"), &stop, work).await;
    }

    async fn work_while(self: Arc<Self>, instance: ResourceName, Holding { fence, stop }: Holding) {
        let mut news = self.jobs.news.subscribe();
        let ask = if self.context.cluster.node().is_some() { ASK } else { RARELY };
        while !stop.is_cancelled() {
            news.mark_unchanged();
            let wait = match self.next_job(&instance, fence.as_ref()).await {
                Ok(None) => ask,
                Ok(Some(job)) => {
                    let Ok(resource) = self.context.table.get(ResourceKind::Twins, &instance) else { return };
                    let (twins, fence) = (Arc::clone(&self), fence.clone());
                    let work = Work { twins, resource, fence, job, log: None };
                    let ended = tokio::select! {
                        () = stop.cancelled() => return,
                        ended = work.run() => ended,
                    };
                    match ended {
                        Ok(()) => continue,
                        Err(why) => {
                            tracing::warn!(%instance, why, "a job pauses");
                            PAUSE
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%instance, %error, "jobs cannot be looked for");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                _ = news.changed() => {}
            }
        }
    }

    /// The job to be worked on; forgets those that were kept long enough.
    async fn next_job(&self, instance: &ResourceName, fence: Option<&Fence>) -> Result<Option<Job>> {
        let now = self.context.clock.now();
        let (mut next, mut old) = (None, held(fence));
        let kept = old.writes.len();
        for job in self.all_jobs(instance).await? {
            if !job.status.is_over() {
                next = Some(job);
            } else if job.purge.is_some_and(|purge| purge <= now) {
                let (twins, kind) = (instance.clone(), job.kind);
                old = old.with(Write::DeleteJob { twins, kind, id: job.id, expect: Expect::Any });
            }
        }
        if old.writes.len() > kept {
            self.context.store.commit(old).await.map_err(refusal::commit)?;
        }
        Ok(next)
    }

    /// Resolves when the job is to be cancelled.
    async fn cancelled(&self, instance: &ResourceName, kind: JobKind, id: &str) {
        loop {
            // What cannot be read now is looked at again.
            if let Ok(Some(job)) = self.context.store.job(instance, kind, id).await
                && job.status == JobStatus::Cancelling
            {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Work {
    /// Works until the job is over; an error says why it is not.
    async fn run(mut self) -> Result<(), String> {
        let (twins, instance) = (Arc::clone(&self.twins), self.resource.name.clone());
        let (kind, id) = (self.job.kind, self.job.id.clone());
        let ended = tokio::select! {
            ended = self.work() => ended,
            () = twins.cancelled(&instance, kind, &id) => Err(Ended::Cancelled),
        };
        let (status, error) = match ended {
            Ok(()) => self.judged(),
            Err(Ended::Cancelled) => (JobStatus::Cancelled, None),
            Err(Ended::Failed(error)) => (JobStatus::Failed, Some(error)),
            Err(Ended::Interrupted(why)) => return Err(why),
        };
        let (status, error) = self.end_log(status, error).await;
        self.finish(status, error).await.map_err(|error| error.message)
    }

    async fn work(&mut self) -> Result<(), Ended> {
        if self.job.status == JobStatus::Cancelling {
            return Err(Ended::Cancelled);
        }
        match self.job.kind {
            JobKind::Imports => self.import().await,
            JobKind::Deletions => self.deletion().await,
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

    /// Writes down how the job ended.
    async fn finish(&mut self, status: JobStatus, error: Option<JobError>) -> Result<()> {
        let (store, instance) = (&self.twins.context.store, &self.resource.name);
        for _ in 0..ATTEMPTS {
            let found = store.job(instance, self.job.kind, &self.job.id).await.map_err(refusal::store)?;
            // Deleted, with its instance perhaps; or ended by another node.
            let Some(job) = found.filter(|job| !job.status.is_over()) else { return Ok(()) };
            let expect = job.etag.clone();
            let now = self.twins.context.clock.now();
            let next = Job {
                status,
                error: error.clone(),
                etag: Etag::fresh(&*self.twins.context.random),
                last_action: now,
                finished: Some(now),
                purge: Some(now.plus(KEEP)),
                ..job
            };
            match store.commit(Batch { writes: self.writes(next, &expect) }).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Expectation { mismatch: Mismatch::LeaseLost, .. }) => return Ok(()),
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(refusal::commit(error)),
            }
        }
        Err(Error::internal())
    }

    /// The job as it will be written next.
    pub(super) fn moved(&self) -> Job {
        let context = &self.twins.context;
        Job { etag: Etag::fresh(&*context.random), last_action: context.clock.now(), ..self.job.clone() }
    }

    /// What writes it, where the lease is still had and nobody else wrote it.
    pub(super) fn writes(&self, next: Job, before: &Etag) -> Vec<Write> {
        let put = Write::PutJob {
            twins: self.resource.name.clone(),
            job: Box::new(next),
            expect: Expect::Etag(before.clone()),
        };
        held(self.fence.as_ref()).with(put).writes
    }

    /// Writes the job and others.
    pub(super) async fn save(&mut self, next: Job, others: Vec<Write>) -> Result<(), Ended> {
        let mut writes = self.writes(next.clone(), &self.job.etag);
        writes.extend(others);
        match self.twins.context.store.commit(Batch { writes }).await {
            Ok(()) => {
                self.job = next;
                Ok(())
            }
            Err(CommitError::Expectation { mismatch, .. }) => Err(self.superseded(mismatch).await),
            Err(error) => Err(Ended::Interrupted(refusal::commit(error).message)),
        }
    }

    /// Why the job was not as it was left.
    pub(super) async fn superseded(&self, mismatch: Mismatch) -> Ended {
        if mismatch == Mismatch::LeaseLost {
            return Ended::Interrupted("another node has the job".to_owned());
        }
        let store = &self.twins.context.store;
        match store.job(&self.resource.name, self.job.kind, &self.job.id).await {
            Ok(Some(job)) if job.status == JobStatus::Cancelling => Ended::Cancelled,
            _ => Ended::Interrupted("the job was changed by somebody else".to_owned()),
        }
    }
}
