//! Many ids at once.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::Relationship;
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{count, document, many, number};
use super::text::{plain, text};
use crate::bulk::Bulk;
use crate::error::StoreError;
use crate::twins::Direction;

const MODELS: &str = "SELECT n, model FROM unnest($2::text[]) WITH ORDINALITY AS asked (id, n)
    JOIN digital_twins AS t ON t.twins = $1 AND t.id = asked.id";
const RELATIONSHIPS: &str = "SELECT n, document
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS asked (source, id, n)
    JOIN relationships AS r ON r.twins = $1 AND r.source = asked.source AND r.id = asked.id";

const COUNT_OUTGOING: &str = "SELECT n, (SELECT count(*) FROM
        (SELECT 1 FROM relationships WHERE twins = $1 AND source = asked.id LIMIT $3) AS found)
    FROM unnest($2::text[]) WITH ORDINALITY AS asked (id, n)";
const COUNT_INCOMING: &str = "SELECT n, (SELECT count(*) FROM
        (SELECT 1 FROM relationships WHERE twins = $1 AND target = asked.id LIMIT $3) AS found)
    FROM unnest($2::text[]) WITH ORDINALITY AS asked (id, n)";

#[async_trait]
impl Bulk for PostgresStore {
    async fn models_of_twins(
        &self,
        twins: &ResourceName,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, StoreError> {
        let asked: Vec<_> = ids.iter().map(|id| text(id)).collect();
        let read = |row: &Row| Ok((number(row, 0)?, plain(row.try_get(1)?)));
        Ok(placed(many(&self.pool, MODELS, &[&twins.as_str(), &asked], read).await?, ids.len()))
    }

    async fn relationships_by_id(
        &self,
        twins: &ResourceName,
        keys: &[(String, String)],
    ) -> Result<Vec<Option<Relationship>>, StoreError> {
        let sources: Vec<_> = keys.iter().map(|(source, _)| text(source)).collect();
        let ids: Vec<_> = keys.iter().map(|(_, id)| text(id)).collect();
        let read = |row: &Row| Ok((number(row, 0)?, document(row, 1, "relationships")?));
        let found = many(&self.pool, RELATIONSHIPS, &[&twins.as_str(), &sources, &ids], read).await?;
        Ok(placed(found, keys.len()))
    }

    async fn count_relationships(&self, twins: &ResourceName) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM relationships WHERE twins = $1";
        count(&self.pool, sql, &[&twins.as_str()]).await
    }

    async fn count_relationships_of(
        &self,
        twins: &ResourceName,
        ids: &[String],
        direction: Direction,
        most: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let asked: Vec<_> = ids.iter().map(|id| text(id)).collect();
        let sql = match direction {
            Direction::Outgoing => COUNT_OUTGOING,
            Direction::Incoming => COUNT_INCOMING,
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = |row: &Row| Ok((number(row, 0)?, number(row, 1)?));
        let found = many(&self.pool, sql, &[&twins.as_str(), &asked, &most], read).await?;
        Ok(placed(found, ids.len()).into_iter().map(Option::unwrap_or_default).collect())
    }
}

/// Answers by their place, from 1.
fn placed<T>(found: Vec<(u64, T)>, asked: usize) -> Vec<Option<T>> {
    let mut all: Vec<Option<T>> = std::iter::repeat_with(|| None).take(asked).collect();
    for (n, item) in found {
        let place = usize::try_from(n).ok().and_then(|n| n.checked_sub(1));
        if let Some(slot) = place.and_then(|place| all.get_mut(place)) {
            *slot = Some(item);
        }
    }
    all
}
