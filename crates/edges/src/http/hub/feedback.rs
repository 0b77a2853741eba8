//! `/messages/servicebound/feedback`, `/messages/servicebound/filenotifications`: a service receives feedback, or hears of files,
//! over HTTPS and settles it (REST reference, "Receive Feedback Notification", "Receive File Notification"). The ETag is the lock
//! token.

use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use pollux_model::Result;
use pollux_services::hub::cloud_to_device::{FEEDBACK_CONTENT_TYPE, Notices, Settle};

use super::call::Call;
use super::nothing;
use super::properties::set;

/// What a word of a path means. The article on uploads has a name of its own for what all clients call otherwise.
pub(super) fn named(word: &str) -> Option<Notices> {
    let is = |wanted: &str| word.eq_ignore_ascii_case(wanted);
    if is("feedback") {
        Some(Notices::Feedback)
    } else if is("filenotifications") || is("fileuploadnotifications") {
        Some(Notices::Files)
    } else {
        None
    }
}

/// `GET`: the next of it, 204 when there is none.
pub(super) async fn receive(call: Call, which: Notices) -> Result<Response> {
    let received = call.services.hub.receive_notices(&call.caller, &call.hub, which).await?;
    let Some(batch) = received else { return Ok(nothing()) };
    let kind = match which {
        Notices::Feedback => FEEDBACK_CONTENT_TYPE,
        Notices::Files => "application/json; charset=utf-8",
    };
    let mut response = batch.body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    set(headers, "iothub-enqueuedtime", &batch.enqueued.to_string());
    set(headers, "iothub-sequencenumber", &batch.sequence.to_string());
    set(headers, "iothub-deliverycount", &batch.delivery_count.to_string());
    set(headers, "iothub-userid", &call.hub.name);
    set(headers, "etag", &format!("\"{}\"", batch.lock_token));
    Ok(response)
}

/// `DELETE …/{lock token}`: completes it.
pub(super) async fn end(call: Call, which: Notices, lock_token: &str) -> Result<Response> {
    settled(call, which, (lock_token, Settle::Complete)).await
}

/// `POST …/{lock token}/abandon`.
pub(super) async fn abandon(call: Call, which: Notices, lock_token: &str) -> Result<Response> {
    settled(call, which, (lock_token, Settle::Abandon)).await
}

async fn settled(call: Call, which: Notices, settle: (&str, Settle)) -> Result<Response> {
    call.services.hub.settle_notices(&call.caller, &call.hub, which, settle).await?;
    Ok(nothing())
}
