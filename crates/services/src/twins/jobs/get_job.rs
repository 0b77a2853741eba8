//! Reads one job.

use pollux_model::job::{Job, JobKind};
use pollux_model::{ResourceName, Result};

use super::not_found;
use crate::twins::rates::Kind;
use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// A job as it is now.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ImportJobNotFound`], [`pollux_model::ErrorCode::DeleteJobNotFound`].
    pub async fn job(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        kind: JobKind,
        id: &str,
    ) -> Result<Job> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Jobs, &[]))?;
        let found = self.context.store.job(instance, kind, id).await.map_err(refusal::store)?;
        found.ok_or_else(|| not_found(kind, id))
    }
}
