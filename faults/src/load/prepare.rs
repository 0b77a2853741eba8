//! What the load needs: the model, the enrollment group, and the devices, registered through the provisioning service.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _};
use pollux_model::{Key, SystemRandom};
use serde_json::json;

use super::{GROUP, Load, MODEL, service};
use crate::ledger::Device;
use crate::target::Targets;

/// Registrations at the same time.
const AT_ONCE: usize = 48;
/// One device in so many may be deleted and disabled.
const MORTAL: usize = 5;

/// Uploads the model and makes the group; gives the group's key.
pub(crate) async fn group(targets: &Targets) -> Result<Key> {
    let model = json!([{
        "@context": "dtmi:dtdl:context;2", "@id": MODEL, "@type": "Interface",
        "contents": [{ "@type": "Property", "name": "Temperature", "schema": "double", "writable": true }],
    }]);
    targets.all[0].twins.post("/models").json(model).send().await.context("cannot upload the model")?;
    let key = Key::generate(&SystemRandom);
    let body = json!({
        "enrollmentGroupId": GROUP,
        "attestation": { "type": "symmetricKey", "symmetricKey": { "primaryKey": key.reveal() } },
        "allocationPolicy": "custom",
        "customAllocationDefinition": { "webhookUrl": targets.allocate_url },
    });
    let path = format!("/enrollmentGroups/{GROUP}");
    targets.all[1].dps.put(&path).json(body).send().await.context("cannot make the group")?;
    Ok(key)
}

/// The devices, not yet registered.
pub(crate) fn devices(count: usize, key: &Key) -> Vec<Arc<Device>> {
    let device = |index: usize| {
        let id = format!("fault-{index:05}");
        let key = key.derive(&id).bytes();
        Arc::new(Device::new(id, key, index.is_multiple_of(MORTAL)))
    };
    (0..count).map(device).collect()
}

/// Registers all of them, on all nodes.
pub(crate) async fn register(load: &Arc<Load>) {
    let registered = stream::iter(load.ledger.devices.clone()).map(|device| async move {
        service::registered(load, &device.id, device.key.clone()).await;
    });
    registered.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}
