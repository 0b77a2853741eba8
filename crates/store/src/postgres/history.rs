//! Reading table `twin_history`.

use async_trait::async_trait;
use pollux_model::digital_twin::{DigitalTwin, PastVersion, Relationship};
use pollux_model::{ResourceName, Timestamp};
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{document, one, page};
use super::text::text;
use crate::error::StoreError;
use crate::history::{self, History, Span};
use crate::keys::{fetch, relationship_mark, relationship_place};
use crate::store::Page;
use crate::twins::Direction;

const OF_ONE: &str = "SELECT document FROM twin_history
    WHERE twins = $1 AND twin = $2 AND relationship = $3 AND (until, etag) > ($4, $5) ORDER BY until, etag LIMIT $6";
const TWINS_AT: &str = "SELECT document FROM twin_history
    WHERE twins = $1 AND relationship = '' AND since <= $2 AND until > $2 AND twin > $3
    AND ($4::text IS NULL OR twin <= $4) AND ($6::text[] IS NULL OR twin = ANY ($6)) ORDER BY twin LIMIT $5";
const RELATIONSHIPS_AT: &str = "SELECT document FROM twin_history
    WHERE twins = $1 AND relationship <> '' AND since <= $2 AND until > $2 AND (twin, relationship) > ($3, $4)
    AND ($5::text IS NULL OR (twin, relationship) <= ($5, $6)) ORDER BY twin, relationship LIMIT $7";
const OUTGOING_AT: &str = "SELECT document FROM twin_history
    WHERE twins = $1 AND twin = $8 AND relationship <> '' AND since <= $2 AND until > $2
    AND (twin, relationship) > ($3, $4) AND ($5::text IS NULL OR (twin, relationship) <= ($5, $6))
    ORDER BY twin, relationship LIMIT $7";
const INCOMING_AT: &str = "SELECT document FROM twin_history
    WHERE twins = $1 AND target = $8 AND relationship <> '' AND since <= $2 AND until > $2
    AND (twin, relationship) > ($3, $4) AND ($5::text IS NULL OR (twin, relationship) <= ($5, $6))
    ORDER BY twin, relationship LIMIT $7";

#[async_trait]
impl History for PostgresStore {
    async fn versions(
        &self,
        twins: &ResourceName,
        twin: &str,
        relationship: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<PastVersion>, StoreError> {
        let (until, etag) = history::place(after)?;
        let (twin, relationship, etag) = (text(twin), text(relationship.unwrap_or_default()), text(&etag));
        let key: super::pool::Params<'_> =
            &[&twins.as_str(), &twin, &relationship, &until, &etag, &fetch(limit)];
        page(&self.pool, OF_ONE, key, limit, read, history::mark).await
    }

    async fn twins_at(
        &self,
        twins: &ResourceName,
        at: Timestamp,
        ids: Option<&[String]>,
        span: Span<'_>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>, StoreError> {
        let (after, last) = (text(span.after.unwrap_or_default()), span.last.map(text));
        let ids: Option<Vec<String>> = ids.map(|ids| ids.iter().map(|id| text(id).into_owned()).collect());
        let key: super::pool::Params<'_> =
            &[&twins.as_str(), &at.as_micros(), &after, &last, &fetch(limit), &ids];
        let twin = |row: &Row| history::twin(read(row)?);
        page(&self.pool, TWINS_AT, key, limit, twin, |twin: &DigitalTwin| twin.id.clone()).await
    }

    async fn relationships_at(
        &self,
        twins: &ResourceName,
        at: Timestamp,
        end: Option<(&str, Direction)>,
        span: Span<'_>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError> {
        let (source, id) = relationship_place(span.after)?;
        let (source, id) = (text(&source), text(&id));
        let last = span.last.map(|last| relationship_place(Some(last))).transpose()?;
        let (last_source, last_id) = last.as_ref().map(|(source, id)| (text(source), text(id))).unzip();
        let (twins, at, rows) = (twins.as_str(), at.as_micros(), fetch(limit));
        let relationship = |row: &Row| history::relationship(read(row)?);
        let key: super::pool::Params<'_> = &[&twins, &at, &source, &id, &last_source, &last_id, &rows];
        let Some((twin, direction)) = end else {
            return page(&self.pool, RELATIONSHIPS_AT, key, limit, relationship, relationship_mark).await;
        };
        let sql = match direction {
            Direction::Outgoing => OUTGOING_AT,
            Direction::Incoming => INCOMING_AT,
        };
        let twin = text(twin);
        let key = [key, &[&twin]].concat();
        page(&self.pool, sql, &key, limit, relationship, relationship_mark).await
    }

    async fn ended_before(&self, twins: &ResourceName, before: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM twin_history WHERE twins = $1 AND until < $2 LIMIT 1";
        let key: super::pool::Params<'_> = &[&twins.as_str(), &before.as_micros()];
        Ok(one(&self.pool, sql, key, |_| Ok(())).await?.is_some())
    }
}

fn read(row: &Row) -> Result<PastVersion, StoreError> {
    document(row, 0, "twin_history")
}
