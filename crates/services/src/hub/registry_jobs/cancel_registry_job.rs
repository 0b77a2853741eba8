//! Cancels a job: it ends where it stands, and nothing is taken back.

use pollux_model::job::{Job, JobStatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Etag, Result};
use pollux_store::{Batch, Expect, Write};

use super::Hub;
use crate::caller::{Caller, HubAction, Right};
use crate::hub::cloud_to_device::{ATTEMPTS, contended, moved};

impl Hub {
    /// Cancels a job that is not over; one that is stays as it is.
    ///
    /// # Errors
    /// [`ErrorCode::ImportJobNotFound`](pollux_model::ErrorCode).
    pub async fn cancel_registry_job(&self, caller: &Caller, hub: &Resource, id: &str) -> Result<Job> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::JobsDelete))?;
        // Each batch of its work moves the job's etag.
        for _ in 0..ATTEMPTS {
            let mut job = self.registry_job(&Caller::admin(), hub, id).await?;
            if job.status == JobStatus::Cancelling || job.status.is_over() {
                return Ok(job);
            }
            let expect = Expect::Etag(job.etag.clone());
            (job.status, job.last_action) = (JobStatus::Cancelling, self.context.clock.now());
            job.etag = Etag::fresh(&*self.context.random);
            let put = Write::PutJob { twins: hub.name.clone(), job: Box::new(job.clone()), expect };
            if !moved(self.context.store.commit(Batch::from(put)).await)? {
                self.registry_jobs.tell();
                return Ok(job);
            }
        }
        Err(contended())
    }
}
