//! `/registrations`: the records of devices that registered.

use axum::response::Response;
use pollux_model::Result;
use pollux_services::provisioning::contract::registration_state;

use super::call::Call;
use super::query::{Asked, page};
use super::{nothing, tagged};

/// `GET /registrations/{id}`.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let record = call.services.provisioning.registration(&call.caller, &call.dps, id).await?;
    Ok(tagged(&registration_state(&record), &record.etag))
}

/// `DELETE /registrations/{id}`: the device stays in its hub.
pub(super) async fn delete(call: Call, id: &str) -> Result<Response> {
    let expect = call.expected_by_delete()?;
    call.services.provisioning.delete_registration(&call.caller, &call.dps, id, expect).await?;
    Ok(nothing())
}

/// `POST /registrations/{group}/query`.
pub(super) async fn query(mut call: Call, group: &str) -> Result<Response> {
    let list = format!("registrations/{}", group.to_ascii_lowercase());
    let asked = Asked::of(&mut call, &list, &["registrations", "deviceRegistrations"]).await?;
    let (after, limit) = (asked.paging.after.as_deref(), asked.paging.limit);
    let provisioning = &call.services.provisioning;
    let found = provisioning.registrations_of_group(&call.caller, &call.dps, group, after, limit).await?;
    let rows = found.items.iter().map(registration_state).collect();
    Ok(page(&asked, "deviceRegistration", rows, found.next.as_deref()))
}
