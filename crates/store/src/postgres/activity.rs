//! Table `device_activity`: two times per device or module; the module of a device itself is the empty text.

use std::collections::HashMap;

use async_trait::async_trait;
use pollux_model::device::Activity;
use pollux_model::{DeviceAddress, ResourceName, Timestamp};
use tokio_postgres::Row;

use super::PostgresStore;
use super::plan::{Steps, Wants, key, value, word};
use super::rows::many;
use super::text::{plain, text};
use crate::activity::Activities;
use crate::error::StoreError;

// The row of the device or module stays until the batch is committed, so that nothing is kept of one that is gone.
const NOTE_DEVICE: &str = "INSERT INTO device_activity (hub, device, module, state_updated, last)
    SELECT hub, id, '', $3::bigint, $4::bigint FROM devices WHERE hub = $1 AND id = $2 FOR KEY SHARE
    ON CONFLICT (hub, device, module) DO UPDATE SET
        state_updated = greatest(device_activity.state_updated, excluded.state_updated),
        last = greatest(device_activity.last, excluded.last)";
const NOTE_MODULE: &str = "INSERT INTO device_activity (hub, device, module, state_updated, last)
    SELECT hub, device, id, $4::bigint, $5::bigint FROM modules WHERE hub = $1 AND device = $2 AND id = $3 FOR KEY SHARE
    ON CONFLICT (hub, device, module) DO UPDATE SET
        state_updated = greatest(device_activity.state_updated, excluded.state_updated),
        last = greatest(device_activity.last, excluded.last)";
const DELETE_DEVICE: &str = "DELETE FROM device_activity WHERE hub = $1 AND device = $2";
const DELETE_MODULE: &str = "DELETE FROM device_activity WHERE hub = $1 AND device = $2 AND module = $3";

#[async_trait]
impl Activities for PostgresStore {
    async fn activities(
        &self,
        hub: &ResourceName,
        devices: &[DeviceAddress],
    ) -> Result<HashMap<DeviceAddress, Activity>, StoreError> {
        if devices.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = "SELECT device, module, state_updated, last FROM device_activity
            JOIN unnest($2::text[], $3::text[]) AS wanted (device, module) USING (device, module) WHERE hub = $1";
        let ids: Vec<_> = devices.iter().map(|id| text(id.device.as_str())).collect();
        let modules: Vec<_> =
            devices.iter().map(|id| text(id.module.as_deref().unwrap_or_default())).collect();
        let read = |row: &Row| {
            let (device, module) = (plain(row.try_get(0)?), plain(row.try_get(1)?));
            let address = DeviceAddress::of(&device, Some(&*module).filter(|module| !module.is_empty()));
            let address = address.map_err(|error| StoreError::Corrupt(error.message))?;
            let time = |at: usize| Ok::<_, StoreError>(Timestamp::from_micros(row.try_get(at)?));
            Ok((address, Activity { state_updated: time(2)?, last: time(3)? }))
        };
        Ok(many(&self.pool, sql, &[&hub.as_str(), &ids, &modules], read).await?.into_iter().collect())
    }
}

/// Adds the step that notes it.
pub(super) fn note<'a>(
    steps: &mut Steps<'a, '_>,
    hub: &'a ResourceName,
    DeviceAddress { device, module }: &'a DeviceAddress,
    Activity { state_updated, last }: Activity,
) {
    let mut params = key(hub, device);
    params.extend(module.as_deref().map(word));
    params.extend([value(state_updated.as_micros()), value(last.as_micros())]);
    steps.add(if module.is_some() { NOTE_MODULE } else { NOTE_DEVICE }, params, Wants::Anything);
}

/// What goes with a device, its modules' too; or with a module. The row is gone already.
pub(super) fn delete<'a>(
    steps: &mut Steps<'a, '_>,
    hub: &'a ResourceName,
    DeviceAddress { device, module }: &'a DeviceAddress,
) {
    let mut params = key(hub, device);
    params.extend(module.as_deref().map(word));
    steps.add(if module.is_some() { DELETE_MODULE } else { DELETE_DEVICE }, params, Wants::Anything);
}
