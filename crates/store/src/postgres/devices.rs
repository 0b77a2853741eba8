//! Reading table `devices`.

use async_trait::async_trait;
use pollux_model::device::Device;
use pollux_model::{DeviceId, ResourceName};
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{document, number, one, page};
use super::text::text;
use crate::devices::Devices;
use crate::error::StoreError;
use crate::keys::fetch;
use crate::store::Page;

const TABLE: &str = "devices";

#[async_trait]
impl Devices for PostgresStore {
    async fn device(&self, hub: &ResourceName, id: &DeviceId) -> Result<Option<Device>, StoreError> {
        let sql = "SELECT id, identity, twin FROM devices WHERE hub = $1 AND id = $2";
        one(&self.pool, sql, &[&hub.as_str(), &id.as_str()], read).await
    }

    async fn devices(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Device>, StoreError> {
        let sql = "SELECT id, identity, twin FROM devices WHERE hub = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = text(after.unwrap_or_default());
        let mark = |device: &Device| device.id.to_string();
        page(&self.pool, sql, &[&hub.as_str(), &after, &fetch(limit)], limit, read, mark).await
    }

    /// All devices and those enabled. The disabled ones have an index of their own.
    async fn count_devices(&self, hub: &ResourceName) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT (SELECT count(*) FROM devices WHERE hub = $1),
            (SELECT count(*) FROM devices WHERE hub = $1 AND NOT enabled)";
        let read = |row: &Row| Ok((number(row, 0)?, number(row, 1)?));
        let (all, disabled) = one(&self.pool, sql, &[&hub.as_str()], read).await?.unwrap_or_default();
        Ok((all, all.saturating_sub(disabled)))
    }
}

/// Columns: id, identity, twin.
pub(super) fn read(row: &Row) -> Result<Device, StoreError> {
    let id = DeviceId::parse(row.try_get(0)?).map_err(|error| StoreError::Corrupt(error.message))?;
    Ok(Device { id, module: None, identity: document(row, 1, TABLE)?, twin: document(row, 2, TABLE)? })
}
