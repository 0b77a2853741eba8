//! Adds a delete job.

use std::time::Duration;

use pollux_model::job::{Job, JobKind};
use pollux_model::{Etag, ResourceName, Result};

use super::refuse;
use crate::twins::rates::Kind;
use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

/// How long a delete job may take where nobody says ("Bulk delete with the Delete Jobs API").
const MINUTES: u64 = 12 * 60;

/// Everything is to be deleted.
#[derive(Debug, Clone, Default)]
pub struct AddDeletion {
    /// Chosen by the caller; made here if it was not.
    pub id: Option<String>,
    /// How long it may take: 15 minutes to 24 hours, 12 hours if nobody says.
    pub minutes: Option<u64>,
}

impl Twins {
    /// Adds a job that deletes all relationships, twins and models of the instance.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ValidationFailed`]: the id is in use, or the time is out of bounds;
    /// [`pollux_model::ErrorCode::JobLimitReached`]: another job is not over.
    pub async fn add_deletion(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        add: AddDeletion,
    ) -> Result<Job> {
        self.admit(caller, instance, Right::TwinsWrite, (Kind::Jobs, &[]))?;
        let id = add.id.unwrap_or_else(|| Etag::fresh(&*self.context.random).to_string());
        refusal::check_id("job", &id)?;
        let minutes = add.minutes.unwrap_or(MINUTES);
        if !(15..=24 * 60).contains(&minutes) {
            return Err(refuse("timeoutInMinutes must be a number from 15 to 1440."));
        }
        let mut job = self.new_job(id, JobKind::Deletions);
        job.deadline = Some(job.created.plus(Duration::from_secs(minutes * 60)));
        self.add_job(instance, job).await
    }
}
