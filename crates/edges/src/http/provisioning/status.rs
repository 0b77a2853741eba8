//! Errors over HTTP. Statuses, codes and the envelope are in [`crate::provisioning_status`], which MQTT shares.

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use pollux_model::Error;
use pollux_services::Services;
use serde_json::{Value, json};

use crate::provisioning_status;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// What the caller is answered.
pub(super) fn refusal(services: &Services, error: &Error) -> Response {
    let (status, code) = provisioning_status::status(error.code);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = enveloped(status, code, &provisioning_status::envelope(&services.context, error));
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The path takes other methods.
pub(super) fn not_allowed(services: &Services) -> Response {
    let error = Error::invalid("this path does not take this method");
    let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, 405_001);
    let mut envelope = provisioning_status::envelope(&services.context, &error);
    envelope["errorCode"] = json!(code);
    enveloped(status, code, &envelope)
}

fn enveloped(status: StatusCode, code: u32, envelope: &Value) -> Response {
    let mut response = super::json(envelope);
    *response.status_mut() = status;
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from(code));
    response
}
