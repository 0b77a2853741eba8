//! `/statistics/devices` and `/statistics/service`: counts of the registry and of live connections.

use axum::response::Response;
use pollux_model::Result;
use serde_json::json;

use super::call::Call;
use super::json;

pub(super) async fn devices(call: Call) -> Result<Response> {
    let counts = call.services.hub.statistics(&call.caller, &call.hub).await?;
    Ok(json(&json!({
        "totalDeviceCount": counts.total,
        "enabledDeviceCount": counts.enabled,
        "disabledDeviceCount": counts.total - counts.enabled,
    })))
}

pub(super) async fn service(call: Call) -> Result<Response> {
    let counts = call.services.hub.statistics(&call.caller, &call.hub).await?;
    Ok(json(&json!({ "connectedDeviceCount": counts.connected })))
}
