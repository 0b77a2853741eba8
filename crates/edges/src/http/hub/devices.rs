//! `/devices` and `/devices/{id}`.

use axum::response::Response;
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{Error, Result};
use pollux_services::Services;
use serde_json::Value;

use super::call::Call;
use super::device_json::{self, DeviceBody};
use super::{json, nothing, tagged};
use crate::http::rest::{IfMatch, count};

/// Devices of a list when nothing is said; also the most ("Get Devices" of the REST reference).
const TOP: usize = 1000;

/// `GET /devices?top=`: the first devices by id. Longer lists are for queries.
pub(super) async fn list(call: Call) -> Result<Response> {
    let top = match call.parameters.get("top") {
        None => TOP,
        Some(text) => {
            count(text).ok_or_else(|| Error::invalid("the query parameter top must be a number above 0"))?
        }
    };
    let page = call.services.hub.devices(&call.caller, &call.hub, None, top).await?;
    let present = call.services.hub.presences(&call.hub, &page.items).await?;
    let shown = |device: &Device| device_json::device(device, present.of(&device.id));
    Ok(json(&Value::Array(page.items.iter().map(shown).collect())))
}

/// `GET /devices/{id}`.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let device = call.services.hub.device(&call.caller, &call.hub, id).await?;
    Ok(tagged(&shown(&call.services, &call.hub, &device).await?, &device.identity.etag))
}

/// `PUT /devices/{id}`: creates it; with `If-Match` changes it.
pub(super) async fn put(mut call: Call, id: String) -> Result<Response> {
    let condition = IfMatch::of(&call.headers)?;
    let input = call.json::<DeviceBody>().await?.input(id)?;
    let hub = &call.services.hub;
    let device = match condition {
        IfMatch::Absent => hub.create_device(&call.caller, &call.hub, input).await?,
        condition => hub.update_device(&call.caller, &call.hub, input, condition.etag()).await?,
    };
    Ok(tagged(&shown(&call.services, &call.hub, &device).await?, &device.identity.etag))
}

/// `DELETE /devices/{id}`.
pub(super) async fn delete(call: Call, id: &str) -> Result<Response> {
    let condition = IfMatch::of(&call.headers)?;
    call.services.hub.delete_device(&call.caller, &call.hub, id, condition.etag()).await?;
    Ok(nothing())
}

async fn shown(services: &Services, hub: &Resource, device: &Device) -> Result<Value> {
    Ok(device_json::device(device, services.hub.presence(hub, device).await?))
}
