//! `/digitaltwins/{id}`, `/digitaltwins/{id}/commands/{name}`, `/digitaltwins/{id}/components/{path}/commands/{name}`. An id is
//! `device` or `device~module` (`DigitalTwinClient` of the service SDKs).

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{ETAG, HeaderName, HeaderValue, LOCATION};
use pollux_model::resource::ResourceKind;
use pollux_model::{Error, Result};
use pollux_services::hub::{MethodInput, digital_twin_id};
use pollux_services::{HubAction, Right};
use serde_json::Value;

use super::call::Call;
use super::{json, tagged};
use crate::http::rest::{IfMatch, etag_header};

/// The device's own status.
const STATUS: HeaderName = HeaderName::from_static("x-ms-command-statuscode");
/// Names the request.
const REQUEST: HeaderName = HeaderName::from_static("x-ms-request-id");

/// `GET`: the digital twin.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let id = digital_twin_id(id)?;
    let (document, etag) = call.services.hub.digital_twin(&call.caller, &call.hub, &id).await?;
    Ok(tagged(&document, &etag))
}

/// `PATCH`: 202 without a body.
pub(super) async fn patch(mut call: Call, name: &str) -> Result<Response> {
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(HubAction::TwinsWrite))?;
    let (id, etag) = (digital_twin_id(name)?, IfMatch::of(&call.headers)?.etag());
    let patch: Value = call.json().await?;
    let hub = &call.services.hub;
    let etag = hub.update_digital_twin(&call.caller, &call.hub, &id, &patch, etag).await?;
    let mut response = StatusCode::ACCEPTED.into_response();
    if let Some(etag) = etag_header(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    if let Ok(location) = HeaderValue::from_str(&format!("/digitaltwins/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `POST`: 200 with what the device answered; its status is a header.
pub(super) async fn invoke(
    mut call: Call,
    name: &str,
    component: Option<&str>,
    command: String,
) -> Result<Response> {
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(HubAction::MethodsInvoke))?;
    let id = digital_twin_id(name)?;
    let seconds = |name: &str| {
        let text = call.parameters.get(name).filter(|text| !text.is_empty());
        let bad = |_| Error::invalid(format!("{name} must be a number of seconds"));
        text.map(|text| text.parse::<u64>().map_err(bad)).transpose()
    };
    let connect_timeout = seconds("connectTimeoutInSeconds")?;
    let response_timeout = seconds("responseTimeoutInSeconds")?;
    let body = call.bytes(call.services.context.limits.request_body).await?;
    let payload = match body.is_empty() {
        true => None,
        false => Some(
            serde_json::from_slice(&body)
                .map_err(|_| Error::invalid("what goes with a command must be JSON"))?,
        ),
    };
    let input = MethodInput { name: command, payload, response_timeout, connect_timeout };
    let hub = &call.services.hub;
    let answer = hub.invoke_command(&call.caller, &call.hub, &id, component, input).await?;
    let mut response = json(&answer.payload);
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(answer.status));
    let request = call.services.context.random.uuid().to_string();
    if let Ok(request) = HeaderValue::from_str(&request) {
        headers.insert(REQUEST, request);
    }
    Ok(response)
}
