//! Table `registrations`.

use async_trait::async_trait;
use pollux_model::registration::{Registration, RegistrationStatus};
use pollux_model::{RegistrationId, ResourceName};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{count, document, execute, one, page, require};
use crate::batch::Expect;
use crate::error::StoreError;
use crate::keys::{fetch, folded};
use crate::registrations::Registrations;
use crate::store::Page;

const TABLE: &str = "registrations";
const ETAG: &str = "SELECT etag FROM registrations WHERE dps = ?1 AND id = ?2";

#[async_trait]
impl Registrations for SqliteStore {
    async fn registration(
        &self,
        dps: &ResourceName,
        id: &RegistrationId,
    ) -> Result<Option<Registration>, StoreError> {
        let sql = "SELECT document FROM registrations WHERE dps = ?1 AND id = ?2";
        self.readers.point(|connection| one(connection, sql, [dps.as_str(), id], read)).await
    }

    async fn registrations_of_group(
        &self,
        dps: &ResourceName,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>, StoreError> {
        let sql = "SELECT document FROM registrations
            WHERE dps = ?1 AND enrollment_group = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
        let (dps, group, after) = (dps.clone(), folded(group), folded(after.unwrap_or_default()));
        self.readers
            .list(move |connection| {
                let key = params![dps.as_str(), group, after, fetch(limit)];
                page(connection, sql, key, limit, read, mark)
            })
            .await
    }

    async fn registrations_in(
        &self,
        dps: &ResourceName,
        status: RegistrationStatus,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>, StoreError> {
        // The index by status leaves the assigned ones out, because nearly all are: those are found along the key.
        let sql = match status {
            RegistrationStatus::Assigned => {
                "SELECT document FROM registrations
                    WHERE dps = ?1 AND status = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
            }
            RegistrationStatus::Unassigned
            | RegistrationStatus::Assigning
            | RegistrationStatus::Failed
            | RegistrationStatus::Disabled => {
                "SELECT document FROM registrations
                    WHERE dps = ?1 AND status = ?2 AND status <> 'assigned' AND id > ?3 ORDER BY id LIMIT ?4"
            }
        };
        let (dps, after) = (dps.clone(), folded(after.unwrap_or_default()));
        self.readers
            .list(move |connection| {
                let key = params![dps.as_str(), status.as_str(), after, fetch(limit)];
                page(connection, sql, key, limit, read, mark)
            })
            .await
    }

    async fn count_registrations(&self, dps: &ResourceName) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM registrations WHERE dps = ?1";
        let dps = dps.clone();
        self.readers.list(move |connection| count(connection, sql, [dps.as_str()])).await
    }
}

fn read(row: &Row<'_>) -> Result<Registration, StoreError> {
    document(row, 0, TABLE)
}

fn mark(registration: &Registration) -> String {
    registration.registration_id.to_string()
}

pub(super) fn put(
    connection: &Connection,
    dps: &ResourceName,
    registration: &Registration,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let id = registration.registration_id.as_str();
    require(connection, ETAG, [dps.as_str(), id], expect)?;
    let sql = "INSERT INTO registrations (dps, id, enrollment_group, status, etag, document)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (dps, id) DO UPDATE SET enrollment_group = excluded.enrollment_group,
            status = excluded.status, etag = excluded.etag, document = excluded.document";
    let row = params![
        dps.as_str(),
        id,
        registration.group.as_deref().map(folded),
        registration.status.as_str(),
        registration.etag.as_str(),
        text,
    ];
    Ok(execute(connection, sql, row)?)
}

pub(super) fn delete(
    connection: &Connection,
    dps: &ResourceName,
    id: &RegistrationId,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [dps.as_str(), id], expect)?;
    Ok(execute(connection, "DELETE FROM registrations WHERE dps = ?1 AND id = ?2", [dps.as_str(), id])?)
}

pub(super) fn delete_instance(connection: &Connection, dps: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM registrations WHERE dps = ?1", [dps.as_str()])
}
