//! `/devices/{id}/messages/devicebound`: a device receives cloud-to-device messages over HTTPS and settles them (REST
//! reference, "Device"; `http.js` of npm's azure-iot-device-http). The ETag is the lock token.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderMap;
use pollux_model::message::QueuedMessage;
use pollux_model::{DeviceId, Error, Result};
use pollux_services::hub::cloud_to_device::Settle;

use super::call::Call;
use super::nothing;
use super::properties::{one, set, set_application};

/// How long the message is the device's, in seconds (`--lock-timeout` of the Azure CLI's extension azure-iot).
const LOCK: &str = "iothub-messagelocktimeout";

/// `GET`: the next message, 204 when there is none.
pub(super) async fn receive(call: Call, id: &str) -> Result<Response> {
    let id = DeviceId::parse(id)?;
    let seconds = |text: String| match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err(Error::invalid(format!("{LOCK} must be a number of seconds"))),
    };
    let lock = one(&call.headers, LOCK)?.map(seconds).transpose()?;
    let received = call.services.hub.receive_message(&call.caller, &call.hub, &id, lock).await?;
    let Some(message) = received else { return Ok(nothing()) };
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
    let text = |text: &'_ Option<String>| Some(text.clone().unwrap_or_default());
    // The first three are there though they say nothing, and the headers of HTTP itself tell of the body
    // (`MESSAGING_HTTP_C2D_SYSTEM_PROPERTIES` of the Azure CLI's extension azure-iot, which reads both).
    for (name, value) in [
        ("iothub-messageid", text(&system.message_id)),
        ("iothub-correlationid", text(&system.correlation_id)),
        ("iothub-userid", text(&system.user_id)),
        ("iothub-contenttype", system.content_type.clone()),
        ("iothub-contentencoding", system.content_encoding.clone()),
        ("content-type", system.content_type.clone()),
        ("content-encoding", system.content_encoding.clone()),
        ("iothub-expiry", Some(message.expires.to_string())),
        ("iothub-ack", Some(message.ack.as_str().to_owned())),
    ] {
        if let Some(value) = value {
            set(headers, name, &value);
        }
    }
    set(headers, "iothub-to", &format!("/devices/{id}/messages/devicebound"));
    set(headers, "iothub-enqueuedtime", &message.enqueued.to_string());
    set(headers, "iothub-sequencenumber", &message.sequence.to_string());
    set(headers, "iothub-deliverycount", &message.delivery_count.to_string());
    set(headers, "etag", &format!("\"{}\"", message.etag));
    set_application(headers, &message.properties);
}
