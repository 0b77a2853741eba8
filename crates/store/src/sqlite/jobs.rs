//! Table `jobs`.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::job::{Job, JobKind};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{document, execute, one, page, require};
use crate::batch::Expect;
use crate::error::StoreError;
use crate::jobs::Jobs;
use crate::keys::fetch;
use crate::store::Page;

const TABLE: &str = "jobs";
const ETAG: &str = "SELECT etag FROM jobs WHERE twins = ?1 AND kind = ?2 AND id = ?3";

#[async_trait]
impl Jobs for SqliteStore {
    async fn job(&self, twins: &ResourceName, kind: JobKind, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = "SELECT document FROM jobs WHERE twins = ?1 AND kind = ?2 AND id = ?3";
        let key = [twins.as_str(), kind.as_str(), id];
        self.readers.point(|connection| one(connection, sql, key, |row| document(row, 0, TABLE))).await
    }

    async fn jobs(
        &self,
        twins: &ResourceName,
        kind: JobKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Job>, StoreError> {
        let sql = "SELECT document FROM jobs WHERE twins = ?1 AND kind = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
        let (twins, after) = (twins.clone(), after.unwrap_or_default().to_owned());
        self.readers
            .list(move |connection| {
                let key = params![twins.as_str(), kind.as_str(), after, fetch(limit)];
                page(connection, sql, key, limit, |row| document(row, 0, TABLE), |job: &Job| job.id.clone())
            })
            .await
    }
}

pub(super) fn put(
    connection: &Connection,
    twins: &ResourceName,
    job: &Job,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let (twins, kind) = (twins.as_str(), job.kind.as_str());
    require(connection, ETAG, [twins, kind, &job.id], expect)?;
    let sql = "INSERT INTO jobs (twins, kind, id, etag, document) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (twins, kind, id) DO UPDATE SET etag = excluded.etag, document = excluded.document";
    Ok(execute(connection, sql, params![twins, kind, job.id, job.etag.as_str(), text])?)
}

pub(super) fn delete(
    connection: &Connection,
    twins: &ResourceName,
    kind: JobKind,
    id: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let key = [twins.as_str(), kind.as_str(), id];
    require(connection, ETAG, key, expect)?;
    Ok(execute(connection, "DELETE FROM jobs WHERE twins = ?1 AND kind = ?2 AND id = ?3", key)?)
}

/// Those of a digital twins instance, or of a hub: two of one name may be there.
pub(super) fn delete_instance(
    connection: &Connection,
    name: &ResourceName,
    of_hub: bool,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM jobs WHERE twins = ?1 AND (kind = 'registry') = ?2";
    execute(connection, sql, params![name.as_str(), of_hub])
}
