//! Table `device_activity`: two times per device or module; the module of a device itself is the empty text.

use std::collections::HashMap;

use async_trait::async_trait;
use pollux_model::device::Activity;
use pollux_model::{DeviceAddress, DeviceId, ResourceName, Timestamp};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{execute, many};
use crate::activity::Activities;
use crate::document::encode;
use crate::error::StoreError;

#[async_trait]
impl Activities for SqliteStore {
    async fn activities(
        &self,
        hub: &ResourceName,
        devices: &[DeviceAddress],
    ) -> Result<HashMap<DeviceAddress, Activity>, StoreError> {
        if devices.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = "SELECT wanted.value, state_updated, last FROM json_each(?2) AS wanted JOIN device_activity ON hub = ?1
            AND device = substr(wanted.value, 1, instr(wanted.value || '/', '/') - 1)
            AND module = substr(wanted.value, instr(wanted.value || '/', '/') + 1)";
        let wanted = encode(&devices)?;
        let found = self.readers.point(|connection| {
            many(connection, sql, [hub.as_str(), &wanted], |row| {
                let address = DeviceAddress::parse(row.get_ref(0)?.as_str()?);
                let address = address.map_err(|error| StoreError::Corrupt(error.message))?;
                let time = |at| Ok::<_, StoreError>(Timestamp::from_micros(row.get(at)?));
                Ok((address, Activity { state_updated: time(1)?, last: time(2)? }))
            })
        });
        Ok(found.await?.into_iter().collect())
    }
}

pub(super) fn note(
    connection: &Connection,
    hub: &ResourceName,
    DeviceAddress { device, module }: &DeviceAddress,
    Activity { state_updated, last }: Activity,
) -> Result<(), Refusal> {
    const OF_DEVICE: &str = "INSERT INTO device_activity (hub, device, module, state_updated, last)
        SELECT hub, id, ?3, ?4, ?5 FROM devices WHERE hub = ?1 AND id = ?2
        ON CONFLICT (hub, device, module) DO UPDATE SET state_updated = max(state_updated, excluded.state_updated),
            last = max(last, excluded.last)";
    const OF_MODULE: &str = "INSERT INTO device_activity (hub, device, module, state_updated, last)
        SELECT hub, device, id, ?4, ?5 FROM modules WHERE hub = ?1 AND device = ?2 AND id = ?3
        ON CONFLICT (hub, device, module) DO UPDATE SET state_updated = max(state_updated, excluded.state_updated),
            last = max(last, excluded.last)";
    let (sql, module) = module.as_deref().map_or((OF_DEVICE, ""), |module| (OF_MODULE, module));
    let row = params![hub.as_str(), device.as_str(), module, state_updated.as_micros(), last.as_micros()];
    Ok(execute(connection, sql, row)?)
}

/// What goes with a device, its modules' too.
pub(super) fn delete_device(
    connection: &Connection,
    hub: &ResourceName,
    device: &DeviceId,
) -> Result<(), Refusal> {
    let sql = "DELETE FROM device_activity WHERE hub = ?1 AND device = ?2";
    Ok(execute(connection, sql, [hub.as_str(), device])?)
}

/// What goes with a module.
pub(super) fn delete_module(
    connection: &Connection,
    hub: &ResourceName,
    (device, module): (&str, &str),
) -> Result<(), Refusal> {
    let sql = "DELETE FROM device_activity WHERE hub = ?1 AND device = ?2 AND module = ?3";
    Ok(execute(connection, sql, [hub.as_str(), device, module])?)
}

pub(super) fn delete_instance(connection: &Connection, hub: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM device_activity WHERE hub = ?1", [hub.as_str()])
}
