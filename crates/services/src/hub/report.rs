//! A device or module reports properties, and says which model it is of.

use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};
use serde_json::{Map, Value};

use super::hub_event::twin_reported;
use super::twin_merge::merge;
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
        // Most reports move no configuration: only one that does waits for its turn.
        let mut order = None;
        loop {
            let mut device = self.addressed(hub, id).await?;
            let (identity, twin) = (device.identity.etag.clone(), device.twin.etag.clone());
            let was = self.digital_twin_watched(hub, &device);
            let reported = &mut device.twin.reported;
            reported.version += 1;
            let version = reported.version;
            merge(&mut reported.properties, &mut reported.metadata, &patch, self.context.clock.now(), None);
            let most = self.context.limits.device_twin_properties;
            twin_rules::check_size("properties.reported", &reported.properties, most)?;
            device.twin.version += 1;
            device.twin.etag = Etag::fresh(&*self.context.random);
            let event = twin_reported(hub, &device, &patch, self.context.clock.now());
            let mut told = self.outbox(hub, event, Some(&device));
            let followed = self.follow_configurations(hub, &mut device).await?;
            let deploys = followed.is_some();
            let (more, desired) = followed.map(|it| (it.told, it.desired)).unwrap_or_default();
            if desired.is_some() && order.is_none() {
                order = Some(self.in_order(id).await);
                continue;
            }
            told.extend(more);
            told.extend(self.digital_twin_told(hub, was.as_ref(), &device));
            let mut batch = Batch::from(Write::PutDevice {
                hub: hub.name.clone(),
                device: Box::new(device.clone()),
                identity: Expect::Etag(identity),
                twin: Expect::Etag(twin),
            });
            batch.writes.extend(told);
            match self.commit(hub, id, batch).await {
                Ok(()) => {
                    self.tell_desired(hub, id, desired).await;
                    // Its modules may share its place in the order.
                    drop(order);
                    if deploys {
                        self.deploy_after(hub, &device).await;
                    }
                    return Ok(version);
                }
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
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
        loop {
            let mut device = self.addressed(hub, id).await?;
            if device.twin.model_id == model_id {
                return Ok(());
            }
            let (identity, expected) = (device.identity.etag.clone(), Expect::Etag(device.twin.etag.clone()));
            let was = self.digital_twin_watched(hub, &device);
            model_id.clone_into(&mut device.twin.model_id);
            device.twin.version += 1;
            device.twin.etag = Etag::fresh(&*self.context.random);
            let told = self.digital_twin_told(hub, was.as_ref(), &device);
            let mut batch = Batch::from(Write::PutDevice {
                hub: hub.name.clone(),
                device: Box::new(device),
                identity: Expect::Etag(identity),
                twin: expected,
            });
            batch.writes.extend(told);
            match self.context.store.commit(batch).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
