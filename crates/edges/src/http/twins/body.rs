//! Bodies: JSON, bounded, with the real service's words for what is not.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use pollux_model::Error;
use pollux_services::Services;
use serde_json::Value;

use super::answer::{self, Failure};

/// A JSON body.
pub(super) async fn json(services: &Services, body: Body) -> Result<Value, Response> {
    let bytes = crate::http::body::read(body, services.context.limits.request_body).await;
    let bytes = bytes.map_err(|error| Failure::from(error).into_response())?;
    if bytes.is_empty() {
        return Err(answer::error(StatusCode::BAD_REQUEST, "BadRequest", "A non-empty request body is required."));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::from(Error::invalid(format!("Payload is invalid: {error}."))).into_response())
}

/// A JSON Patch document: an array of objects. What is in them is for the service to judge.
pub(super) async fn patch(services: &Services, body: Body) -> Result<Value, Response> {
    let patch = json(services, body).await?;
    let Value::Array(items) = &patch else {
        return Err(answer::problem("", "A JSON Patch document is an array of operations."));
    };
    match items.iter().position(|item| !item.is_object()) {
        None => Ok(patch),
        Some(at) => {
            let shown = pollux_model::ids::shown(&items[at].to_string());
            let message = format!("Error converting value {shown} to a JSON Patch operation. Path '[{at}]'.");
            Err(answer::problem(&format!("[{at}]"), &message))
        }
    }
}
