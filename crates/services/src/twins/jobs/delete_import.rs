//! Deletes an import job's record, so that its id can be used again. What it imported stays.

use pollux_model::job::JobKind;
use pollux_model::{ResourceName, Result};
use pollux_store::{Expect, Write};

use super::refuse;
use crate::twins::rates::Kind;
use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Deletes the record of an import job that is over. One that is not there is as good as deleted.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ValidationFailed`]: it is not over.
    pub async fn delete_import(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<()> {
        self.admit(caller, instance, Right::TwinsWrite, (Kind::Jobs, &[]))?;
        let kind = JobKind::Imports;
        let found = self.context.store.job(instance, kind, id).await.map_err(refusal::store)?;
        let Some(job) = found else { return Ok(()) };
        if !job.status.is_over() {
            return Err(refuse("The job is not over. Cancel it, and delete it when it has ended."));
        }
        // A job that is over changes no more.
        let write =
            Write::DeleteJob { twins: instance.clone(), kind, id: id.to_owned(), expect: Expect::Any };
        self.commit_batch(write.into()).await.map(drop)
    }
}
