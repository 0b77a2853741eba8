//! Table `digital_twins`, and the trait that also covers models and relationships.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::{DigitalTwin, Relationship, StoredModel};
use rusqlite::{Connection, Row, params};

use super::failure::Refusal;
use super::rows::{changed, count, document, execute, insert, many, one, page, require};
use super::{SqliteStore, models, relationships};
use crate::batch::Expect;
use crate::error::{Mismatch, StoreError};
use crate::keys::{fetch, relationship_place};
use crate::property_indexes::PropertyIndexes;
use crate::store::Page;
use crate::twins::{Direction, Related, TwinFilter, Twins};

const ETAG: &str = "SELECT etag FROM digital_twins WHERE twins = ?1 AND id = ?2";
const DOCUMENT: &str = "SELECT document FROM digital_twins WHERE twins = ?1 AND id = ?2";
/// What nearly every change is: the twin is as it was expected, and keeps its model. One look-up of the key, and the index
/// of models, which is a page of its own for each twin of a large graph, stays as it is.
const CHANGE: &str = "UPDATE digital_twins SET etag = ?4, document = ?5
    WHERE twins = ?1 AND id = ?2 AND model = ?3 AND etag = ?6";
const DOCUMENT_AND_MODEL: &str = "SELECT document, model FROM digital_twins WHERE twins = ?1 AND id = ?2";
/// With more models than this in a filter, reading along the key is no worse.
const MODELS_BY_INDEX: usize = 64;

/// None: the process that has the file holds the graph in memory, with indexes of its own.
impl PropertyIndexes for SqliteStore {}

#[async_trait]
impl Twins for SqliteStore {
    async fn models(&self, twins: &ResourceName) -> Result<Vec<StoredModel>, StoreError> {
        let twins = twins.clone();
        self.readers.list(move |connection| models::all(connection, &twins)).await
    }

    async fn twin(&self, twins: &ResourceName, id: &str) -> Result<Option<DigitalTwin>, StoreError> {
        self.readers.point(|connection| one(connection, DOCUMENT, [twins.as_str(), id], read)).await
    }

