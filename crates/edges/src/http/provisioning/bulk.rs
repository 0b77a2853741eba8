//! `POST /enrollments` and `POST /enrollmentGroups`: several of them by one request (REST reference, "Run Bulk Operation";
//! npm's `runBulkEnrollmentOperation`). The answer is 200 with what failed, each by its code.

use axum::response::Response;
use pollux_model::{Error, Etag, Result, ids};
use pollux_services::provisioning::{BulkErrors, BulkItem, BulkMode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::Call;
use super::enrollment_json::{GroupBody, IndividualBody};
use super::json as document;
use crate::provisioning_status;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkBody {
    mode: String,
    enrollments: Option<Vec<Value>>,
    enrollment_groups: Option<Vec<Value>>,
}

/// `POST /enrollments`.
pub(super) async fn enrollments(mut call: Call) -> Result<Response> {
    let body: BulkBody = call.json().await?;
    let mode = mode(&body.mode)?;
    let rows = body.enrollments.ok_or_else(|| Error::invalid("enrollments is missing: a list of them"))?;
    let item = |row| item(row, "registrationId", IndividualBody::input);
    let items = rows.into_iter().map(item).collect::<Result<_>>()?;
    let failed = call.services.provisioning.bulk_enrollments(&call.caller, &call.dps, mode, items).await?;
    Ok(answer("registrationId", &failed))
}

/// `POST /enrollmentGroups`.
pub(super) async fn groups(mut call: Call) -> Result<Response> {
    let body: BulkBody = call.json().await?;
    let mode = mode(&body.mode)?;
    let missing = || Error::invalid("enrollmentGroups is missing: a list of them");
    let rows = body.enrollment_groups.ok_or_else(missing)?;
    let item = |row| item(row, "enrollmentGroupId", GroupBody::input);
    let items = rows.into_iter().map(item).collect::<Result<_>>()?;
    let provisioning = &call.services.provisioning;
    let failed = provisioning.bulk_enrollment_groups(&call.caller, &call.dps, mode, items).await?;
    Ok(answer("enrollmentGroupId", &failed))
}

/// npm's declarations say `updateIfMatchEtag`, the REST reference `updateIfMatchETag`.
fn mode(text: &str) -> Result<BulkMode> {
    match text.to_ascii_lowercase().as_str() {
        "create" => Ok(BulkMode::Create),
        "update" => Ok(BulkMode::Update),
        "updateifmatchetag" => Ok(BulkMode::UpdateIfMatchEtag),
        "delete" => Ok(BulkMode::Delete),
        _ => Err(Error::invalid(format!(
            "mode '{}' is unknown: use create, update, updateIfMatchETag or delete",
            ids::shown(text)
        ))),
    }
}

/// One of the list; without an id nobody could be told what became of it.
fn item<B: DeserializeOwned, I>(
    row: Value,
    name: &str,
    input: impl Fn(B, String) -> Result<I>,
) -> Result<BulkItem<I>> {
    let id = row[name].as_str().ok_or_else(|| Error::invalid(format!("an enrollment has no {name}")))?;
    let (id, etag) = (id.to_owned(), row["etag"].as_str().map(bare));
    let read = serde_json::from_value::<B>(row);
    let read =
        read.map_err(|error| Error::invalid(format!("the enrollment is not the JSON expected: {error}")));
    Ok(BulkItem { input: read.and_then(|body| input(body, id.clone())), id, etag })
}

/// An etag as it is in a document, with quotes or without.
fn bare(text: &str) -> Etag {
    Etag::new(text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text))
}

fn answer(name: &str, failed: &BulkErrors) -> Response {
    let error = |(id, error): &(String, Error)| {
        let (_, code) = provisioning_status::status(error.code);
        json!({ name: id, "errorCode": code, "errorStatus": error.message })
    };
    let errors: Vec<_> = failed.iter().map(error).collect();
    document(&json!({ "isSuccessful": errors.is_empty(), "errors": errors }))
}
