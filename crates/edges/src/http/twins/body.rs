//! Bodies: JSON, bounded, with the real service's words for what is not.

use axum::body::Body;
use http::StatusCode;
use pollux_model::Error;
use pollux_services::Services;
use serde_json::Value;

use super::answer::{self, Failure};

/// A JSON body.
pub(super) async fn json(services: &Services, body: Body) -> Result<Value, Failure> {
    let bytes = crate::http::body::read(body, services.context.limits.request_body).await?;
    if bytes.is_empty() {
        let message = "A non-empty request body is required.";
        return Err(answer::error(StatusCode::BAD_REQUEST, "BadRequest", message).into());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid(format!("Payload is invalid: {error}.")).into())
}

/// A JSON Patch document: an array of objects. What is in them is for the service to judge.
pub(super) async fn patch(services: &Services, body: Body) -> Result<Value, Failure> {
    let patch = json(services, body).await?;
    let Value::Array(items) = &patch else {
        return Err(answer::problem("", "A JSON Patch document is an array of operations.").into());
    };
    let Some(at) = items.iter().position(|item| !item.is_object()) else { return Ok(patch) };
    let shown = pollux_model::ids::shown(&items[at].to_string());
    let message = format!("Error converting value {shown} to a JSON Patch operation. Path '[{at}]'.");
    Err(answer::problem(&format!("[{at}]"), &message).into())
}
