//! Jobs of a hub read.

use pollux_model::Result;
use pollux_model::job::{Job, JobKind};
use pollux_model::resource::{Resource, ResourceKind};

use super::{Hub, KINDS, not_found};
use crate::caller::{Caller, HubAction, Right};
use crate::job_work::all_jobs;

impl Hub {
    /// A job that imports or exports identities.
    ///
    /// # Errors
    /// [`ErrorCode::ImportJobNotFound`](pollux_model::ErrorCode).
    pub async fn registry_job(&self, caller: &Caller, hub: &Resource, id: &str) -> Result<Job> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::JobsRead))?;
        let found = self.context.store.job(&hub.name, JobKind::Registry, id).await?;
        found.ok_or_else(|| not_found(id))
    }

    /// All of them, the newest first: those that are not over, and those that ended in the last 30 days.
    pub async fn registry_jobs(&self, caller: &Caller, hub: &Resource) -> Result<Vec<Job>> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::JobsRead))?;
        let mut all = all_jobs(&self.context, &hub.name, KINDS).await?;
        all.sort_by_key(|job| std::cmp::Reverse(job.created));
        Ok(all)
    }
}
