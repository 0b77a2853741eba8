//! What each error is over HTTP: the envelope of the provisioning service. Statuses and codes are in
//! [`crate::provisioning_status`], which MQTT shares.

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use pollux_model::Error;
use pollux_services::Services;
use serde_json::json;

use crate::provisioning_status;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// What the caller is answered.
pub(super) fn refusal(services: &Services, error: &Error) -> Response {
    let (status, code) = provisioning_status::status(error.code);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = refused(services, status, code, &error.message);
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The path takes other methods.
pub(super) fn not_allowed(services: &Services) -> Response {
    refused(services, StatusCode::METHOD_NOT_ALLOWED, 405_000, "this path does not take this method")
}

fn refused(services: &Services, status: StatusCode, code: u32, message: &str) -> Response {
    let mut response = super::json(&json!({
        "errorCode": code,
        "trackingId": services.context.random.uuid(),
        "message": message,
        "timestampUtc": services.context.clock.now(),
    }));
    *response.status_mut() = status;
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from(code));
    response
}
