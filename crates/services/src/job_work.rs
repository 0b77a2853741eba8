//! Who works on which job, and what ends it: the same for the jobs of digital twins and for those of hubs.
//!
//! ```text
//!   a record "notstarted" ─▶ the node that has the lease <name>/<resource> works on it, one job at a time
//!                                 ├─ each batch moves the record, held to the lease
//!                                 ├─ kill -9, another node: goes on behind the last batch
//!                                 └─ the record says "cancelling": seen within half a second
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pollux_model::job::{Job, JobError, JobKind, JobStatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, Etag, ResourceName, Result, Timestamp};
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::cluster::{Fence, Holding};
use crate::consume::{follow, held};

/// How often a job's record is looked at for a cancellation.
const LOOK: Duration = Duration::from_millis(400);
/// How often a node looks for jobs that were added through another.
const ASK: Duration = Duration::from_secs(1);
/// How often it looks where there is no other.
const RARELY: Duration = Duration::from_secs(3600);
/// The pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a job that is over is kept ("purgeDateTime" of the examples of digital twins' API; hubs name no time).
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a record that others change at the same moment is tried.
const ATTEMPTS: usize = 16;

/// Why work ended before its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was cancelled.
    Cancelled,
    /// It cannot be done.
    Failed(JobError),
    /// A place that it reads or writes is away. Whoever works on it may try again; who gives up says that this is why.
    Away(JobError),
    /// It goes on later, or on another node.
    Interrupted(String),
}

/// What works on the jobs of a kind of resource.
#[async_trait]
pub(crate) trait JobWorker: Send + Sync + 'static {
    /// What all jobs need.
    fn context(&self) -> &Arc<Context>;
    /// Changes when a job was added or cancelled here.
    fn news(&self) -> &watch::Sender<u64>;
    /// The kinds of jobs.
    const KINDS: &'static [JobKind];
    /// Works until the job is over; an error says why it is not.
    async fn work(
        self: Arc<Self>,
        resource: Arc<Resource>,
        fence: Option<Fence>,
        job: Job,
    ) -> Result<(), String>;
}

/// Works on the jobs of all resources of a kind, as far as this node has their leases, until shutdown.
pub(crate) async fn run_jobs<W: JobWorker>(
    worker: Arc<W>,
    kind: ResourceKind,
    name: &'static str,
    shutdown: CancellationToken,
) {
    let context = Arc::clone(worker.context());
    let instances = || -> Vec<(ResourceName, Timestamp)> {
        let all = context.table.all();
        let ours = all.iter().filter(|one| one.kind() == kind);
        ours.map(|one| (one.name.clone(), one.created)).collect()
    };
    let consume = move |(instance, _): (ResourceName, Timestamp), stop: CancellationToken| {
        let worker = Arc::clone(&worker);
        async move {
            let lease = format!("{name}/{instance}");
            let (context, work) = (Arc::clone(worker.context()), |holding| {
                work_while(Arc::clone(&worker), kind, instance.clone(), holding)
            });
            context.cluster.while_held(&lease, &stop, work).await;
        }
    };
    follow(&context, name, &shutdown, instances, consume).await;
}

