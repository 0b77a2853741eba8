//! `POST /devices/{id}/files`, `POST /devices/{id}/files/notifications[/{correlation id}]`: a device uploads a file (REST
//! reference, "Device"; `file_upload_api.js` of npm's azure-iot-device, which names the correlation id in the path, and
//! `pipeline_stages_iothub_http.py` of PyPI's azure-iot-device, which names it in the body).

use axum::response::Response;
use http::header::HOST;
use pollux_model::{DeviceId, Error, Result};
use pollux_services::hub::UploadEnd;
use serde::Deserialize;
use serde_json::json;

use super::call::Call;
use super::{json as document, nothing};
use crate::http::dispatch::without_port;

/// What of a device's files a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// All.
    Uploads,
    /// How one ended, by its correlation id where the path names it.
    Notifications(Option<String>),
}

/// Behind `/devices/{id}/`.
pub(super) fn named(path: &[String]) -> Option<Files> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match path {
        [files] if is(files, "files") => Some(Files::Uploads),
        [files, notifications, rest @ ..] if is(files, "files") && is(notifications, "notifications") => {
            match rest {
                [] => Some(Files::Notifications(None)),
                [id] => Some(Files::Notifications(Some(id.clone()))),
                _ => None,
            }
        }
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UploadBody {
    blob_name: Option<String>,
}

/// `FileUploadSasUriResponse`.
pub(super) async fn create(mut call: Call, id: &str) -> Result<Response> {
    let id = DeviceId::parse(id)?;
    let body: UploadBody = call.json().await?;
    let name = body.blob_name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::invalid("the body must have a blobName: the name of the file"))?;
    let host = host(&call);
    let made = call.services.hub.create_upload(&call.caller, &call.hub, &id, (&name, &host)).await?;
    Ok(document(&json!({
        "correlationId": made.correlation_id,
        "hostName": made.host_name,
        "containerName": made.container_name,
        "blobName": made.blob_name,
        "sasToken": made.sas_token,
    })))
}

/// `FileUploadCompletionStatus`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndBody {
    correlation_id: Option<String>,
    is_success: Option<bool>,
    /// A number; the description beside it is for people.
    status_code: Option<i64>,
}

/// 204 when the upload's place is free, and services are told.
pub(super) async fn complete(mut call: Call, id: &str, correlation_id: Option<String>) -> Result<Response> {
    let id = DeviceId::parse(id)?;
    let body: EndBody = call.json().await?;
    let correlation_id = correlation_id.or(body.correlation_id);
    let correlation_id = correlation_id.ok_or_else(|| Error::invalid("correlationId is missing"))?;
    let is_success = body.is_success.ok_or_else(|| Error::invalid("isSuccess must be true or false"))?;
    let end = UploadEnd { correlation_id, is_success, status_code: body.status_code };
    // Services are told of it: no device says where they fetch its file from.
    let said = host(&call);
    let own = without_port(&said).eq_ignore_ascii_case(&call.hub.host_name);
    let host = if own { said } else { call.hub.host_name.clone() };
    call.services.hub.complete_upload(&call.caller, &call.hub, &id, (end, &host)).await?;
    Ok(nothing())
}

/// What the device calls the hub, with the port: what is served here it finds there too.
fn host(call: &Call) -> String {
    let said = call.headers.get(HOST).and_then(|host| host.to_str().ok());
    said.unwrap_or(&call.hub.host_name).to_owned()
}
