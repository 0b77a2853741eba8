//! `/twins/{id}` and `/twins/{id}/modules/{id}`.

use axum::response::Response;
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Error, Etag, Result, ids};
use pollux_services::Services;
use pollux_services::hub::{Removed, TwinInput, twin_document};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::call::Call;
use super::{Ids, tagged};
use crate::http::rest::IfMatch;

/// The twin of a device or a module as a client writes it; members that only the hub or the device writes are not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TwinBody {
    device_id: Option<String>,
    module_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    tags: Given,
    properties: Option<PropertiesBody>,
}

#[derive(Debug, Default, Deserialize)]
struct PropertiesBody {
    #[serde(default, deserialize_with = "given")]
    desired: Given,
}

/// Absent, `null` or an object.
type Given = Option<Option<Map<String, Value>>>;

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl TwinBody {
    fn input(self, id: &DeviceAddress) -> Result<TwinInput> {
        let module = id.module.as_deref().unwrap_or_default();
        named("deviceId", self.device_id.clone(), &id.device)?;
        named("moduleId", self.module_id.clone(), module)?;
        Ok(self.content())
    }

    /// The same, whoever it says it is of.
    pub(super) fn content(self) -> TwinInput {
        let PropertiesBody { desired } = self.properties.unwrap_or_default();
        let removed = Removed { tags: self.tags == Some(None), desired: desired == Some(None) };
        let mut desired = desired.flatten();
        // Clients send back what they were shown.
        for own in ["$metadata", "$version"] {
            desired.as_mut().map(|desired| desired.shift_remove(own));
        }
        TwinInput { tags: self.tags.flatten(), desired, removed }
    }
}

/// Refuses an id of the body that is not the path's.
pub(super) fn named(member: &str, body: Option<String>, path: &str) -> Result<()> {
    match body.filter(|body| body != path) {
        Some(body) => {
            let (body, path) = (ids::shown(&body), ids::shown(path));
            Err(Error::invalid(format!("the body's {member} '{body}' is not the path's '{path}'")))
        }
        None => Ok(()),
    }
}

/// `GET`: the twin.
pub(super) async fn get(call: Call, (device, module): Ids) -> Result<Response> {
    let id = DeviceAddress::of(&device, module.as_deref())?;
    let document = call.services.hub.twin(&call.caller, &call.hub, &id).await?;
    let etag = document.get("etag").and_then(Value::as_str).map(Etag::new).ok_or_else(Error::internal)?;
    Ok(tagged(&document, &etag))
}

/// `PATCH`: merges tags and desired properties into it.
pub(super) async fn patch(call: Call, ids: Ids) -> Result<Response> {
    let (call, id, input, etag) = read(call, ids).await?;
    let device = call.services.hub.patch_twin(&call.caller, &call.hub, &id, input, etag).await?;
    shown(&call.services, &call.hub, &device).await
}

/// `PUT`: puts tags and desired properties in the place of those it has.
pub(super) async fn replace(call: Call, ids: Ids) -> Result<Response> {
    let (call, id, input, etag) = read(call, ids).await?;
    let device = call.services.hub.replace_twin(&call.caller, &call.hub, &id, input, etag).await?;
    shown(&call.services, &call.hub, &device).await
}

async fn read(
    mut call: Call,
    (device, module): Ids,
) -> Result<(Call, DeviceAddress, TwinInput, Option<Etag>)> {
    let id = DeviceAddress::of(&device, module.as_deref())?;
    let input = call.json::<TwinBody>().await?.input(&id)?;
    let etag = IfMatch::of(&call.headers)?.etag();
    Ok((call, id, input, etag))
}

async fn shown(services: &Services, hub: &Resource, device: &Device) -> Result<Response> {
    let present = services.hub.presence(hub, device).await?;
    Ok(tagged(&twin_document(device, present), &device.twin.service_etag))
}
