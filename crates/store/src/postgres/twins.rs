//! Reading tables `models`, `digital_twins` and `relationships`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::{DigitalTwin, Relationship, StoredModel};
use tokio_postgres::Row;

use super::PostgresStore;
use super::pool::Pool;
use super::rows::{count, document, many, number, one, page};
use super::text::text;
use crate::error::StoreError;
use crate::keys::{fetch, relationship_mark, relationship_place};
use crate::store::Page;
use crate::twins::{Direction, Related, TwinFilter, Twins};

/// With more models than this in a filter, reading along the key is no worse.
const MODELS_BY_INDEX: usize = 64;
const ALONG_KEY: &str =
    "SELECT document FROM digital_twins WHERE twins = $1 AND id > $2 ORDER BY id LIMIT $3";
const BY_IDS: &str = "SELECT document FROM digital_twins
    WHERE twins = $1 AND id = ANY ($4) AND id > $2 AND ($5::text[] IS NULL OR model = ANY ($5))
    ORDER BY id LIMIT $3";
/// The next ids of each model, as many as a page of them all may need, straight from the index.
const BY_MODELS: &str = "WITH ids AS (
        SELECT next.id FROM unnest($4::text[]) AS wanted (model), LATERAL (
            SELECT id FROM digital_twins WHERE twins = $1 AND model = wanted.model AND id > $2 ORDER BY id LIMIT $3
        ) AS next ORDER BY next.id LIMIT $3)
    SELECT t.document FROM ids, digital_twins AS t WHERE t.twins = $1 AND t.id = ids.id ORDER BY t.id";
/// All have one source, so the id alone orders them.
const OUTGOING: &str = "SELECT document FROM relationships
    WHERE twins = $1 AND source = $2 AND ($3::text IS NULL OR name = $3) AND id > $4 ORDER BY id LIMIT $5";
const INCOMING: &str = "SELECT document FROM relationships
    WHERE twins = $1 AND target = $2 AND ($3::text IS NULL OR name = $3) AND (source, id) > ($4, $5)
    ORDER BY source, id LIMIT $6";

/// Those of several twins in one question. Only the first goes on behind a mark.
const OUTGOING_OF_EACH: &str =
    "SELECT document, n FROM unnest($2::text[]) WITH ORDINALITY AS ends (twin, n), LATERAL (
        SELECT document, source, id FROM relationships
        WHERE twins = $1 AND source = ends.twin AND ($3::text[] IS NULL OR name = ANY ($3))
            AND (source, id) > (CASE WHEN n = 1 THEN $4 ELSE '' END, CASE WHEN n = 1 THEN $5 ELSE '' END)
        ORDER BY source, id LIMIT $6
    ) AS found ORDER BY n, source, id LIMIT $6";
const INCOMING_OF_EACH: &str =
    "SELECT document, n FROM unnest($2::text[]) WITH ORDINALITY AS ends (twin, n), LATERAL (
        SELECT document, source, id FROM relationships
        WHERE twins = $1 AND target = ends.twin AND ($3::text[] IS NULL OR name = ANY ($3))
            AND (source, id) > (CASE WHEN n = 1 THEN $4 ELSE '' END, CASE WHEN n = 1 THEN $5 ELSE '' END)
        ORDER BY source, id LIMIT $6
    ) AS found ORDER BY n, source, id LIMIT $6";

#[async_trait]
impl Twins for PostgresStore {
    async fn models(&self, twins: &ResourceName) -> Result<Vec<StoredModel>, StoreError> {
        let sql = "SELECT document FROM models WHERE twins = $1 ORDER BY id";
        many(&self.pool, sql, &[&twins.as_str()], |row| document(row, 0, "models")).await
    }

    async fn twin(&self, twins: &ResourceName, id: &str) -> Result<Option<DigitalTwin>, StoreError> {
        let sql = "SELECT document FROM digital_twins WHERE twins = $1 AND id = $2";
        one(&self.pool, sql, &[&twins.as_str(), &text(id)], read).await
    }

    async fn twins(
        &self,
        twins: &ResourceName,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>, StoreError> {
        filtered(&self.pool, twins, filter, after.unwrap_or_default(), limit).await
    }

    async fn count_twins(&self, twins: &ResourceName, models: Option<&[String]>) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM digital_twins WHERE twins = $1";
        let Some(models) = models else { return count(&self.pool, sql, &[&twins.as_str()]).await };
        let sql = "SELECT count(*) FROM digital_twins WHERE twins = $1 AND model = ANY ($2)";
        let models: Vec<_> = models.iter().map(|model| text(model)).collect();
        count(&self.pool, sql, &[&twins.as_str(), &models]).await
    }

