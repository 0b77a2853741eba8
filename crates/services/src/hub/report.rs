//! A device or module reports properties, and says which model it is of.

use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Result};
use serde_json::{Map, Value};

use super::plan_twin::TwinChange;
use super::{Hub, Operation, twin_rules};
use crate::caller::Caller;

impl Hub {
    /// Merges a patch into the reported properties; returns their version after it. Durable when it returns.
    pub async fn report(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        patch: Map<String, Value>,
    ) -> Result<u64> {
        caller.require_device(&hub.name, id)?;
        twin_rules::check("properties.reported", &patch)?;
        self.throttle(hub, Operation::TwinUpdate, 1)?;
        let changed = self.change_own_twin(hub, id, TwinChange::Report(&patch), |_| true).await?;
        self.connections.active(&hub.name, id);
        Ok(changed.twin.reported.version)
    }

    /// Keeps the model id a device announced when it connected, if it is another than before.
    pub async fn announce_model(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        model_id: &str,
    ) -> Result<()> {
        caller.require_device(&hub.name, id)?;
        let other = |device: &Device| device.twin.model_id != model_id;
        self.change_own_twin(hub, id, TwinChange::Model(model_id), other).await.map(drop)
    }

    /// Changes the twin unless it is as it is to be.
    async fn change_own_twin(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        change: TwinChange<'_>,
        wanted: impl Fn(&Device) -> bool,
    ) -> Result<Device> {
        // Most such changes move no configuration: only one that does waits for its turn.
        let mut turn = None;
        loop {
            let before = self.addressed(hub, id).await?;
            if !wanted(&before) {
                return Ok(before);
            }
            let planned = self.plan_twin(hub, before, change).await?;
            if !planned.notices.is_empty() && turn.is_none() {
                turn = Some(self.in_order(id).await);
                continue;
            }
            if let Some(changed) = self.commit_planned(hub, planned, &mut turn, None).await? {
                return Ok(self.with_modules(hub, changed).await);
            }
        }
    }
}
