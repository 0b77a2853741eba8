//! Reading table `modules`.

use async_trait::async_trait;
use pollux_model::device::Device;
use pollux_model::{DeviceId, ModuleId, ResourceName};
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{document, many, one, page};
use crate::error::StoreError;
use crate::keys::{fetch, module_mark, module_place};
use crate::modules::Modules;
use crate::store::Page;

const TABLE: &str = "modules";

#[async_trait]
impl Modules for PostgresStore {
    async fn module(
        &self,
        hub: &ResourceName,
        device: &DeviceId,
        id: &ModuleId,
    ) -> Result<Option<Device>, StoreError> {
        let sql = "SELECT device, id, identity, twin FROM modules WHERE hub = $1 AND device = $2 AND id = $3";
        one(&self.pool, sql, &[&hub.as_str(), &device.as_str(), &id.as_str()], read).await
    }

    async fn modules_of(&self, hub: &ResourceName, device: &DeviceId) -> Result<Vec<Device>, StoreError> {
        let sql = "SELECT device, id, identity, twin FROM modules WHERE hub = $1 AND device = $2 ORDER BY id";
        many(&self.pool, sql, &[&hub.as_str(), &device.as_str()], read).await
    }

    async fn modules(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>, StoreError> {
        let sql = "SELECT device, id, identity, twin FROM modules WHERE hub = $1 AND (device, id) > ($2, $3)
            ORDER BY device, id LIMIT $4";
        let (device, id) = module_place(after)?;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&hub.as_str(), &device, &id, &fetch(limit)];
        page(&self.pool, sql, &params, limit, read, module_mark).await
    }
}

/// Columns: device, id, identity, twin.
fn read(row: &Row) -> Result<Device, StoreError> {
    let corrupt = |error: pollux_model::Error| StoreError::Corrupt(error.message);
    Ok(Device {
        id: DeviceId::parse(row.try_get(0)?).map_err(corrupt)?,
        module: Some(ModuleId::parse(row.try_get(1)?).map_err(corrupt)?),
        identity: document(row, 2, TABLE)?,
        twin: document(row, 3, TABLE)?,
    })
}
