//! Table `configurations`.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::configuration::Configuration;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{document, execute, one, page, require};
use crate::batch::Expect;
use crate::configurations::Configurations;
use crate::error::StoreError;
use crate::keys::fetch;
use crate::store::Page;

const TABLE: &str = "configurations";
const ETAG: &str = "SELECT etag FROM configurations WHERE hub = ?1 AND id = ?2";

#[async_trait]
impl Configurations for SqliteStore {
    async fn configuration(&self, hub: &ResourceName, id: &str) -> Result<Option<Configuration>, StoreError> {
        let sql = "SELECT document FROM configurations WHERE hub = ?1 AND id = ?2";
        let key = [hub.as_str(), id];
        self.readers.point(|connection| one(connection, sql, key, |row| document(row, 0, TABLE))).await
    }

    async fn configurations(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Configuration>, StoreError> {
        let sql = "SELECT document FROM configurations WHERE hub = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let (hub, after) = (hub.clone(), after.unwrap_or_default().to_owned());
        let mark = |configuration: &Configuration| configuration.id.clone();
        self.readers
            .list(move |connection| {
                let key = params![hub.as_str(), after, fetch(limit)];
                page(connection, sql, key, limit, |row| document(row, 0, TABLE), mark)
            })
            .await
    }
}

pub(super) fn put(
    connection: &Connection,
    hub: &ResourceName,
    configuration: &Configuration,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [hub.as_str(), &configuration.id], expect)?;
    let sql = "INSERT INTO configurations (hub, id, etag, document) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (hub, id) DO UPDATE SET etag = excluded.etag, document = excluded.document";
    let row = params![hub.as_str(), configuration.id, configuration.etag.as_str(), text];
    Ok(execute(connection, sql, row)?)
}

pub(super) fn delete(
    connection: &Connection,
    hub: &ResourceName,
    id: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let key = [hub.as_str(), id];
    require(connection, ETAG, key, expect)?;
    Ok(execute(connection, "DELETE FROM configurations WHERE hub = ?1 AND id = ?2", key)?)
}

pub(super) fn delete_instance(connection: &Connection, hub: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM configurations WHERE hub = ?1", [hub.as_str()])
}
