//! Many ids at once.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::Relationship;

use super::SqliteStore;
use super::relationships;
use super::rows::{count, one};
use crate::bulk::Bulk;
use crate::error::StoreError;

#[async_trait]
impl Bulk for SqliteStore {
    async fn models_of_twins(
        &self,
        twins: &ResourceName,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, StoreError> {
        let (twins, ids) = (twins.clone(), ids.to_owned());
        let sql = "SELECT model FROM digital_twins WHERE twins = ?1 AND id = ?2";
        self.readers
            .list(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let model = |id: &String| {
                    one(&snapshot, sql, [twins.as_str(), id.as_str()], |row| Ok(row.get::<_, String>(0)?))
                };
                ids.iter().map(model).collect()
            })
            .await
    }

    async fn relationships_by_id(
        &self,
        twins: &ResourceName,
        keys: &[(String, String)],
    ) -> Result<Vec<Option<Relationship>>, StoreError> {
        let (twins, keys) = (twins.clone(), keys.to_owned());
        self.readers
            .list(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                keys.iter().map(|(source, id)| relationships::get(&snapshot, &twins, source, id)).collect()
            })
            .await
    }

    async fn count_relationships(&self, twins: &ResourceName) -> Result<u64, StoreError> {
        let (twins, sql) = (twins.clone(), "SELECT count(*) FROM relationships WHERE twins = ?1");
        self.readers.list(move |connection| count(connection, sql, [twins.as_str()])).await
    }
}
