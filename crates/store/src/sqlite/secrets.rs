//! Table `secrets`.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{document, execute, many, require};
use crate::batch::Expect;
use crate::error::StoreError;
use crate::secrets::{Secret, Secrets};

const ETAG: &str = "SELECT etag FROM secrets WHERE scope = ?1 AND id = ?2";

#[async_trait]
impl Secrets for SqliteStore {
    async fn secrets(&self, scope: &str) -> Result<Vec<Secret>, StoreError> {
        let sql = "SELECT document FROM secrets WHERE scope = ?1 ORDER BY id";
        self.readers
            .point(|connection| many(connection, sql, [scope], |row| document(row, 0, "secrets")))
            .await
    }
}

pub(super) fn put(
    connection: &Connection,
    secret: &Secret,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [&secret.scope, &secret.id], expect)?;
    let sql = "INSERT INTO secrets (scope, id, etag, document) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (scope, id) DO UPDATE SET etag = excluded.etag, document = excluded.document";
    Ok(execute(connection, sql, params![secret.scope, secret.id, secret.etag.as_str(), text])?)
}

pub(super) fn delete(connection: &Connection, scope: &str, id: &str, expect: &Expect) -> Result<(), Refusal> {
    require(connection, ETAG, [scope, id], expect)?;
    Ok(execute(connection, "DELETE FROM secrets WHERE scope = ?1 AND id = ?2", [scope, id])?)
}
