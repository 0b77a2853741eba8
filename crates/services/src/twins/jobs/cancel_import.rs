//! Cancels an import job: it ends where it stands, and nothing is taken back.

use pollux_model::job::{Job, JobKind, JobStatus};
use pollux_model::{Etag, ResourceName, Result};
use pollux_store::{Expect, Write};

use super::{not_found, refuse};
use crate::twins::commit::{ATTEMPTS, Outcome, too_contended};
use crate::twins::rates::Kind;
use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Cancels an import job. One that is being cancelled already stays so.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ImportJobNotFound`]; [`pollux_model::ErrorCode::ValidationFailed`]: it is over.
    pub async fn cancel_import(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<Job> {
        self.admit(caller, instance, Right::TwinsWrite, (Kind::Jobs, &[]))?;
        // Each batch of its work moves the job's etag.
        for _ in 0..ATTEMPTS {
            let found =
                self.context.store.job(instance, JobKind::Imports, id).await.map_err(refusal::store)?;
            let mut job = found.ok_or_else(|| not_found(JobKind::Imports, id))?;
            if job.status == JobStatus::Cancelling {
                return Ok(job);
            }
            if job.status.is_over() {
                let status = job.status.as_str();
                return Err(refuse(format!(
                    "The job is over, with the status {status}; there is nothing to cancel."
                )));
            }
            let expect = Expect::Etag(job.etag.clone());
            (job.status, job.last_action) = (JobStatus::Cancelling, self.context.clock.now());
            job.etag = Etag::fresh(&*self.context.random);
            let write = Write::PutJob { twins: instance.clone(), job: Box::new(job.clone()), expect };
            if let Outcome::Done = self.commit_batch(write.into()).await? {
                self.jobs.tell();
                return Ok(job);
            }
        }
        Err(too_contended())
    }
}