async fn work_while<W: JobWorker>(
    worker: Arc<W>,
    kind: ResourceKind,
    instance: ResourceName,
    Holding { fence, stop }: Holding,
) {
    let (context, mut news) = (Arc::clone(worker.context()), worker.news().subscribe());
    let ask = if context.cluster.node().is_some() { ASK } else { RARELY };
    while !stop.is_cancelled() {
        news.mark_unchanged();
        let wait = match next_job(&context, &instance, W::KINDS, fence.as_ref()).await {
            Ok(None) => ask,
            Ok(Some(job)) => {
                let Ok(resource) = context.table.get(kind, &instance) else { return };
                let ended = tokio::select! {
                    () = stop.cancelled() => return,
                    ended = Arc::clone(&worker).work(resource, fence.clone(), job) => ended,
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

/// Most jobs of a kind that are kept. They go 30 days after they ended, or when there are too many, the oldest first.
pub(crate) const KEPT: usize = 1000;

/// All jobs of these kinds.
pub(crate) async fn all_jobs(context: &Context, of: &ResourceName, kinds: &[JobKind]) -> Result<Vec<Job>> {
    let mut all = Vec::new();
    for kind in kinds {
        all.extend(context.store.jobs(of, *kind, None, KEPT).await?.items);
    }
    Ok(all)
}

/// The job to be worked on; forgets those that were kept long enough.
async fn next_job(
    context: &Context,
    of: &ResourceName,
    kinds: &[JobKind],
    fence: Option<&Fence>,
) -> Result<Option<Job>> {
    let now = context.clock.now();
    let (mut next, mut old) = (None, held(fence));
    let kept = old.writes.len();
    for job in all_jobs(context, of, kinds).await? {
        if !job.status.is_over() {
            next = Some(job);
        } else if job.purge.is_some_and(|purge| purge <= now) {
            let (twins, kind) = (of.clone(), job.kind);
            old = old.with(Write::DeleteJob { twins, kind, id: job.id, expect: Expect::Any });
        }
    }
    if old.writes.len() > kept {
        context.store.commit(old).await?;
    }
    Ok(next)
}

/// The oldest of a kind, where there are as many as are kept: it makes room for the next.
pub(crate) fn oldest_if_full(all: &[Job], kind: JobKind) -> Option<&Job> {
    let same: Vec<&Job> = all.iter().filter(|other| other.kind == kind).collect();
    if same.len() < KEPT {
        return None;
    }
    same.into_iter().min_by_key(|other| (other.finished, other.created))
}

/// A job as it is when nobody has begun.
pub(crate) fn new_job(context: &Context, id: String, kind: JobKind) -> Job {
    let now = context.clock.now();
    Job {
        id,
        kind,
        status: JobStatus::NotStarted,
        etag: Etag::fresh(&*context.random),
        input: None,
        output: None,
        created: now,
        last_action: now,
        finished: None,
        purge: None,
        deadline: None,
        error: None,
        progress: pollux_model::job::JobProgress::default(),
        registry: None,
    }
}

/// A job's record, as whoever works on it has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'r> {
    pub(crate) context: &'r Context,
    /// Whose job it is.
    pub(crate) of: &'r ResourceName,
    pub(crate) fence: Option<&'r Fence>,
}

impl Record<'_> {
    /// The job as it will be written next.
    pub(crate) fn moved(self, job: &Job) -> Job {
        let etag = Etag::fresh(&*self.context.random);
        Job { etag, last_action: self.context.clock.now(), ..job.clone() }
    }

    /// What writes it, where the lease is still had and nobody else wrote it.
    pub(crate) fn writes(self, next: Job, before: &Etag) -> Vec<Write> {
        let (twins, expect) = (self.of.clone(), Expect::Etag(before.clone()));
        held(self.fence).with(Write::PutJob { twins, job: Box::new(next), expect }).writes
    }

    /// Writes the job and others.
    pub(crate) async fn save(self, job: &mut Job, next: Job, others: Vec<Write>) -> Result<(), Ended> {
        let mut writes = self.writes(next.clone(), &job.etag);
        writes.extend(others);
        match self.context.store.commit(Batch { writes }).await {
            Ok(()) => {
                *job = next;
                Ok(())
            }
            Err(CommitError::Expectation { mismatch, .. }) => Err(self.superseded(job, mismatch).await),
            Err(error) => Err(Ended::Interrupted(Error::from(error).message)),
        }
    }

    /// Why the job was not as it was left.
    pub(crate) async fn superseded(self, job: &Job, mismatch: Mismatch) -> Ended {
        if mismatch == Mismatch::LeaseLost {
            return Ended::Interrupted("another node has the job".to_owned());
        }
        match self.context.store.job(self.of, job.kind, &job.id).await {
            Ok(Some(job)) if job.status == JobStatus::Cancelling => Ended::Cancelled,
            _ => Ended::Interrupted("the job was changed by somebody else".to_owned()),
        }
    }

    /// Does the work of a job unless somebody cancels it, and says how that ended.
    ///
    /// # Errors
    /// Why the job is not over.
    pub(crate) async fn worked(
        self,
        (kind, id): (JobKind, &str),
        work: impl Future<Output = Result<(), Ended>>,
    ) -> Result<(JobStatus, Option<JobError>), String> {
        let ended = tokio::select! {
            ended = work => ended,
            () = self.cancelled(kind, id) => Err(Ended::Cancelled),
        };
        match ended {
            Ok(()) => Ok((JobStatus::Succeeded, None)),
            Err(Ended::Cancelled) => Ok((JobStatus::Cancelled, None)),
            Err(Ended::Failed(error) | Ended::Away(error)) => Ok((JobStatus::Failed, Some(error))),
            Err(Ended::Interrupted(why)) => Err(why),
        }
    }

    /// Writes down how the job ended.
    pub(crate) async fn finish(self, job: &Job, status: JobStatus, error: Option<JobError>) -> Result<()> {
        let store = &self.context.store;
        for _ in 0..ATTEMPTS {
            let found = store.job(self.of, job.kind, &job.id).await?;
            // Deleted, with its instance perhaps; or ended by another node.
            let Some(job) = found.filter(|job| !job.status.is_over()) else { return Ok(()) };
            let expect = job.etag.clone();
            let now = self.context.clock.now();
            let next = Job {
                status,
                error: error.clone(),
                etag: Etag::fresh(&*self.context.random),
                last_action: now,
                finished: Some(now),
                purge: Some(now.plus(KEEP)),
                ..job
            };
            match store.commit(Batch { writes: self.writes(next, &expect) }).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Expectation { mismatch: Mismatch::LeaseLost, .. }) => return Ok(()),
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::internal())
    }

    /// Resolves when the job is to be cancelled.
    async fn cancelled(self, kind: JobKind, id: &str) {
        loop {
            // What cannot be read now is looked at again.
            if let Ok(Some(job)) = self.context.store.job(self.of, kind, id).await
                && job.status == JobStatus::Cancelling
            {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