    async fn twins(
        &self,
        twins: &ResourceName,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>, StoreError> {
        let (twins, filter, after) = (twins.clone(), filter.clone(), after.unwrap_or_default().to_owned());
        self.readers.list(move |connection| filtered(connection, &twins, &filter, &after, limit)).await
    }

    async fn count_twins(&self, twins: &ResourceName, models: Option<&[String]>) -> Result<u64, StoreError> {
        let twins = twins.clone();
        let models: Option<BTreeSet<String>> = models.map(|models| models.iter().cloned().collect());
        self.readers.list(move |connection| count_of(connection, &twins, models.as_ref())).await
    }

    async fn relationship(
        &self,
        twins: &ResourceName,
        source: &str,
        id: &str,
    ) -> Result<Option<Relationship>, StoreError> {
        self.readers.point(|connection| relationships::get(connection, twins, source, id)).await
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
        let after = relationship_place(after)?;
        let (twins, twin, name) = (twins.clone(), twin.to_owned(), name.map(ToOwned::to_owned));
        self.readers
            .list(move |connection| {
                relationships::of(connection, &twins, (&twin, direction), name.as_deref(), &after, limit)
            })
            .await
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
        let after = relationship_place(after)?;
        let (twins, ends) = (twins.clone(), ends.to_owned());
        let names = (!names.is_empty()).then(|| serde_json::json!(names).to_string());
        self.readers
            .list(move |connection| {
                relationships::related(
                    connection,
                    &twins,
                    (&ends, direction),
                    names.as_deref(),
                    &after,
                    limit,
                )
            })
            .await
    }

    async fn relationships(
        &self,
        twins: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError> {
        let (twins, after) = (twins.clone(), relationship_place(after)?);
        self.readers.list(move |connection| relationships::all(connection, &twins, &after, limit)).await
    }
}

/// A page, by the cheapest way the filter allows. What matches the filter is in it; more may be.
fn filtered(
    connection: &Connection,
    twins: &ResourceName,
    filter: &TwinFilter,
    after: &str,
    limit: usize,
) -> Result<Page<DigitalTwin>, StoreError> {
    // The ids are read first and the twins after them: one snapshot for both.
    let transaction = connection.unchecked_transaction()?;
    if let Some(ids) = &filter.ids {
        let ids = ids.iter().map(String::as_str).filter(|id| *id > after).collect();
        return by_ids(&transaction, twins, &ids, filter.models.as_deref(), limit);
    }
    match &filter.models {
        Some(models) if models.len() <= MODELS_BY_INDEX => {
            let ids = ids_of_models(&transaction, twins, models, after, limit)?;
            by_ids(&transaction, twins, &ids.iter().map(String::as_str).collect(), None, limit)
        }
        _ => along_key(&transaction, twins, after, limit),
    }
}

fn along_key(
    connection: &Connection,
    twins: &ResourceName,
    after: &str,
    limit: usize,
) -> Result<Page<DigitalTwin>, StoreError> {
    let sql = "SELECT document FROM digital_twins WHERE twins = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    page(connection, sql, params![twins.as_str(), after, fetch(limit)], limit, read, |twin| twin.id.clone())
}

fn by_ids(
    connection: &Connection,
    twins: &ResourceName,
    ids: &BTreeSet<&str>,
    models: Option<&[String]>,
    limit: usize,
) -> Result<Page<DigitalTwin>, StoreError> {
    let mut items: Vec<DigitalTwin> = Vec::new();
    for id in ids {
        let Some(twin) =
            one(connection, DOCUMENT_AND_MODEL, [twins.as_str(), id], |row| of(row, models))?.flatten()
        else {
            continue;
        };
        if items.len() == limit.max(1) {
            let next = items.last().map(|twin| twin.id.clone());
            return Ok(Page { items, next });
        }
        items.push(twin);
    }
    Ok(Page { items, next: None })
}

/// The twin, if it is of one of these models. The document of another is not looked at.
fn of(row: &Row<'_>, models: Option<&[String]>) -> Result<Option<DigitalTwin>, StoreError> {
    let model = row.get_ref(1)?.as_str()?;
    let wanted = models.is_none_or(|models| models.iter().any(|wanted| wanted == model));
    if wanted { read(row).map(Some) } else { Ok(None) }
}

/// The next ids of each model, as many as a page of them all may need, straight from the index.
fn ids_of_models(
    connection: &Connection,
    twins: &ResourceName,
    models: &[String],
    after: &str,
    limit: usize,
) -> Result<BTreeSet<String>, StoreError> {
    let sql = "SELECT id FROM digital_twins WHERE twins = ?1 AND model = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    let mut ids = BTreeSet::new();
    for model in models {
        let key = params![twins.as_str(), model, after, fetch(limit)];
        ids.extend(many(connection, sql, key, |row| Ok(row.get::<_, String>(0)?))?);
    }
    Ok(ids)
}

fn count_of(
    connection: &Connection,
    twins: &ResourceName,
    models: Option<&BTreeSet<String>>,
) -> Result<u64, StoreError> {
    let Some(models) = models else {
        return count(connection, "SELECT count(*) FROM digital_twins WHERE twins = ?1", [twins.as_str()]);
    };
    let transaction = connection.unchecked_transaction()?;
    let sql = "SELECT count(*) FROM digital_twins WHERE twins = ?1 AND model = ?2";
    models.iter().map(|model| count(&transaction, sql, [twins.as_str(), model])).sum()
}

fn read(row: &Row<'_>) -> Result<DigitalTwin, StoreError> {
    document(row, 0, "digital_twins")
}

pub(super) fn exists(connection: &Connection, twins: &ResourceName, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM digital_twins WHERE twins = ?1 AND id = ?2";
    Ok(one(connection, sql, [twins.as_str(), id], |_| Ok(()))?.is_some())
}

pub(super) fn put(
    connection: &Connection,
    twins: &ResourceName,
    twin: &DigitalTwin,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    if *expect == Expect::Absent {
        let sql = "INSERT INTO digital_twins (twins, id, model, etag, document) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO NOTHING";
        let row = params![twins.as_str(), twin.id, twin.model, twin.etag.as_str(), text];
        return insert(connection, sql, row);
    }
    if let Expect::Etag(was) = expect {
        let row = params![twins.as_str(), twin.id, twin.model, twin.etag.as_str(), text, was.as_str()];
        if changed(connection, CHANGE, row)? {
            return Ok(());
        }
    }
    require(connection, ETAG, [twins.as_str(), &twin.id], expect)?;
    let sql = "INSERT INTO digital_twins (twins, id, model, etag, document) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (twins, id) DO UPDATE SET model = excluded.model, etag = excluded.etag,
            document = excluded.document";
    Ok(execute(connection, sql, params![twins.as_str(), twin.id, twin.model, twin.etag.as_str(), text])?)
}

pub(super) fn delete(
    connection: &Connection,
    twins: &ResourceName,
    id: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [twins.as_str(), id], expect)?;
    if relationships::any_of(connection, twins, id)? {
        return Err(Mismatch::HasRelationships.into());
    }
    Ok(execute(connection, "DELETE FROM digital_twins WHERE twins = ?1 AND id = ?2", [twins.as_str(), id])?)
}

pub(super) fn delete_instance(connection: &Connection, twins: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM digital_twins WHERE twins = ?1", [twins.as_str()])
}
