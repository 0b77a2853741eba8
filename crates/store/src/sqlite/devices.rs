//! Table `devices`: one row per device, identity and twin in columns of their own, each with its etag.

use async_trait::async_trait;
use pollux_model::device::{Device, Status};
use pollux_model::{DeviceId, ResourceName};
use rusqlite::{Connection, Row, params, params_from_iter};

use super::failure::Refusal;
use super::rows::{count, document, execute, one, page, require};
use super::{SqliteStore, activity, messages, modules};
use crate::batch::Expect;
use crate::devices::Devices;
use crate::error::{Mismatch, StoreError};
use crate::keys::fetch;
use crate::store::Page;

const TABLE: &str = "devices";
const ETAGS: &str = "SELECT identity_etag, twin_etag FROM devices WHERE hub = ?1 AND id = ?2";

#[async_trait]
impl Devices for SqliteStore {
    async fn device(&self, hub: &ResourceName, id: &DeviceId) -> Result<Option<Device>, StoreError> {
        let sql = "SELECT id, identity, twin FROM devices WHERE hub = ?1 AND id = ?2";
        self.readers.point(|connection| one(connection, sql, [hub.as_str(), id], read)).await
    }

    async fn devices(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>, StoreError> {
        let sql = "SELECT id, identity, twin FROM devices WHERE hub = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let (hub, after) = (hub.clone(), after.unwrap_or_default().to_owned());
        self.readers
            .list(move |connection| {
                let key = params![hub.as_str(), after, fetch(limit)];
                page(connection, sql, key, limit, read, |device| device.id.to_string())
            })
            .await
    }

    async fn count_devices(&self, hub: &ResourceName) -> Result<(u64, u64), StoreError> {
        let hub = hub.clone();
        self.readers.list(move |connection| count_of(connection, &hub)).await
    }
}

/// All devices and those enabled. The disabled ones have an index of their own.
fn count_of(connection: &Connection, hub: &ResourceName) -> Result<(u64, u64), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let all = count(&transaction, "SELECT count(*) FROM devices WHERE hub = ?1", [hub.as_str()])?;
    let sql = "SELECT count(*) FROM devices WHERE hub = ?1 AND enabled = 0";
    let disabled = count(&transaction, sql, [hub.as_str()])?;
    Ok((all, all.saturating_sub(disabled)))
}

fn read(row: &Row<'_>) -> Result<Device, StoreError> {
    let id = identity_of(row.get_ref(0)?.as_str()?)?;
    Ok(Device { id, module: None, identity: document(row, 1, TABLE)?, twin: document(row, 2, TABLE)? })
}

/// The id in a column.
pub(super) fn identity_of(text: &str) -> Result<DeviceId, StoreError> {
    DeviceId::parse(text).map_err(|error| StoreError::Corrupt(error.message))
}

pub(super) fn put(
    connection: &Connection,
    hub: &ResourceName,
    device: &Device,
    (identity_text, twin_text): (&str, &str),
    (identity, twin): (&Expect, &Expect),
) -> Result<(), Refusal> {
    both_etags(connection, ETAGS, &[hub, &device.id], (identity, twin))?;
    let sql = "INSERT INTO devices (hub, id, identity_etag, twin_etag, enabled, identity, twin)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (hub, id) DO UPDATE SET identity_etag = excluded.identity_etag, twin_etag = excluded.twin_etag,
            enabled = excluded.enabled, identity = excluded.identity, twin = excluded.twin";
    let row = params![
        hub.as_str(),
        device.id.as_str(),
        device.identity.etag.as_str(),
        device.twin.etag.as_str(),
        device.identity.status == Status::Enabled,
        identity_text,
        twin_text,
    ];
    Ok(execute(connection, sql, row)?)
}

pub(super) fn delete(
    connection: &Connection,
    hub: &ResourceName,
    id: &DeviceId,
    identity: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAGS, [hub.as_str(), id], identity)?;
    modules::require_none(connection, hub, id)?;
    messages::delete_device(connection, hub, id)?;
    activity::delete_device(connection, hub, id)?;
    Ok(execute(connection, "DELETE FROM devices WHERE hub = ?1 AND id = ?2", [hub.as_str(), id])?)
}

pub(super) fn require_none(
    connection: &Connection,
    hub: &ResourceName,
    id: &DeviceId,
) -> Result<(), Refusal> {
    require(connection, ETAGS, [hub.as_str(), id], &Expect::Absent)
}

/// Refuses with `or` where the device is not there.
pub(super) fn require_present(
    connection: &Connection,
    hub: &ResourceName,
    id: &DeviceId,
    or: Mismatch,
) -> Result<(), Refusal> {
    let sql = "SELECT 1 FROM devices WHERE hub = ?1 AND id = ?2";
    one(connection, sql, [hub.as_str(), id], |_| Ok(()))?.ok_or_else(|| or.into())
}

/// Checks what is expected of the two etags that `sql` selects.
pub(super) fn both_etags(
    connection: &Connection,
    sql: &str,
    keys: &[&str],
    (identity, twin): (&Expect, &Expect),
) -> Result<(), Refusal> {
    if (identity, twin) == (&Expect::Any, &Expect::Any) {
        return Ok(());
    }
    let found = one(connection, sql, params_from_iter(keys), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    identity.compare(found.as_ref().map(|found| Some(found.0.as_str())))?;
    Ok(twin.compare(found.as_ref().map(|found| Some(found.1.as_str())))?)
}

pub(super) fn delete_instance(connection: &Connection, hub: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM devices WHERE hub = ?1", [hub.as_str()])
}
