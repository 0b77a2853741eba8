//! `/enrollments`: individual enrollments.

use axum::response::Response;
use pollux_model::Result;
use pollux_services::provisioning::contract::{self, Keys};

use super::call::Call;
use super::enrollment_json::IndividualBody;
use super::query::{Asked, page};
use super::{json, nothing, tagged};

/// `GET`: without keys.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let (found, record) = call.services.provisioning.enrollment(&call.caller, &call.dps, id).await?;
    Ok(tagged(&contract::individual(&found, Keys::Hidden, record.as_ref()), &found.rules.etag))
}

/// `PUT`: creates it, with `If-Match` changes it; answers with keys.
pub(super) async fn put(mut call: Call, id: String) -> Result<Response> {
    let expect = call.expected_by_put()?;
    let input = call.json::<IndividualBody>().await?.input(id)?;
    let provisioning = &call.services.provisioning;
    let made = provisioning.put_enrollment(&call.caller, &call.dps, input, Some(expect)).await?;
    Ok(tagged(&contract::individual(&made, Keys::Shown, None), &made.rules.etag))
}

/// `DELETE`.
pub(super) async fn delete(call: Call, id: &str) -> Result<Response> {
    let expect = call.expected_by_delete()?;
    call.services.provisioning.delete_enrollment(&call.caller, &call.dps, id, expect).await?;
    Ok(nothing())
}

/// `POST …/attestationmechanism`: the keys.
pub(super) async fn keys(call: Call, id: &str) -> Result<Response> {
    let found = call.services.provisioning.enrollment_attestation(&call.caller, &call.dps, id).await?;
    Ok(json(&contract::attestation(&found, Keys::Shown)))
}

/// `POST /enrollments/query`.
pub(super) async fn query(mut call: Call) -> Result<Response> {
    let asked = Asked::of(&mut call, "enrollments", &["enrollments"]).await?;
    let (after, limit) = (asked.paging.after.as_deref(), asked.paging.limit);
    let found = call.services.provisioning.enrollments(&call.caller, &call.dps, after, limit).await?;
    let rows = found.items.iter().map(|item| contract::individual(item, Keys::Hidden, None)).collect();
    Ok(page(&asked, "enrollment", rows, found.next.as_deref()))
}
