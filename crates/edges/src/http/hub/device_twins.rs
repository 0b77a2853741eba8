//! `/twins/{id}`.

use axum::response::Response;
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{Error, Etag, Result, ids};
use pollux_services::Services;
use pollux_services::hub::{TwinInput, twin_document};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::Call;
use super::tagged;
use crate::http::rest::IfMatch;

/// A device twin as a client writes it; members that only the hub or the device writes are not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TwinBody {
    device_id: Option<String>,
    tags: Option<Map<String, Value>>,
    properties: Option<PropertiesBody>,
}

#[derive(Debug, Deserialize)]
struct PropertiesBody {
    desired: Option<Map<String, Value>>,
}

impl TwinBody {
    fn input(self, id: &str) -> Result<TwinInput> {
        if let Some(body) = self.device_id.filter(|body| body != id) {
            let (body, path) = (ids::shown(&body), ids::shown(id));
            return Err(Error::invalid(format!("the body's deviceId '{body}' is not the path's '{path}'")));
        }
        let mut desired = self.properties.and_then(|properties| properties.desired);
        // Clients send back what they were shown.
        for own in ["$metadata", "$version"] {
            desired.as_mut().map(|desired| desired.shift_remove(own));
        }
        Ok(TwinInput { tags: self.tags, desired })
    }
}

/// `GET`: the twin.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let document = call.services.hub.twin(&call.caller, &call.hub, id).await?;
    let etag = document.get("etag").and_then(Value::as_str).map(Etag::new).ok_or_else(Error::internal)?;
    Ok(tagged(&document, &etag))
}

/// `PATCH`: merges tags and desired properties into it.
pub(super) async fn patch(mut call: Call, id: &str) -> Result<Response> {
    let (input, condition) = (call.json::<TwinBody>().await?.input(id)?, IfMatch::of(&call.headers)?);
    let device = call.services.hub.patch_twin(&call.caller, &call.hub, id, input, condition.etag()).await?;
    shown(&call.services, &call.hub, &device).await
}

/// `PUT`: puts tags and desired properties in the place of those it has.
pub(super) async fn replace(mut call: Call, id: &str) -> Result<Response> {
    let (input, condition) = (call.json::<TwinBody>().await?.input(id)?, IfMatch::of(&call.headers)?);
    let device = call.services.hub.replace_twin(&call.caller, &call.hub, id, input, condition.etag()).await?;
    shown(&call.services, &call.hub, &device).await
}

async fn shown(services: &Services, hub: &Resource, device: &Device) -> Result<Response> {
    let present = services.hub.presence(hub, device).await?;
    Ok(tagged(&twin_document(device, present), &device.twin.service_etag))
}
