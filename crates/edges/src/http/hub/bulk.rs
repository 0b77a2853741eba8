//! `POST /devices`: up to a hundred identities at once, each for itself (REST reference "Bulk Registry - Update Registry").

use std::collections::HashSet;

use axum::response::Response;
use http::StatusCode;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, Etag, Result, ids};
use pollux_services::hub::{Hub, TwinInput};
use pollux_services::{Caller, Right};
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
struct Item {
    import_mode: Option<String>,
    #[serde(alias = "etag")]
    e_tag: Option<String>,
    tags: Option<Map<String, Value>>,
    properties: Option<Properties>,
    #[serde(flatten)]
    device: DeviceBody,
}

#[derive(Debug, Deserialize)]
struct Properties {
    desired: Option<Map<String, Value>>,
}

/// What is done with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Create,
    CreateOrUpdate,
    Update,
    Delete,
}

/// 200 where all of it was done, else 400; the body tells which was not, and why.
pub(super) async fn run(mut call: Call) -> Result<Response> {
    // Before anything is said of the body.
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Policy(PolicyRight::RegistryWrite))?;
    let items: Vec<Item> = call.json().await?;
    if items.is_empty() || items.len() > MOST {
        return Err(Error::invalid(format!(
            "a request has 1 to {MOST} devices, this one has {}",
            items.len()
        )));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = items.iter().find(|item| !seen.insert(item.device.id())) {
        let shown = ids::shown(twice.device.id());
        return Err(Error::invalid(format!("the device '{shown}' is there more than once")));
    }
    let registry = (&*call.services.hub, &call.caller, &*call.hub);
    let mut errors = Vec::new();
    for item in items {
        let id = item.device.id().to_owned();
        if let Err(error) = one(registry, item).await {
            let name = status::name(error.code);
            errors.push(json!({ "deviceId": id, "errorCode": name, "errorStatus": error.message }));
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
    let (mode, guarded) = mode(item.import_mode.as_deref().unwrap_or("createOrUpdate"))?;
    let if_match = match item.e_tag.filter(|_| guarded) {
        Some(etag) => Some(Etag::new(etag.trim_matches('"'))).filter(|etag| **etag != *"*"),
        None if guarded => return Err(Error::invalid("this importMode needs the eTag that is expected")),
        None => None,
    };
    let id = item.device.id().to_owned();
    let input = item.device.input(id.clone())?;
    let there = async || hub.device(caller, of, &id).await.is_ok();
    match mode {
        Mode::Delete => return hub.delete_device(caller, of, &id, if_match).await,
        Mode::Create => drop(hub.create_device(caller, of, input).await?),
        Mode::Update => drop(hub.update_device(caller, of, input, if_match).await?),
        Mode::CreateOrUpdate if !guarded && !there().await => {
            drop(hub.create_device(caller, of, input).await?);
        }
        Mode::CreateOrUpdate => drop(hub.update_device(caller, of, input, if_match).await?),
    }
    let twin = TwinInput { tags: item.tags, desired: item.properties.and_then(|both| both.desired) };
    if twin.tags.is_some() || twin.desired.is_some() {
        hub.patch_twin(caller, of, &id, twin, None).await?;
    }
    Ok(())
}

/// `ImportMode`, and whether it asks for the etag.
fn mode(text: &str) -> Result<(Mode, bool)> {
    let modes = [
        ("create", Mode::Create, false),
        ("createOrUpdate", Mode::CreateOrUpdate, false),
        ("createOrUpdateIfMatchETag", Mode::CreateOrUpdate, true),
        ("update", Mode::Update, false),
        ("updateIfMatchETag", Mode::Update, true),
        ("delete", Mode::Delete, false),
        ("deleteIfMatchETag", Mode::Delete, true),
    ];
    let found = modes.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, mode, guarded)| (*mode, *guarded)).ok_or_else(|| {
        let known: Vec<_> = modes.iter().map(|(name, _, _)| *name).collect();
        Error::invalid(format!(
            "importMode '{}' is unknown: use one of {}",
            ids::shown(text),
            known.join(", ")
        ))
    })
}
