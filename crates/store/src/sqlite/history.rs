//! Table `twin_history`.

use async_trait::async_trait;
use pollux_model::digital_twin::{DigitalTwin, Past, PastVersion, Relationship};
use pollux_model::{ResourceName, Timestamp};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{document, execute, one, page};
use crate::error::StoreError;
use crate::history::{self, History, Span};
use crate::keys::{fetch, relationship_mark, relationship_place};
use crate::store::Page;
use crate::twins::Direction;

const OF_ONE: &str = "SELECT document FROM twin_history
    WHERE twins = ?1 AND twin = ?2 AND relationship = ?3 AND (until, etag) > (?4, ?5) ORDER BY until, etag LIMIT ?6";
const TWINS_AT: &str = "SELECT document FROM twin_history
    WHERE twins = ?1 AND relationship = '' AND since <= ?2 AND until > ?2 AND twin > ?3 AND (?4 IS NULL OR twin <= ?4)
    ORDER BY twin LIMIT ?5";
const TWINS_OF_IDS_AT: &str = "SELECT document FROM twin_history
    WHERE twins = ?1 AND relationship = '' AND since <= ?2 AND until > ?2 AND twin > ?3 AND (?4 IS NULL OR twin <= ?4)
    AND twin IN (SELECT value FROM json_each(?6)) ORDER BY twin LIMIT ?5";
const RELATIONSHIPS_AT: &str = "SELECT document FROM twin_history
    WHERE twins = ?1 AND relationship <> '' AND since <= ?2 AND until > ?2 AND (twin, relationship) > (?3, ?4)
    AND (?5 IS NULL OR (twin, relationship) <= (?5, ?6)) ORDER BY twin, relationship LIMIT ?7";
const OUTGOING_AT: &str = "SELECT document FROM twin_history
    WHERE twins = ?1 AND twin = ?8 AND relationship <> '' AND since <= ?2 AND until > ?2
    AND (twin, relationship) > (?3, ?4) AND (?5 IS NULL OR (twin, relationship) <= (?5, ?6))
    ORDER BY relationship LIMIT ?7";
const INCOMING_AT: &str = "SELECT document FROM twin_history INDEXED BY twin_history_by_target
    WHERE twins = ?1 AND target = ?8 AND relationship <> '' AND since <= ?2 AND until > ?2
    AND (twin, relationship) > (?3, ?4) AND (?5 IS NULL OR (twin, relationship) <= (?5, ?6))
    ORDER BY twin, relationship LIMIT ?7";
const FORGET: &str = "DELETE FROM twin_history WHERE (twins, twin, relationship, until, etag) IN (
    SELECT twins, twin, relationship, until, etag FROM twin_history WHERE twins = ?1 AND until < ?2
    ORDER BY until LIMIT ?3)";

#[async_trait]
impl History for SqliteStore {
    async fn versions(
        &self,
        twins: &ResourceName,
        twin: &str,
        relationship: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<PastVersion>, StoreError> {
        let (until, etag) = history::place(after)?;
        let (twins, twin) = (twins.clone(), twin.to_owned());
        let relationship = relationship.unwrap_or_default().to_owned();
        self.readers
            .list(move |connection| {
                let key = params![twins.as_str(), twin, relationship, until, etag, fetch(limit)];
                page(connection, OF_ONE, key, limit, read, history::mark)
            })
            .await
    }

    async fn twins_at(
        &self,
        twins: &ResourceName,
        at: Timestamp,
        ids: Option<&[String]>,
        span: Span<'_>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>, StoreError> {
        let (twins, at) = (twins.clone(), at.as_micros());
        let (after, last) = (span.after.unwrap_or_default().to_owned(), span.last.map(ToOwned::to_owned));
        let ids = ids.map(|ids| serde_json::json!(ids).to_string());
        let twin = |row: &Row<'_>| history::twin(read(row)?);
        let mark = |twin: &DigitalTwin| twin.id.clone();
        self.readers
            .list(move |connection| {
                let (twins, rows) = (twins.as_str(), fetch(limit));
                match ids {
                    Some(ids) => {
                        let key = params![twins, at, after, last, rows, ids];
                        page(connection, TWINS_OF_IDS_AT, key, limit, twin, mark)
                    }
                    None => {
                        page(connection, TWINS_AT, params![twins, at, after, last, rows], limit, twin, mark)
                    }
                }
            })
            .await
    }

    async fn relationships_at(
        &self,
        twins: &ResourceName,
        at: Timestamp,
        end: Option<(&str, Direction)>,
        span: Span<'_>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError> {
        let (twins, at) = (twins.clone(), at.as_micros());
        let after = relationship_place(span.after)?;
        let (source, id) = span.last.map(|last| relationship_place(Some(last))).transpose()?.unzip();
        let end = end.map(|(twin, direction)| (twin.to_owned(), direction));
        let relationship = |row: &Row<'_>| history::relationship(read(row)?);
        self.readers
            .list(move |connection| {
                let (twins, rows) = (twins.as_str(), fetch(limit));
                let Some((twin, direction)) = end else {
                    let key = params![twins, at, after.0, after.1, source, id, rows];
                    return page(connection, RELATIONSHIPS_AT, key, limit, relationship, relationship_mark);
                };
                let sql = match direction {
                    Direction::Outgoing => OUTGOING_AT,
                    Direction::Incoming => INCOMING_AT,
                };
                let key = params![twins, at, after.0, after.1, source, id, rows, twin];
                page(connection, sql, key, limit, relationship, relationship_mark)
            })
            .await
    }

    async fn ended_before(&self, twins: &ResourceName, before: Timestamp) -> Result<bool, StoreError> {
        let (twins, before) = (twins.clone(), before.as_micros());
        let sql = "SELECT 1 FROM twin_history WHERE twins = ?1 AND until < ?2 LIMIT 1";
        self.readers
            .point(|connection| {
                Ok(one(connection, sql, params![twins.as_str(), before], |_| Ok(()))?.is_some())
            })
            .await
    }
}

fn read(row: &Row<'_>) -> Result<PastVersion, StoreError> {
    document(row, 0, "twin_history")
}

pub(super) fn put(
    connection: &Connection,
    twins: &ResourceName,
    version: &PastVersion,
    text: &str,
) -> Result<(), Refusal> {
    let (etag, target) = match &version.was {
        Past::Twin(twin) => (&twin.etag, ""),
        Past::Relationship(relationship) => (&relationship.etag, relationship.target.as_str()),
    };
    let (twin, relationship) = version.of();
    let (since, until) = (version.since().as_micros(), version.until.as_micros());
    let sql = "INSERT OR REPLACE INTO twin_history
        (twins, twin, relationship, until, etag, since, target, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (twins, relationship) = (twins.as_str(), relationship.unwrap_or_default());
    let row = params![twins, twin, relationship, until, etag.as_str(), since, target, text];
    Ok(execute(connection, sql, row)?)
}

pub(super) fn forget(
    connection: &Connection,
    twins: &ResourceName,
    before: Timestamp,
    most: u32,
) -> Result<(), Refusal> {
    Ok(execute(connection, FORGET, params![twins.as_str(), before.as_micros(), most])?)
}

pub(super) fn delete_instance(connection: &Connection, twins: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM twin_history WHERE twins = ?1", [twins.as_str()])
}
