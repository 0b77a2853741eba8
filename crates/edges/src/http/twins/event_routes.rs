//! `/eventroutes[/{id}]`. An instance has no endpoints yet, so there is no route that could be made: every answer here is
//! what the real service gives of an instance without endpoints.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use pollux_model::resource::ResourceKind;
use pollux_services::{Right, Services};
use serde_json::json;

use super::answer::{self, Answer};
use super::call::Call;

/// `GET` of the list.
pub(super) async fn list(State(_): State<Arc<Services>>, call: Call) -> Answer {
    call.caller.require(ResourceKind::Twins, &call.instance, Right::TwinsRead)?;
    Ok(answer::json(StatusCode::OK, &json!({ "value": [], "nextLink": null })))
}

/// `GET`: no route of any id.
pub(super) async fn get(call: Call) -> Answer {
    call.caller.require(ResourceKind::Twins, &call.instance, Right::TwinsRead)?;
    Ok(not_found())
}

/// `PUT`: no endpoint of any name.
pub(super) async fn put(call: Call) -> Answer {
    call.caller.require(ResourceKind::Twins, &call.instance, Right::TwinsWrite)?;
    let message = "The endpoint provided does not exist or is not active. Check that your endpoint is provisioned \
                   correctly. See event route documentation (http://aka.ms/ADTv2Routes).";
    Ok(answer::error(StatusCode::BAD_REQUEST, "EventRouteEndpointInvalid", message))
}

/// `DELETE`: no route of any id.
pub(super) async fn delete(call: Call) -> Answer {
    call.caller.require(ResourceKind::Twins, &call.instance, Right::TwinsWrite)?;
    Ok(not_found())
}

fn not_found() -> axum::response::Response {
    let message = "There is no route available that matches the provided input. Check for all valid event routes by \
                   calling EventRoute_List. See Swagger example (http://aka.ms/RouteSwSmpl).";
    answer::error(StatusCode::NOT_FOUND, "EventRouteNotFound", message)
}
