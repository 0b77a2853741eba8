//! `/devices/{id}/modules` and `/devices/{id}/modules/{id}`.

use axum::response::Response;
use pollux_model::Result;
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_services::Services;
use serde_json::Value;

use super::call::Call;
use super::module_json::{self, ModuleBody};
use super::{json, nothing, tagged};
use crate::http::rest::IfMatch;

/// `GET /devices/{id}/modules`: all of them; there are few.
pub(super) async fn list(call: Call, device: &str) -> Result<Response> {
    let modules = call.services.hub.modules(&call.caller, &call.hub, device).await?;
    let present = call.services.hub.presences(&call.hub, &modules).await?;
    let shown = |module: &Device| module_json::module(module, present.of(&module.address()));
    Ok(json(&Value::Array(modules.iter().map(shown).collect())))
}

/// `GET /devices/{id}/modules/{id}`.
pub(super) async fn get(call: Call, (device, id): (&str, &str)) -> Result<Response> {
    let module = call.services.hub.module(&call.caller, &call.hub, device, id).await?;
    shown(&call.services, &call.hub, &module).await
}

/// `PUT /devices/{id}/modules/{id}`: creates it; with `If-Match` changes it.
pub(super) async fn put(mut call: Call, ids: (String, String)) -> Result<Response> {
    let condition = IfMatch::of(&call.headers)?;
    let input = call.json::<ModuleBody>().await?.input(ids)?;
    let hub = &call.services.hub;
    let module = match condition {
        IfMatch::Absent => hub.create_module(&call.caller, &call.hub, input).await?,
        condition => hub.update_module(&call.caller, &call.hub, input, condition.etag()).await?,
    };
    shown(&call.services, &call.hub, &module).await
}

/// `DELETE /devices/{id}/modules/{id}`.
pub(super) async fn delete(call: Call, ids: (&str, &str)) -> Result<Response> {
    let condition = IfMatch::of(&call.headers)?;
    call.services.hub.delete_module(&call.caller, &call.hub, ids, condition.etag()).await?;
    Ok(nothing())
}

async fn shown(services: &Services, hub: &Resource, module: &Device) -> Result<Response> {
    let presence = services.hub.presence(hub, module).await?;
    Ok(tagged(&module_json::module(module, presence), &module.identity.etag))
}
