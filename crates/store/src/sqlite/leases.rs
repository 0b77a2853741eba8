//! Table `leases`.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{execute, many, one};
use crate::error::{Mismatch, StoreError};
use crate::leases::{Lease, LeaseHolder, Leases};

/// `now` in milliseconds; the same throughout a statement.
const TAKE: &str = "INSERT INTO leases (name, owner, epoch, expires)
    VALUES (?1, ?2, 1, CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?3)
    ON CONFLICT (name) DO UPDATE SET
        epoch = epoch + (owner IS NOT excluded.owner
            OR expires <= CAST(unixepoch('subsec') * 1000 AS INTEGER)),
        owner = excluded.owner, expires = excluded.expires
    WHERE owner IS NULL OR owner = excluded.owner OR expires <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
    RETURNING epoch";

#[async_trait]
impl Leases for SqliteStore {
    async fn lease(
        &self,
        owner: &str,
        names: &[String],
        ttl: Duration,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.lease(owner.to_owned(), names.to_vec(), ttl).await
    }

    async fn release(&self, owner: &str, names: &[String]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        self.writer.release(owner.to_owned(), names.to_vec()).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<LeaseHolder>, StoreError> {
        let sql = "SELECT name, owner, epoch FROM leases
            WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 AND owner IS NOT NULL
                AND expires > CAST(unixepoch('subsec') * 1000 AS INTEGER)
            ORDER BY name";
        self.readers
            .point(|connection| {
                many(connection, sql, [prefix], |row| {
                    Ok(LeaseHolder { name: row.get(0)?, owner: row.get(1)?, epoch: row.get(2)? })
                })
            })
            .await
    }
}

/// The epoch of each, where it was taken or renewed.
pub(super) fn take(
    connection: &Connection,
    owner: &str,
    names: &[String],
    ttl: Duration,
) -> Result<Vec<Option<i64>>, StoreError> {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 4);
    let taken = |name| one(connection, TAKE, params![name, owner, ttl], |row| Ok(row.get(0)?));
    names.iter().map(taken).collect()
}

pub(super) fn release(connection: &Connection, owner: &str, names: &[String]) -> Result<(), StoreError> {
    let sql = "UPDATE leases SET owner = NULL, expires = 0 WHERE name = ?1 AND owner = ?2";
    names.iter().try_for_each(|name| execute(connection, sql, params![name, owner]))
}

/// Holds a batch to a lease. Whether it has run out is of no interest while nobody else took it.
pub(super) fn require(connection: &Connection, owner: &str, lease: &Lease) -> Result<(), Refusal> {
    let sql = "SELECT 1 FROM leases WHERE name = ?1 AND owner = ?2 AND epoch = ?3";
    let held = one(connection, sql, params![lease.name, owner, lease.epoch], |_| Ok(()))?;
    held.ok_or_else(|| Mismatch::LeaseLost.into())
}
