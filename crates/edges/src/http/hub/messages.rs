//! `POST /messages/devicebound`: a service sends a cloud-to-device message (REST API of the first versions; today's clients
//! send over AMQP). `DELETE /devices/{id}/commands`: it purges the queue.

use axum::response::Response;
use pollux_model::resource::ResourceKind;
use pollux_model::{Error, Result};
use pollux_services::hub::cloud_to_device::{Ack, CloudMessage};
use pollux_services::{HubAction, Right};
use serde_json::json;

use super::call::Call;
use super::{json as document, nothing, properties};

/// 204 when it is durable. `iothub-to`, or `to`, names the device: `/devices/{id}/messages/devicebound`.
pub(super) async fn send(mut call: Call) -> Result<Response> {
    // Before anything is said of the message.
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(HubAction::MessagesSend))?;
    let body = call.bytes(call.services.context.limits.cloud_message).await?;
    let headers = &call.headers;
    let to = match properties::one(headers, "iothub-to")? {
        Some(to) => Some(to),
        None => properties::one(headers, "to")?,
    };
    let device = to.as_deref().and_then(addressed);
    let device = device.ok_or_else(|| {
        Error::invalid("the header iothub-to must name the device: /devices/{id}/messages/devicebound")
    })?;
    let ack = match properties::one(headers, "iothub-ack")? {
        None => Ack::None,
        Some(ack) => Ack::parse(&ack)
            .ok_or_else(|| Error::invalid("iothub-ack must be none, positive, negative or full"))?,
    };
    let message = CloudMessage {
        system: properties::system(headers)?,
        ack,
        properties: properties::application(headers)?,
        body,
    };
    call.services.hub.send_message(&call.caller, &call.hub, &device, message).await?;
    Ok(nothing())
}

/// `PurgeMessageQueueResult` of the REST API.
pub(super) async fn purge(call: Call, id: &str) -> Result<Response> {
    let purged = call.services.hub.purge_messages(&call.caller, &call.hub, id).await?;
    Ok(document(&json!({ "totalMessagesPurged": purged, "deviceId": id, "moduleId": null })))
}

/// The device in `/devices/{id}/messages/devicebound`, which may be percent-encoded.
fn addressed(to: &str) -> Option<String> {
    let mut path = to.trim_start_matches('/').split('/');
    let (devices, id, messages, bound) = (path.next()?, path.next()?, path.next()?, path.next()?);
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    if path.next().is_some()
        || !is(devices, "devices")
        || !is(messages, "messages")
        || !is(bound, "devicebound")
    {
        return None;
    }
    Some(percent_encoding::percent_decode_str(id).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::addressed;

    #[test]
    fn the_device_is_in_the_address() {
        for (to, device) in [
            ("/devices/d1/messages/devicebound", Some("d1")),
            ("devices/d%201/Messages/DeviceBound", Some("d 1")),
            ("/devices/d1/messages/events", None),
            ("/devices/d1/messages/devicebound/x", None),
            ("d1", None),
            ("", None),
        ] {
            assert_eq!(addressed(to).as_deref(), device, "{to}");
        }
    }
}