    async fn relationship(
        &self,
        twins: &ResourceName,
        source: &str,
        id: &str,
    ) -> Result<Option<Relationship>, StoreError> {
        let sql = "SELECT document FROM relationships WHERE twins = $1 AND source = $2 AND id = $3";
        one(&self.pool, sql, &[&twins.as_str(), &text(source), &text(id)], read_relationship).await
    }

    async fn relationships_of(
        &self,
        twins: &ResourceName,
        twin: &str,
        direction: Direction,
        name: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError> {
        let (source, id) = relationship_place(after)?;
        let (source, id, rows) = (text(&source), text(&id), fetch(limit));
        let (twins, twin, name) = (twins.as_str(), text(twin), name.map(text));
        match direction {
            Direction::Outgoing => self.edges(OUTGOING, &[&twins, &twin, &name, &id, &rows], limit).await,
            Direction::Incoming => {
                self.edges(INCOMING, &[&twins, &twin, &name, &source, &id, &rows], limit).await
            }
        }
    }

    async fn related(
        &self,
        twins: &ResourceName,
        ends: &[String],
        direction: Direction,
        names: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Related, StoreError> {
        let (source, id) = relationship_place(after)?;
        let (source, id, rows) = (text(&source), text(&id), fetch(limit));
        let twins = twins.as_str();
        let stored =
            |list: &[String]| list.iter().map(|item| text(item).into_owned()).collect::<Vec<String>>();
        let asked = stored(ends);
        let names = (!names.is_empty()).then(|| stored(names));
        let sql = match direction {
            Direction::Outgoing => OUTGOING_OF_EACH,
            Direction::Incoming => INCOMING_OF_EACH,
        };
        let params: super::pool::Params<'_> = &[&twins, &asked, &names, &source, &id, &rows];
        let found =
            many(&self.pool, sql, params, |row| Ok((read_relationship(row)?, number(row, 1)?))).await?;
        Ok(by_end(found, ends.len(), limit))
    }

    async fn relationships(
        &self,
        twins: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError> {
        let sql = "SELECT document FROM relationships WHERE twins = $1 AND (source, id) > ($2, $3)
            ORDER BY source, id LIMIT $4";
        let (source, id) = relationship_place(after)?;
        self.edges(sql, &[&twins.as_str(), &text(&source), &text(&id), &fetch(limit)], limit).await
    }
}

impl PostgresStore {
    async fn edges(
        &self,
        sql: &str,
        params: super::pool::Params<'_>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError> {
        page(&self.pool, sql, params, limit, read_relationship, relationship_mark).await
    }
}

/// A page, by the cheapest way the filter allows. What matches the filter is in it; more may be.
async fn filtered(
    pool: &Pool,
    twins: &ResourceName,
    filter: &TwinFilter,
    after: &str,
    limit: usize,
) -> Result<Page<DigitalTwin>, StoreError> {
    // Each model once, for a twin must not be met twice.
    let stored = |list: &Vec<String>| -> Vec<String> {
        let list: BTreeSet<_> = list.iter().map(|item| text(item).into_owned()).collect();
        list.into_iter().collect()
    };
    let (ids, models) = (filter.ids.as_ref().map(stored), filter.models.as_ref().map(stored));
    let (twins, after, rows) = (twins.as_str(), text(after), fetch(limit));
    let mark = |twin: &DigitalTwin| twin.id.clone();
    match (&ids, &models) {
        (Some(ids), models) => {
            page(pool, BY_IDS, &[&twins, &after, &rows, ids, models], limit, read, mark).await
        }
        (None, Some(models)) if models.len() <= MODELS_BY_INDEX => {
            page(pool, BY_MODELS, &[&twins, &after, &rows, models], limit, read, mark).await
        }
        _ => page(pool, ALONG_KEY, &[&twins, &after, &rows], limit, read, mark).await,
    }
}

/// Relationships with the place of their twin, from 1, and perhaps one more than `limit`.
fn by_end(mut found: Vec<(Relationship, u64)>, ends: usize, limit: usize) -> Related {
    let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).clamp(1, ends.max(1));
    let more = if found.len() > limit.max(1) { found.pop().map(|(_, n)| place(n)) } else { None };
    let last = found.last().map(|(relationship, n)| (relationship_mark(relationship), place(*n)));
    let (reached, next) = match (more, last) {
        (Some(more), Some((mark, last))) if more == last => (last, Some(mark)),
        (Some(more), _) => (more - 1, None),
        (None, _) => (ends, None),
    };
    let mut of: Vec<Vec<Relationship>> = vec![Vec::new(); reached];
    for (relationship, n) in found {
        if let Some(list) = of.get_mut(place(n) - 1) {
            list.push(relationship);
        }
    }
    Related { of, next }
}

fn read(row: &Row) -> Result<DigitalTwin, StoreError> {
    document(row, 0, "digital_twins")
}

fn read_relationship(row: &Row) -> Result<Relationship, StoreError> {
    document(row, 0, "relationships")
}
