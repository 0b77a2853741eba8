//! `/jobs/create`, `/jobs`, `/jobs/{id}`: import and export of identities (REST reference, "Jobs - Create Import Export Job";
//! `registry.js` of npm's azure-iothub).

mod identity_lines;

use axum::response::Response;
use pollux_model::job::{Direction, Job, JobStatus};
use pollux_model::resource::{ResourceKind, Setting};
use pollux_model::{Error, Result, ids};
use pollux_services::blobs::bare_url;
use pollux_services::hub::RegistryJobInput;
use pollux_services::{HubAction, Right};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::json as document;

pub(super) use identity_lines::Lines;

/// `JobProperties`, as far as a client sets them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    r#type: Option<String>,
    input_blob_container_uri: Option<Setting>,
    output_blob_container_uri: Option<Setting>,
    input_blob_name: Option<String>,
    output_blob_name: Option<String>,
    exclude_keys_in_export: Option<bool>,
    storage_authentication_type: Option<String>,
}

/// Of jobs there are.
const TYPES: [(Direction, &str); 2] = [(Direction::Import, "import"), (Direction::Export, "export")];

/// 200, with the job as it is kept.
pub(super) async fn create(mut call: Call) -> Result<Response> {
    // Before anything is said of the body.
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(HubAction::JobsWrite))?;
    let body: Body = call.json().await?;
    let kind = body.r#type.unwrap_or_default();
    let direction =
        TYPES.iter().find(|(_, name)| kind.eq_ignore_ascii_case(name)).map(|(direction, _)| *direction);
    let direction = direction.ok_or_else(|| {
        Error::invalid(format!("the type '{}' is no job's: use import or export", ids::shown(&kind)))
    })?;
    let by_identity = match body.storage_authentication_type.as_deref() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("keyBased") => false,
        Some(word) if word.eq_ignore_ascii_case("identityBased") => true,
        Some(_) => return Err(Error::invalid("storageAuthenticationType is keyBased or identityBased")),
    };
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let input = RegistryJobInput {
        direction,
        input_container: body.input_blob_container_uri,
        output_container: body.output_blob_container_uri,
        input_blob: some(body.input_blob_name),
        output_blob: some(body.output_blob_name),
        exclude_keys: body.exclude_keys_in_export.unwrap_or(false),
        by_identity,
    };
    Ok(document(&shown(&call.services.hub.create_registry_job(&call.caller, &call.hub, input).await?)))
}

/// All of them.
pub(super) async fn list(call: Call) -> Result<Response> {
    let jobs = call.services.hub.registry_jobs(&call.caller, &call.hub).await?;
    Ok(document(&jobs.iter().map(shown).collect::<Value>()))
}

/// One of them.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    Ok(document(&shown(&call.services.hub.registry_job(&call.caller, &call.hub, id).await?)))
}

/// It ends where it stands.
pub(super) async fn cancel(call: Call, id: &str) -> Result<Response> {
    Ok(document(&shown(&call.services.hub.cancel_registry_job(&call.caller, &call.hub, id).await?)))
}

/// `JobProperties`. Of containers nothing that opens them.
fn shown(job: &Job) -> Value {
    let registry = job.registry.clone().unwrap_or_default();
    let kind = TYPES.iter().find(|(direction, _)| *direction == registry.direction).map(|(_, name)| name);
    let done = match (job.status, registry.total) {
        (JobStatus::Succeeded, _) => 100,
        (_, 0) => 0,
        (_, total) => job.progress.offset.min(total) * 100 / total,
    };
    json!({
        "jobId": job.id,
        "type": kind,
        "status": word(job.status),
        "progress": done,
        "startTimeUtc": job.created,
        "endTimeUtc": job.finished,
        "inputBlobContainerUri": job.input.as_ref().map(bare_url),
        "inputBlobName": registry.input_blob,
        "outputBlobContainerUri": job.output.as_ref().map(bare_url),
        "outputBlobName": registry.output_blob,
        "excludeKeysInExport": registry.exclude_keys,
        "storageAuthenticationType": if registry.by_identity { "identityBased" } else { "keyBased" },
        "failureReason": job.error.as_ref().map(|error| format!("{}: {}", error.code, error.message)),
    })
}

const fn word(status: JobStatus) -> &'static str {
    match status {
        JobStatus::NotStarted => "enqueued",
        JobStatus::Running | JobStatus::Cancelling => "running",
        JobStatus::Cancelled => "cancelled",
        JobStatus::Failed => "failed",
        JobStatus::Succeeded => "completed",
    }
}
