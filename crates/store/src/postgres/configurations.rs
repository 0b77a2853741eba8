//! Reading table `configurations`.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::configuration::Configuration;

use super::PostgresStore;
use super::rows::{document, one, page};
use super::text::text;
use crate::configurations::Configurations;
use crate::error::StoreError;
use crate::keys::fetch;
use crate::store::Page;

const TABLE: &str = "configurations";

#[async_trait]
impl Configurations for PostgresStore {
    async fn configuration(&self, hub: &ResourceName, id: &str) -> Result<Option<Configuration>, StoreError> {
        let sql = "SELECT document FROM configurations WHERE hub = $1 AND id = $2";
        one(&self.pool, sql, &[&hub.as_str(), &text(id)], |row| document(row, 0, TABLE)).await
    }

    async fn configurations(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Configuration>, StoreError> {
        let sql = "SELECT document FROM configurations WHERE hub = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = text(after.unwrap_or_default());
        let key: super::pool::Params<'_> = &[&hub.as_str(), &after, &fetch(limit)];
        let mark = |configuration: &Configuration| configuration.id.clone();
        page(&self.pool, sql, key, limit, |row| document(row, 0, TABLE), mark).await
    }
}
