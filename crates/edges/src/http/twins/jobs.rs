//! `/jobs/imports[/{id}[/cancel]]` and `/jobs/deletions[/{id}]` (OpenAPI of the data plane 2023-10-31).
//!
//! Beside what Azure shows, a job shows its `progress`. Of a blob's URL the query is not shown: its signature is a secret
//! of whoever added the job.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::HeaderValue;
use http::{HeaderName, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_model::job::{Job, JobKind};
use pollux_model::resource::Setting;
use pollux_model::{Error, ErrorCode};
use pollux_services::Services;
use pollux_services::blobs::bare_url;
use pollux_services::twins::{AddDeletion, AddImport};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Ids};

const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportBody {
    input_blob_uri: String,
    output_blob_uri: String,
}

/// `PUT`: adds an import job.
pub(super) async fn add_import(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
    body: Body,
) -> Answer {
    let ImportBody { input_blob_uri, output_blob_uri } =
        serde_json::from_value(body::small(&services, body).await?).map_err(|error| {
            Error::new(ErrorCode::ValidationFailed, format!("The import job is not valid: {error}."))
        })?;
    let add = AddImport { id, input: Setting(input_blob_uri), output: Setting(output_blob_uri) };
    let job = services.twins.add_import(&call.caller, &call.instance, add).await?;
    Ok(answer::json(StatusCode::CREATED, &shown(&job)))
}

/// `GET` of the imports.
pub(super) async fn list_imports(State(services): State<Arc<Services>>, call: Call) -> Answer {
    list(&services, &call, JobKind::Imports).await
}

/// `GET` of the deletions.
pub(super) async fn list_deletions(State(services): State<Arc<Services>>, call: Call) -> Answer {
    list(&services, &call, JobKind::Deletions).await
}

async fn list(services: &Services, call: &Call, kind: JobKind) -> Answer {
    let listing = services.twins.jobs(&call.caller, &call.instance, kind, call.paging()?).await?;
    Ok(answer::page(listing, &call.link, |job| shown(&job)))
}

/// `GET` of an import.
pub(super) async fn get_import(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    let job = services.twins.job(&call.caller, &call.instance, JobKind::Imports, &id).await?;
    Ok(answer::json(StatusCode::OK, &shown(&job)))
}

/// `GET` of a deletion.
pub(super) async fn get_deletion(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    let job = services.twins.job(&call.caller, &call.instance, JobKind::Deletions, &id).await?;
    Ok(answer::json(StatusCode::OK, &shown(&job)))
}

/// `DELETE` of an import's record.
pub(super) async fn delete_import(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    services.twins.delete_import(&call.caller, &call.instance, &id).await?;
    Ok(answer::nothing())
}

/// `POST …/cancel`.
pub(super) async fn cancel_import(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    let job = services.twins.cancel_import(&call.caller, &call.instance, &id).await?;
    Ok(answer::json(StatusCode::OK, &shown(&job)))
}

/// `POST`: adds a delete job; `Operation-Location` says where it can be followed.
pub(super) async fn add_deletion(State(services): State<Arc<Services>>, call: Call) -> Answer {
    let minutes = call.parameter("timeoutInMinutes").map(|text| {
        text.parse().map_err(|_| Error::invalid("timeoutInMinutes must be a number from 15 to 1440."))
    });
    let id = call.header("operation-id").filter(|id| !id.is_empty()).map(str::to_owned);
    let add = AddDeletion { id, minutes: minutes.transpose()? };
    let job = services.twins.add_deletion(&call.caller, &call.instance, add).await?;
    let path = format!("/jobs/deletions/{}", utf8_percent_encode(&job.id, NON_ALPHANUMERIC));
    let version = call.parameter("api-version").unwrap_or_default();
    let mut response: Response = answer::json(StatusCode::ACCEPTED, &shown(&job));
    if let Ok(link) = HeaderValue::from_str(&call.link.sibling(&path, version)) {
        response.headers_mut().insert(OPERATION_LOCATION, link);
    }
    Ok(response)
}

fn shown(job: &Job) -> Value {
    let mut document = Map::new();
    document.insert("id".into(), job.id.as_str().into());
    for (name, url) in [("inputBlobUri", &job.input), ("outputBlobUri", &job.output)] {
        if let Some(url) = url {
            document.insert(name.into(), bare_url(url).into());
        }
    }
    document.insert("status".into(), job.status.as_str().into());
    document.insert("createdDateTime".into(), json!(job.created));
    if job.kind == JobKind::Imports {
        document.insert("lastActionDateTime".into(), json!(job.last_action));
    }
    for (name, time) in [("finishedDateTime", job.finished), ("purgeDateTime", job.purge)] {
        if let Some(time) = time {
            document.insert(name.into(), json!(time));
        }
    }
    if let Some(error) = &job.error {
        document.insert("error".into(), json!({ "code": error.code, "message": error.message }));
    }
    let progress = &job.progress;
    document.insert(
        "progress".into(),
        json!({
            "section": progress.section,
            "line": progress.line,
            "bytes": progress.offset,
            "models": progress.models,
            "twins": progress.twins,
            "relationships": progress.relationships,
            "unchanged": progress.unchanged,
            "failed": progress.failed,
        }),
    );
    Value::Object(document)
}
