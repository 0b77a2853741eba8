//! Tables `enrollments` and `enrollment_groups`. Ids are kept in lower case in the key columns, as they came in the
//! documents.

use async_trait::async_trait;
use pollux_model::enrollment::{EnrollmentGroup, IndividualEnrollment};
use pollux_model::{RegistrationId, ResourceName};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{count, document, execute, one, page, require};
use crate::batch::Expect;
use crate::enrollments::Enrollments;
use crate::error::StoreError;
use crate::keys::{fetch, folded};
use crate::store::Page;

const TABLE: &str = "enrollments";
const GROUPS: &str = "enrollment_groups";
const ETAG: &str = "SELECT etag FROM enrollments WHERE dps = ?1 AND id = ?2";
const GROUP_ETAG: &str = "SELECT etag FROM enrollment_groups WHERE dps = ?1 AND id = ?2";

#[async_trait]
impl Enrollments for SqliteStore {
    async fn enrollment(
        &self,
        dps: &ResourceName,
        id: &RegistrationId,
    ) -> Result<Option<IndividualEnrollment>, StoreError> {
        let sql = "SELECT document FROM enrollments WHERE dps = ?1 AND id = ?2";
        let key = [dps.as_str(), id];
        self.readers.point(|connection| one(connection, sql, key, |row| document(row, 0, TABLE))).await
    }

    async fn enrollments(
        &self,
        dps: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<IndividualEnrollment>, StoreError> {
        let sql = "SELECT document FROM enrollments WHERE dps = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let (dps, after) = (dps.clone(), folded(after.unwrap_or_default()));
        self.readers
            .list(move |connection| {
                let key = params![dps.as_str(), after, fetch(limit)];
                let mark = |enrollment: &IndividualEnrollment| enrollment.registration_id.to_string();
                page(connection, sql, key, limit, |row| document(row, 0, TABLE), mark)
            })
            .await
    }

    async fn count_enrollments(&self, dps: &ResourceName) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM enrollments WHERE dps = ?1";
        let dps = dps.clone();
        self.readers.list(move |connection| count(connection, sql, [dps.as_str()])).await
    }

    async fn enrollment_group(
        &self,
        dps: &ResourceName,
        id: &str,
    ) -> Result<Option<EnrollmentGroup>, StoreError> {
        let sql = "SELECT document FROM enrollment_groups WHERE dps = ?1 AND id = ?2";
        let key = [dps.to_string(), folded(id)];
        self.readers.point(|connection| one(connection, sql, key, |row| document(row, 0, GROUPS))).await
    }

    async fn enrollment_groups(
        &self,
        dps: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<EnrollmentGroup>, StoreError> {
        let sql = "SELECT document FROM enrollment_groups WHERE dps = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let (dps, after) = (dps.clone(), folded(after.unwrap_or_default()));
        self.readers
            .list(move |connection| {
                let key = params![dps.as_str(), after, fetch(limit)];
                let mark = |group: &EnrollmentGroup| folded(&group.id);
                page(connection, sql, key, limit, |row| document(row, 0, GROUPS), mark)
            })
            .await
    }
}

pub(super) fn put(
    connection: &Connection,
    dps: &ResourceName,
    enrollment: &IndividualEnrollment,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let id = enrollment.registration_id.as_str();
    require(connection, ETAG, [dps.as_str(), id], expect)?;
    let sql = "INSERT INTO enrollments (dps, id, etag, document) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (dps, id) DO UPDATE SET etag = excluded.etag, document = excluded.document";
    Ok(execute(connection, sql, params![dps.as_str(), id, enrollment.rules.etag.as_str(), text])?)
}

pub(super) fn delete(
    connection: &Connection,
    dps: &ResourceName,
    id: &RegistrationId,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [dps.as_str(), id], expect)?;
    Ok(execute(connection, "DELETE FROM enrollments WHERE dps = ?1 AND id = ?2", [dps.as_str(), id])?)
}

pub(super) fn put_group(
    connection: &Connection,
    dps: &ResourceName,
    group: &EnrollmentGroup,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let id = folded(&group.id);
    require(connection, GROUP_ETAG, params![dps.as_str(), id], expect)?;
    let sql = "INSERT INTO enrollment_groups (dps, id, etag, document) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (dps, id) DO UPDATE SET etag = excluded.etag, document = excluded.document";
    Ok(execute(connection, sql, params![dps.as_str(), id, group.rules.etag.as_str(), text])?)
}

pub(super) fn delete_group(
    connection: &Connection,
    dps: &ResourceName,
    id: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let id = folded(id);
    require(connection, GROUP_ETAG, params![dps.as_str(), id], expect)?;
    let sql = "DELETE FROM enrollment_groups WHERE dps = ?1 AND id = ?2";
    Ok(execute(connection, sql, params![dps.as_str(), id])?)
}

pub(super) fn delete_instance(connection: &Connection, dps: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM enrollments WHERE dps = ?1", [dps.as_str()])?;
    execute(connection, "DELETE FROM enrollment_groups WHERE dps = ?1", [dps.as_str()])
}
