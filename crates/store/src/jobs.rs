//! Reading jobs of a digital twins instance.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::job::{Job, JobKind};

use crate::error::StoreError;
use crate::store::Page;

/// Jobs, keyed by instance, kind and id. Ids compare with case.
#[async_trait]
pub trait Jobs {
    /// One job.
    async fn job(&self, twins: &ResourceName, kind: JobKind, id: &str) -> Result<Option<Job>, StoreError>;
    /// Jobs of a kind in order of id, after `after`.
    async fn jobs(
        &self,
        twins: &ResourceName,
        kind: JobKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Job>, StoreError>;
}
