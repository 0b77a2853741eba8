//! Bodies: JSON, bounded, with the real service's words for what is not.

use axum::body::{Body, Bytes};
use http::StatusCode;
use pollux_model::{Error, ErrorCode};
use pollux_services::Services;
use serde_json::Value;

use super::answer::{self, Failure};

/// A JSON body about a twin, component, relationship or event route: they are small.
pub(super) async fn small(services: &Services, body: Body) -> Result<Value, Failure> {
    parse(&small_text(services, body).await?)
}

/// As [`small`], as it was sent: JSON is for the service to see in it.
pub(super) async fn small_text(services: &Services, body: Body) -> Result<Bytes, Failure> {
    let limits = &services.context.limits;
    let bytes = crate::http::body::read(body, limits.request_body).await?;
    // Judged once it is here: a client that is answered while it still sends may see a broken connection instead.
    if bytes.len() > limits.digital_twin {
        let message = format!("the body is larger than {} bytes", limits.digital_twin);
        return Err(Error::new(ErrorCode::TooLarge, message).into());
    }
    match bytes.is_empty() {
        true => Err(empty()),
        false => Ok(bytes),
    }
}

/// A JSON body of at most `limit` bytes.
pub(super) async fn json(body: Body, limit: usize) -> Result<Value, Failure> {
    parse(&crate::http::body::read(body, limit).await?)
}

fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    if bytes.is_empty() {
        return Err(empty());
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("Payload is invalid: {error}.")).into())
}

fn empty() -> Failure {
    let message = "A non-empty request body is required.";
    answer::error(StatusCode::BAD_REQUEST, "BadRequest", message).into()
}

/// A JSON Patch document: an array of objects. What is in them is for the service to judge.
pub(super) async fn patch(services: &Services, body: Body) -> Result<Value, Failure> {
    let patch = small(services, body).await?;
    let Value::Array(items) = &patch else {
        return Err(answer::problem("", "A JSON Patch document is an array of operations.").into());
    };
    let Some(at) = items.iter().position(|item| !item.is_object()) else { return Ok(patch) };
    let shown = pollux_model::ids::shown(&items[at].to_string());
    let message = format!("Error converting value {shown} to a JSON Patch operation. Path '[{at}]'.");
    Err(answer::problem(&format!("[{at}]"), &message).into())
}
