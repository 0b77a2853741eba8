//! Import and delete jobs (article "Azure Digital Twins APIs and SDKs", "Bulk import" and "Bulk delete"; OpenAPI of the data
//! plane 2023-10-31).
//!
//! ```text
//!   add ─▶ a record "notstarted" ─▶ the node that has the lease jobs/<instance> works on it, one job at a time
//!                                        │  each batch of items and how far it has come: one commit
//!                                        ├─ kill -9, another node: goes on behind the last batch
//!                                        └─ cancel: the record says "cancelling", seen within half a second
//! ```
//!
//! | file | concern |
//! |---|---|
//! | `add_import`, `add_deletion`, `cancel_import`, `delete_import`, `get_job`, `list_jobs` | the verbs |
//! | `work` | what is done with a job, and what ends it; who works on which is in [`job_work`](crate::job_work) |
//! | `import`, `deletion` | the work |
//! | `log` | the output log of an import |
//!
//! Where inputs come from and logs go to is in [`blobs`](crate::blobs).

mod add_deletion;
mod add_import;
mod cancel_import;
mod delete_import;
mod deletion;
mod get_job;
mod import;
mod list_jobs;
mod log;
mod work;

use std::sync::Arc;

use pollux_model::job::{Job, JobError, JobKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::{Batch, Expect, Write};
use tokio::sync::watch;

use super::Twins;
use crate::blobs::{BlobError, Blobs};
use crate::job_work::{all_jobs, new_job, oldest_if_full};

pub use add_deletion::AddDeletion;
pub use add_import::AddImport;

pub use crate::blobs::Reach as JobSettings;

/// What jobs share in this process.
#[derive(Debug)]
pub(super) struct Jobs {
    /// Where inputs come from and logs go to.
    blobs: Arc<Blobs>,
    /// Changes when a job was added or cancelled here.
    news: watch::Sender<u64>,
    /// Held while a job is added, so that there is one at a time.
    adding: tokio::sync::Mutex<()>,
}

impl Jobs {
    pub(super) fn new(blobs: Arc<Blobs>) -> Self {
        Self { blobs, news: watch::Sender::new(0), adding: tokio::sync::Mutex::default() }
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Twins {
    async fn all_jobs(&self, instance: &ResourceName) -> Result<Vec<Job>> {
        all_jobs(&self.context, instance, &JobKind::ALL).await
    }

    /// Keeps a new job, if there is no other of its id and none that is not over.
    async fn add_job(&self, instance: &ResourceName, job: Job) -> Result<Job> {
        let _one = self.jobs.adding.lock().await;
        let alone = self.context.cluster.alone(&format!("jobs/{instance}"), "add").await?;
        let added = self.add_job_alone(instance, job).await;
        alone.release().await;
        if added.is_ok() {
            self.jobs.tell();
        }
        added
    }

    async fn add_job_alone(&self, instance: &ResourceName, job: Job) -> Result<Job> {
        let all = self.all_jobs(instance).await?;
        if all.iter().any(|other| other.kind == job.kind && other.id == job.id) {
            return Err(in_use(&job.id));
        }
        if let Some(other) = all.iter().find(|other| !other.status.is_over()) {
            let (kind, id) = (other.kind.as_str(), &other.id);
            let message = format!(
                "An instance works on one job at a time, and {kind}/{id} is not over. Wait for it, or cancel it."
            );
            return Err(Error::new(ErrorCode::JobLimitReached, message));
        }
        let put =
            Write::PutJob { twins: instance.clone(), job: Box::new(job.clone()), expect: Expect::Absent };
        let mut batch = Batch::from(put);
        // The oldest goes: delete jobs cannot be deleted by who added them.
        if let Some(oldest) = oldest_if_full(&all, job.kind) {
            let (twins, id) = (instance.clone(), oldest.id.clone());
            batch = batch.with(Write::DeleteJob { twins, kind: job.kind, id, expect: Expect::Any });
        }
        match self.commit_batch(batch).await? {
            super::commit::Outcome::Done => Ok(job),
            super::commit::Outcome::Refused(_) => Err(in_use(&job.id)),
        }
    }

    /// A job as it is when nobody has begun.
    fn new_job(&self, id: String, kind: JobKind) -> Job {
        new_job(&self.context, id, kind)
    }
}

fn in_use(id: &str) -> Error {
    refuse(format!(
        "The job id '{}' is in use. Choose another, or delete that job.",
        pollux_model::ids::shown(id)
    ))
}

/// ADT's code for requests about jobs that cannot be.
fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::ValidationFailed, message.into())
}

/// A place that cannot be a job's.
fn misplaced(error: BlobError) -> Error {
    refuse(error.message())
}

/// As a job's error.
fn job_error(error: BlobError, code: &str) -> JobError {
    JobError { code: code.to_owned(), message: error.message() }
}

fn not_found(kind: JobKind, id: &str) -> Error {
    let code = match kind {
        JobKind::Imports => ErrorCode::ImportJobNotFound,
        JobKind::Deletions | JobKind::Registry => ErrorCode::DeleteJobNotFound,
    };
    Error::new(
        code,
        format!("There is no job '{}' among the {}.", pollux_model::ids::shown(id), kind.as_str()),
    )
}
