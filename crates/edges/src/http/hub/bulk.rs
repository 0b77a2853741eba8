//! `POST /devices`: up to a hundred identities of devices and modules at once, each for itself (REST reference "Bulk Registry - Update Registry").

use std::collections::HashSet;

use axum::response::Response;
use http::StatusCode;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, Etag, Result, ids};
use pollux_services::hub::{Hub, ImportLine, ImportMode, Imported, TwinInput};
use pollux_services::{Caller, HubAction, Right};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::device_json::DeviceBody;
use super::{json as document, status};

/// Identities of one request.
const MOST: usize = 100;

/// `ExportImportDevice`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    import_mode: Option<String>,
    /// It is a module's, not the device's.
    module_id: Option<String>,
    managed_by: Option<String>,
    #[serde(alias = "etag")]
    e_tag: Option<String>,
    #[serde(rename = "twinETag", alias = "twinEtag")]
    twin_etag: Option<String>,
    tags: Option<Map<String, Value>>,
    properties: Option<Properties>,
    #[serde(flatten)]
    device: DeviceBody,
}

#[derive(Debug, Deserialize)]
struct Properties {
    desired: Option<Map<String, Value>>,
}

/// 200 where all of it was done, else 400; the body tells which was not, and why.
pub(super) async fn run(mut call: Call) -> Result<Response> {
    // Before anything is said of the body. Both, whatever is in it ("Control access to IoT Hub by using Microsoft Entra ID").
    for action in [HubAction::DevicesWrite, HubAction::DevicesDelete] {
        call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(action))?;
    }
    let items: Vec<Item> = call.json().await?;
    if items.is_empty() || items.len() > MOST {
        return Err(Error::invalid(format!(
            "a request has 1 to {MOST} devices, this one has {}",
            items.len()
        )));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = items.iter().find(|item| !seen.insert((item.device.id(), &item.module_id))) {
        let (noun, id) = match &twice.module_id {
            Some(module) => ("module", format!("{}/{module}", twice.device.id())),
            None => ("device", twice.device.id().to_owned()),
        };
        return Err(Error::invalid(format!("the {noun} '{}' is there more than once", ids::shown(&id))));
    }
    let registry = (&*call.services.hub, &call.caller, &*call.hub);
    let mut errors = Vec::new();
    for item in items {
        let (id, module) = (item.device.id().to_owned(), item.module_id.clone());
        if let Err(error) = one(registry, item).await {
            let name = status::name(error.code);
            let mut told = json!({ "deviceId": id, "errorCode": name, "errorStatus": error.message });
            if let Some(module) = module {
                told["moduleId"] = json!(module);
            }
            errors.push(told);
        }
    }
    let done = errors.is_empty();
    let mut response = document(&json!({ "isSuccessful": done, "errors": errors, "warnings": [] }));
    if !done {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

async fn one((hub, caller, of): (&Hub, &Caller, &Resource), item: Item) -> Result<()> {
    let ImportLine { mode, identity, twin, .. } = item.line()?;
    hub.import_device(caller, of, mode, (identity, twin)).await
}

impl Item {
    /// What the service is told. What was exported says more of desired properties than a client may set.
    pub(super) fn line(self) -> Result<ImportLine> {
        let etags = (self.e_tag.as_deref(), self.twin_etag.as_deref());
        let mode = mode(self.import_mode.as_deref().unwrap_or("createOrUpdate"), etags)?;
        let mut desired = self.properties.and_then(|both| both.desired);
        if let Some(desired) = &mut desired {
            desired.retain(|name, _| !matches!(name.as_str(), "$metadata" | "$version"));
        }
        let twin = TwinInput { tags: self.tags, desired, ..TwinInput::default() };
        let device = self.device.id().to_owned();
        let identity = match self.module_id {
            Some(module) => Imported::Module(self.device.of_module(module, self.managed_by)?),
            None => Imported::Device(self.device.input(device.clone())?),
        };
        Ok(ImportLine { device, mode, identity, twin })
    }
}

/// `ImportMode` in words; those that end so need the etag, of the identity or of the twin.
fn mode(text: &str, (of_identity, of_twin): (Option<&str>, Option<&str>)) -> Result<ImportMode> {
    const GUARDED: &str = "ifmatchetag";
    let word = text.to_ascii_lowercase();
    let (word, guarded) = match word.strip_suffix(GUARDED) {
        Some(word) => (word, true),
        None => (word.as_str(), false),
    };
    let (etag, field) = if word == "updatetwin" { (of_twin, "twinETag") } else { (of_identity, "eTag") };
    let etag = match etag.filter(|_| guarded).map(|etag| etag.trim_matches('"')) {
        None if guarded => {
            return Err(Error::invalid(format!("this importMode needs the {field} that is expected")));
        }
        None | Some("*") => None,
        Some(etag) => Some(Etag::new(etag)),
    };
    match word {
        "create" if !guarded => Ok(ImportMode::Create),
        "createorupdate" => Ok(etag.map_or(ImportMode::CreateOrUpdate, ImportMode::CreateOrUpdateIf)),
        "update" => Ok(ImportMode::Update(etag)),
        "delete" => Ok(ImportMode::Delete(etag)),
        "updatetwin" => Ok(ImportMode::UpdateTwin(etag)),
        _ => Err(Error::invalid(format!(
            "importMode '{}' is unknown: use create, createOrUpdate, update, updateTwin or delete; all but the first also with IfMatchETag",
            ids::shown(text)
        ))),
    }
}
