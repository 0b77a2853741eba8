//! `/messages/servicebound/feedback`: a service receives feedback over HTTPS and settles it (REST reference, "Receive
//! Feedback Notification"). The ETag is the lock token.

use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use pollux_model::Result;
use pollux_services::hub::cloud_to_device::{FEEDBACK_CONTENT_TYPE, Settle};

use super::call::Call;
use super::nothing;
use super::properties::set;

/// `GET`: the next feedback, 204 when there is none.
pub(super) async fn receive(call: Call) -> Result<Response> {
    let Some(batch) = call.services.hub.receive_feedback(&call.caller, &call.hub).await? else {
        return Ok(nothing());
    };
    let mut response = batch.body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(FEEDBACK_CONTENT_TYPE));
    set(headers, "iothub-enqueuedtime", &batch.enqueued.to_string());
    set(headers, "iothub-sequencenumber", &batch.sequence.to_string());
    set(headers, "iothub-deliverycount", &batch.delivery_count.to_string());
    set(headers, "iothub-userid", &call.hub.name);
    set(headers, "etag", &format!("\"{}\"", batch.lock_token));
    Ok(response)
}

/// `DELETE …/{lock token}`: completes it.
pub(super) async fn end(call: Call, lock_token: &str) -> Result<Response> {
    settled(call, lock_token, Settle::Complete).await
}

/// `POST …/{lock token}/abandon`.
pub(super) async fn abandon(call: Call, lock_token: &str) -> Result<Response> {
    settled(call, lock_token, Settle::Abandon).await
}

async fn settled(call: Call, lock_token: &str, settle: Settle) -> Result<Response> {
    call.services.hub.settle_feedback(&call.caller, &call.hub, lock_token, settle).await?;
    Ok(nothing())
}
