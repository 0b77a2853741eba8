//! Module identities as IoT Hub's API writes them (Azure article "Understand the identity registry in your IoT hub", section
//! "Module identity properties"; `Module` of the service SDKs). They have no status of their own.

use pollux_model::Result;
use pollux_model::device::Device;
use pollux_services::hub::{ModuleInput, Presence};
use serde::Deserialize;
use serde_json::{Value, json};

use super::device_json::{AuthenticationBody, authentication};
use super::device_twins::named;

/// A module identity as a client writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModuleBody {
    device_id: Option<String>,
    module_id: Option<String>,
    managed_by: Option<String>,
    authentication: Option<AuthenticationBody>,
}

impl ModuleBody {
    /// What the service is told; the ids are the path's.
    pub(super) fn input(self, (device, id): (String, String)) -> Result<ModuleInput> {
        named("deviceId", self.device_id, &device)?;
        named("moduleId", self.module_id, &id)?;
        let authentication = self.authentication.map(AuthenticationBody::input).transpose()?;
        Ok(ModuleInput { device, id, authentication, managed_by: self.managed_by })
    }
}

/// A module identity as the API shows it, keys included: who may read the registry may see them.
pub(super) fn module(module: &Device, Presence { connected, activity, .. }: Presence) -> Value {
    let identity = &module.identity;
    json!({
        "moduleId": module.module,
        "managedBy": identity.managed_by,
        "deviceId": module.id,
        "generationId": identity.generation_id,
        "etag": identity.etag,
        "connectionState": if connected { "Connected" } else { "Disconnected" },
        "connectionStateUpdatedTime": activity.state_updated,
        "lastActivityTime": activity.last,
        "cloudToDeviceMessageCount": 0,
        "authentication": authentication(&identity.authentication),
    })
}
