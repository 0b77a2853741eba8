//! Reading table `jobs`.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::job::{Job, JobKind};

use super::PostgresStore;
use super::rows::{document, one, page};
use super::text::text;
use crate::error::StoreError;
use crate::jobs::Jobs;
use crate::keys::fetch;
use crate::store::Page;

const TABLE: &str = "jobs";

#[async_trait]
impl Jobs for PostgresStore {
    async fn job(&self, twins: &ResourceName, kind: JobKind, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = "SELECT document FROM jobs WHERE twins = $1 AND kind = $2 AND id = $3";
        let key: super::pool::Params<'_> = &[&twins.as_str(), &kind.as_str(), &text(id)];
        one(&self.pool, sql, key, |row| document(row, 0, TABLE)).await
    }

    async fn jobs(
        &self,
        twins: &ResourceName,
        kind: JobKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Job>, StoreError> {
        let sql = "SELECT document FROM jobs WHERE twins = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4";
        let after = text(after.unwrap_or_default());
        let key: super::pool::Params<'_> = &[&twins.as_str(), &kind.as_str(), &after, &fetch(limit)];
        page(&self.pool, sql, key, limit, |row| document(row, 0, TABLE), |job: &Job| job.id.clone()).await
    }
}
