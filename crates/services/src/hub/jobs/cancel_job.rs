//! Cancels a job.

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::scheduled_job::{ScheduledJob, ScheduledJobStatus};
use pollux_model::{Error, ErrorCode, Etag, Result, ids};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::{CANCEL, not_found, run};
use crate::caller::Caller;
use crate::hub::{Hub, Operation};

impl Hub {
    /// Cancels a job: no other device has its turn from now on. A device that was asked already may answer all the same.
    /// One that is cancelled stays so.
    ///
    /// # Errors
    /// [`ErrorCode::JobNotFound`]; [`ErrorCode::PreconditionFailed`]: it is over.
    pub async fn cancel_job(&self, caller: &Caller, hub: &Resource, id: &str) -> Result<ScheduledJob> {
        caller.require(ResourceKind::Hub, &hub.name, CANCEL)?;
        self.throttle(hub, Operation::Job, 1)?;
        loop {
            let store = &self.context.store;
            let job = store.scheduled_job(&hub.name, id).await?.ok_or_else(|| not_found(id))?;
            let mut next = job.clone();
            match job.status {
                ScheduledJobStatus::Cancelling | ScheduledJobStatus::Cancelled => return Ok(job),
                ScheduledJobStatus::Failed | ScheduledJobStatus::Completed => {
                    let (id, status) = (ids::shown(id), job.status.as_str());
                    let message = format!("the job '{id}' is {status}: it cannot be cancelled any more");
                    return Err(Error::new(ErrorCode::PreconditionFailed, message));
                }
                // No device has heard of it.
                ScheduledJobStatus::Scheduled | ScheduledJobStatus::Queued => {
                    run::end(&mut next, ScheduledJobStatus::Cancelled, self.context.clock.now());
                }
                ScheduledJobStatus::Running => next.status = ScheduledJobStatus::Cancelling,
            }
            next.etag = Etag::fresh(&*self.context.random);
            let write = Write::PutScheduledJob {
                hub: hub.name.clone(),
                job: Box::new(next.clone()),
                expect: Expect::Etag(job.etag),
            };
            match store.commit(Batch::from(write)).await {
                Ok(()) => {
                    self.jobs_changed().await;
                    return Ok(next);
                }
                // It went on meanwhile.
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
