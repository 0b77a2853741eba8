//! Many ids at once.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::Relationship;
use rusqlite::{Row, params};

use super::SqliteStore;
use super::relationships;
use super::rows::{count, many};
use crate::bulk::Bulk;
use crate::document::encode;
use crate::error::StoreError;
use crate::twins::Direction;

const COUNT_OUTGOING: &str = "SELECT (SELECT count(*) FROM
        (SELECT 1 FROM relationships WHERE twins = ?1 AND source = value LIMIT ?3))
    FROM json_each(?2) ORDER BY key";
const COUNT_INCOMING: &str = "SELECT (SELECT count(*) FROM
        (SELECT 1 FROM relationships WHERE twins = ?1 AND target = value LIMIT ?3))
    FROM json_each(?2) ORDER BY key";

#[async_trait]
impl Bulk for SqliteStore {
    async fn models_of_twins(
        &self,
        twins: &ResourceName,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, StoreError> {
        // One statement for all of them: each by itself would cost twice as much.
        let sql =
            "SELECT (SELECT model FROM digital_twins WHERE twins = ?1 AND id = value) FROM json_each(?2)
            ORDER BY key";
        let (twins, wanted) = (twins.clone(), encode(&ids)?);
        self.readers
            .list(move |connection| {
                many(connection, sql, [twins.as_str(), &wanted], |row| Ok(row.get::<_, Option<String>>(0)?))
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

    async fn count_relationships_of(
        &self,
        twins: &ResourceName,
        ids: &[String],
        direction: Direction,
        most: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let sql = match direction {
            Direction::Outgoing => COUNT_OUTGOING,
            Direction::Incoming => COUNT_INCOMING,
        };
        let (twins, wanted) = (twins.clone(), encode(&ids)?);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = |row: &Row<'_>| Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default());
        self.readers
            .list(move |connection| many(connection, sql, params![twins.as_str(), wanted, most], read))
            .await
    }
}
