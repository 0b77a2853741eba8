//! `/devices/{id}/messages/devicebound`: a device receives cloud-to-device messages over HTTPS and settles them (REST
//! reference, "Device"; `http.js` of npm's azure-iot-device-http). The ETag is the lock token.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderMap;
use pollux_model::message::{LockedBy, QueuedMessage};
use pollux_model::{DeviceId, Result};
use pollux_services::hub::cloud_to_device::{Ack, Settle};

use super::call::Call;
use super::nothing;
use super::properties::{set, set_application};

/// `GET`: the next message, 204 when there is none.
pub(super) async fn receive(call: Call, id: &str) -> Result<Response> {
    let id = DeviceId::parse(id)?;
    let hub = &call.services.hub;
    let received = hub.receive_messages(&call.caller, &call.hub, &id, LockedBy::Request, 1).await?;
    let Some(message) = received.messages.into_iter().next() else { return Ok(nothing()) };
    let mut response = Bytes::from(message.payload.clone()).into_response();
    describe(response.headers_mut(), &id, &message);
    Ok(response)
}

/// `DELETE …/{lock token}`: completes it; with `?reject`, rejects it.
pub(super) async fn end(call: Call, id: &str, lock_token: &str) -> Result<Response> {
    let settle = if call.parameters.get("reject").is_some() { Settle::Reject } else { Settle::Complete };
    settled(call, id, lock_token, settle).await
}

/// `POST …/{lock token}/abandon`.
pub(super) async fn abandon(call: Call, id: &str, lock_token: &str) -> Result<Response> {
    settled(call, id, lock_token, Settle::Abandon).await
}

async fn settled(call: Call, id: &str, lock_token: &str, settle: Settle) -> Result<Response> {
    let id = DeviceId::parse(id)?;
    call.services.hub.settle_message(&call.caller, &call.hub, &id, lock_token, settle).await?;
    Ok(nothing())
}

fn describe(headers: &mut HeaderMap, id: &DeviceId, message: &QueuedMessage) {
    let system = &message.system;
    let expires = message.expires.to_string();
    let ack = (message.ack != Ack::None).then(|| message.ack.as_str());
    for (name, value) in [
        ("iothub-messageid", system.message_id.as_deref()),
        ("iothub-correlationid", system.correlation_id.as_deref()),
        ("iothub-userid", system.user_id.as_deref()),
        ("iothub-contenttype", system.content_type.as_deref()),
        ("iothub-contentencoding", system.content_encoding.as_deref()),
        ("iothub-expiry", Some(expires.as_str())),
        ("iothub-ack", ack),
    ] {
        if let Some(value) = value {
            set(headers, name, value);
        }
    }
    set(headers, "iothub-to", &format!("/devices/{id}/messages/devicebound"));
    set(headers, "iothub-enqueuedtime", &message.enqueued.to_string());
    set(headers, "iothub-sequencenumber", &message.sequence.to_string());
    set(headers, "iothub-deliverycount", &message.delivery_count.to_string());
    set(headers, "etag", &format!("\"{}\"", message.etag));
    set_application(headers, &message.properties);
}
