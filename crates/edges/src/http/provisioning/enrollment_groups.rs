//! `/enrollmentGroups`.

use axum::response::Response;
use pollux_model::Result;
use pollux_services::provisioning::contract::{self, Keys};

use super::call::Call;
use super::enrollment_json::GroupBody;
use super::query::{Asked, page};
use super::{json, nothing, tagged};

/// `GET`: without keys.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let found = call.services.provisioning.enrollment_group(&call.caller, &call.dps, id).await?;
    Ok(tagged(&contract::group(&found, Keys::Hidden), &found.rules.etag))
}

/// `PUT`: creates it, with `If-Match` changes it; answers with keys.
pub(super) async fn put(mut call: Call, id: String) -> Result<Response> {
    let expect = call.expected_by_put()?;
    let input = call.json::<GroupBody>().await?.input(id)?;
    let provisioning = &call.services.provisioning;
    let made = provisioning.put_enrollment_group(&call.caller, &call.dps, input, Some(expect)).await?;
    Ok(tagged(&contract::group(&made, Keys::Shown), &made.rules.etag))
}

/// `DELETE`: its devices stay where they are, and so do their records.
pub(super) async fn delete(call: Call, id: &str) -> Result<Response> {
    let expect = call.expected_by_delete()?;
    call.services.provisioning.delete_enrollment_group(&call.caller, &call.dps, id, expect).await?;
    Ok(nothing())
}

/// `POST …/attestationmechanism`: the keys.
pub(super) async fn keys(call: Call, id: &str) -> Result<Response> {
    let found = call.services.provisioning.group_attestation(&call.caller, &call.dps, id).await?;
    Ok(json(&contract::attestation(&found, Keys::Shown)))
}

/// `POST /enrollmentGroups/query`.
pub(super) async fn query(mut call: Call) -> Result<Response> {
    let asked = Asked::of(&mut call, "enrollmentGroups", &["enrollmentGroups"]).await?;
    let (after, limit) = (asked.paging.after.as_deref(), asked.paging.limit);
    let found = call.services.provisioning.enrollment_groups(&call.caller, &call.dps, after, limit).await?;
    let rows = found.items.iter().map(|item| contract::group(item, Keys::Hidden)).collect();
    Ok(page(&asked, "enrollmentGroup", rows, found.next.as_deref()))
}
