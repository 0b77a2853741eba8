//! Table `modules`: as `devices`, with one key more. A module's device is there as long as it is.

use async_trait::async_trait;
use pollux_model::device::Device;
use pollux_model::{DeviceId, ModuleId, ResourceName};
use rusqlite::{Connection, Row, params};

use super::devices::{both_etags, identity_of, require_present};
use super::failure::Refusal;
use super::rows::{document, execute, many, one, page, require};
use super::{SqliteStore, activity};
use crate::batch::Expect;
use crate::error::{Mismatch, StoreError};
use crate::keys::{fetch, module_mark, module_place};
use crate::modules::Modules;
use crate::store::Page;

const TABLE: &str = "modules";
const ETAGS: &str = "SELECT identity_etag, twin_etag FROM modules WHERE hub = ?1 AND device = ?2 AND id = ?3";

#[async_trait]
impl Modules for SqliteStore {
    async fn module(
        &self,
        hub: &ResourceName,
        device: &DeviceId,
        id: &ModuleId,
    ) -> Result<Option<Device>, StoreError> {
        let sql = "SELECT device, id, identity, twin FROM modules WHERE hub = ?1 AND device = ?2 AND id = ?3";
        self.readers.point(|connection| one(connection, sql, [&**hub, device, id], read)).await
    }

    async fn modules_of(&self, hub: &ResourceName, device: &DeviceId) -> Result<Vec<Device>, StoreError> {
        let sql = "SELECT device, id, identity, twin FROM modules WHERE hub = ?1 AND device = ?2 ORDER BY id";
        self.readers.point(|connection| many(connection, sql, [&**hub, device], read)).await
    }

    async fn modules(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>, StoreError> {
        let sql = "SELECT device, id, identity, twin FROM modules WHERE hub = ?1 AND (device, id) > (?2, ?3)
            ORDER BY device, id LIMIT ?4";
        let (hub, (device, id)) = (hub.clone(), module_place(after)?);
        self.readers
            .list(move |connection| {
                let key = params![hub.as_str(), device, id, fetch(limit)];
                page(connection, sql, key, limit, read, module_mark)
            })
            .await
    }
}

fn read(row: &Row<'_>) -> Result<Device, StoreError> {
    let module = ModuleId::parse(row.get_ref(1)?.as_str()?);
    let module = module.map_err(|error| StoreError::Corrupt(error.message))?;
    let id = identity_of(row.get_ref(0)?.as_str()?)?;
    Ok(Device {
        id,
        module: Some(module),
        identity: document(row, 2, TABLE)?,
        twin: document(row, 3, TABLE)?,
    })
}

pub(super) fn put(
    connection: &Connection,
    hub: &ResourceName,
    (device, module): (&Device, &ModuleId),
    (identity_text, twin_text): (&str, &str),
    (identity, twin): (&Expect, &Expect),
) -> Result<(), Refusal> {
    both_etags(connection, ETAGS, &[hub, &device.id, module], (identity, twin))?;
    require_present(connection, hub, &device.id, Mismatch::NoDevice)?;
    let sql = "INSERT INTO modules (hub, device, id, identity_etag, twin_etag, identity, twin)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (hub, device, id) DO UPDATE SET identity_etag = excluded.identity_etag,
            twin_etag = excluded.twin_etag, identity = excluded.identity, twin = excluded.twin";
    let row = params![
        hub.as_str(),
        device.id.as_str(),
        module.as_str(),
        device.identity.etag.as_str(),
        device.twin.etag.as_str(),
        identity_text,
        twin_text,
    ];
    Ok(execute(connection, sql, row)?)
}

pub(super) fn delete(
    connection: &Connection,
    hub: &ResourceName,
    (device, id): (&DeviceId, &ModuleId),
    identity: &Expect,
) -> Result<(), Refusal> {
    let keys: [&str; 3] = [hub, device, id];
    require(connection, ETAGS, keys, identity)?;
    activity::delete_module(connection, hub, (device, id))?;
    let sql = "DELETE FROM modules WHERE hub = ?1 AND device = ?2 AND id = ?3";
    Ok(execute(connection, sql, keys)?)
}

/// Refuses where the device has modules.
pub(super) fn require_none(
    connection: &Connection,
    hub: &ResourceName,
    device: &DeviceId,
) -> Result<(), Refusal> {
    let sql = "SELECT 1 FROM modules WHERE hub = ?1 AND device = ?2 LIMIT 1";
    match one(connection, sql, [&**hub, device], |_| Ok(()))? {
        Some(()) => Err(Mismatch::HasModules.into()),
        None => Ok(()),
    }
}

pub(super) fn delete_instance(connection: &Connection, hub: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM modules WHERE hub = ?1", [hub.as_str()])
}
