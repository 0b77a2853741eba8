//! Reading tables `resources` and `secrets`.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::resource::{Resource, ResourceKind};

use super::PostgresStore;
use super::rows::{document, many, one};
use super::text::text;
use crate::error::StoreError;
use crate::resources::Resources;
use crate::secrets::{Secret, Secrets};

const TABLE: &str = "resources";

#[async_trait]
impl Resources for PostgresStore {
    async fn resources(&self) -> Result<Vec<Resource>, StoreError> {
        let read = |row: &tokio_postgres::Row| document::<Resource>(row, 0, TABLE);
        let mut all = many(&self.pool, "SELECT document FROM resources", &[], read).await?;
        all.sort_by(|a, b| (a.kind(), &a.name).cmp(&(b.kind(), &b.name)));
        Ok(all)
    }

    async fn resource(
        &self,
        kind: ResourceKind,
        name: &ResourceName,
    ) -> Result<Option<Resource>, StoreError> {
        let sql = "SELECT document FROM resources WHERE kind = $1 AND name = $2";
        one(&self.pool, sql, &[&kind.as_str(), &name.as_str()], |row| document(row, 0, TABLE)).await
    }
}

#[async_trait]
impl Secrets for PostgresStore {
    async fn secrets(&self, scope: &str) -> Result<Vec<Secret>, StoreError> {
        let sql = "SELECT document FROM secrets WHERE scope = $1 ORDER BY id";
        many(&self.pool, sql, &[&text(scope)], |row| document(row, 0, "secrets")).await
    }
}
