//! `/jobs/v2/{id}`, `/jobs/v2/{id}/cancel` and `/jobs/v2/query`.

use axum::response::Response;
use http::HeaderValue;
use pollux_model::resource::ResourceKind;
use pollux_model::scheduled_job::ScheduledJobStatus;
use pollux_model::{Error, Result, ids};
use pollux_services::hub::JobFilter;
use pollux_services::{HubAction, Right};
use serde_json::Value;

use super::call::Call;
use super::job_json::{self, JobBody};
use super::json;
use crate::http::rest::{CONTINUATION, ITEM_TYPE, Paging, seal};

/// `PUT`: schedules it; 200.
pub(super) async fn create(mut call: Call, id: String) -> Result<Response> {
    // Before anything is said of the body.
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(HubAction::JobsWrite))?;
    let input = call.json::<JobBody>().await?.input(id)?;
    let job = call.services.hub.create_job(&call.caller, &call.hub, input).await?;
    Ok(json(&job_json::accepted(&job)))
}

/// `GET`: the job; 200 for one that is not known too, as clients expect it (az iot hub job looks for the status `unknown`).
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let job = call.services.hub.job(&call.caller, &call.hub, id).await?;
    Ok(json(&job.map_or_else(|| job_json::unknown(id), |job| job_json::job(&job))))
}

/// `POST …/cancel`: the job, cancelled.
pub(super) async fn cancel(call: Call, id: &str) -> Result<Response> {
    let job = call.services.hub.cancel_job(&call.caller, &call.hub, id).await?;
    Ok(json(&job_json::job(&job)))
}

/// `GET /jobs/v2/query?jobType=&jobStatus=`: a page of jobs.
pub(super) async fn list(call: Call) -> Result<Response> {
    let given = |name: &str| call.parameters.get(name).filter(|text| !text.is_empty());
    let filter = JobFilter {
        kind: given("jobType").map(job_json::job_type).transpose()?,
        status: given("jobStatus").map(status).transpose()?,
    };
    let list = format!("hub/{}/jobs/{filter:?}", call.hub.name);
    let Paging { after, limit } = Paging::of(&call.headers, &list)?;
    let page = call.services.hub.jobs(&call.caller, &call.hub, filter, after.as_deref(), limit).await?;
    let mut response = json(&Value::Array(page.items.iter().map(job_json::job).collect()));
    response.headers_mut().insert(ITEM_TYPE, HeaderValue::from_static("jobResponse"));
    if let Some(token) = page.next.and_then(|next| seal(&list, &next)) {
        response.headers_mut().insert(CONTINUATION, token);
    }
    Ok(response)
}

fn status(name: &str) -> Result<ScheduledJobStatus> {
    ScheduledJobStatus::named(name).ok_or_else(|| {
        let all = ScheduledJobStatus::ALL.map(ScheduledJobStatus::as_str).join(", ");
        Error::invalid(format!("jobStatus '{}' is none: use one of {all}", ids::shown(name)))
    })
}
