//! Lists jobs.

use pollux_model::job::{Job, JobKind};
use pollux_model::{ResourceName, Result};

use crate::twins::rates::Kind;
use crate::twins::{Listing, Paging, Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Jobs of a kind in order of id: those that are not over, and those that ended in the last 30 days.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::InvalidArgument`] for a foreign continuation token.
    pub async fn jobs(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        kind: JobKind,
        paging: Paging,
    ) -> Result<Listing<Job>> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Jobs, &[]))?;
        let scope = format!("{instance}/jobs/{}", kind.as_str());
        let after: Option<String> = match &paging.continuation {
            Some(token) => Some(self.continuation.open(&scope, token).await?),
            None => None,
        };
        let page = self.context.store.jobs(instance, kind, after.as_deref(), paging.limit()).await;
        let page = page.map_err(refusal::store)?;
        let continuation = match &page.next {
            Some(next) => Some(self.continuation.seal(&scope, next).await?),
            None => None,
        };
        Ok(Listing { items: page.items, continuation })
    }
}
