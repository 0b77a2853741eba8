//! `POST /devices/{id}/messages/events`: a device sends telemetry over HTTPS, one message with its properties in headers, or
//! many as JSON (`http.js` of npm's azure-iot-device-http).
//!
//! ```text
//!   Content-Type: application/vnd.microsoft.iothub.json
//!   [{"body": "<base64>", "properties": {"iothub-app-<name>": "<value>", "iothub-messageid": "…"}}, …]
//! ```

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use pollux_model::{DeviceId, Error, Result};
use pollux_services::hub::hub_event::System;
use pollux_services::hub::telemetry::Telemetry;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::Call;
use super::{nothing, properties};

const BATCH: &str = "application/vnd.microsoft.iothub.json";
const APPLICATION: &str = "iothub-app-";
/// Messages of one batch: as many as one of 256 KiB can hold that have bodies of some bytes. Ours.
const MOST: usize = 4096;

/// A message of a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchMessage {
    body: String,
    /// True when left out.
    base64_encoded: Option<bool>,
    #[serde(default)]
    properties: Map<String, Value>,
}

/// 204 when all of it is durable.
pub(super) async fn send(mut call: Call, id: &str) -> Result<Response> {
    let id = DeviceId::parse(id)?;
    let limit = call.services.context.limits.device_message;
    let kind = call.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let many = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(BATCH));
    // Base64 takes four bytes for three, and what is around it some more.
    let body = call.bytes(if many { limit.saturating_mul(2) } else { limit }).await?;
    let messages = if many { batch(&body)? } else { vec![single(&call, body)?] };
    let taken = call.services.hub.telemetry(&call.caller, &call.hub, &id.into(), messages).await;
    taken.refused.map_or_else(|| Ok(nothing()), Err)
}

fn single(call: &Call, body: Bytes) -> Result<Telemetry> {
    let headers = &call.headers;
    let sent = properties::system(headers)?;
    let system = System {
        message_id: sent.message_id,
        correlation_id: sent.correlation_id,
        user_id: sent.user_id,
        content_type: sent.content_type,
        content_encoding: sent.content_encoding,
        creation_time: properties::one(headers, "iothub-creation-time-utc")?,
        component: properties::one(headers, "dt-subject")?,
        ..System::default()
    };
    Ok(Telemetry { properties: properties::application(headers)?, system, body })
}

fn batch(body: &[u8]) -> Result<Vec<Telemetry>> {
    let messages: Vec<BatchMessage> = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the body is not the JSON expected: {error}")))?;
    if messages.len() > MOST {
        return Err(Error::invalid(format!("a batch may have {MOST} messages at most")));
    }
    messages.into_iter().map(one).collect()
}

fn one(message: BatchMessage) -> Result<Telemetry> {
    let body = match message.base64_encoded {
        Some(false) => message.body.into_bytes(),
        _ => STANDARD.decode(&message.body).map_err(|_| Error::invalid("a body is not base64"))?,
    };
    let mut telemetry = Telemetry { body: Bytes::from(body), ..Telemetry::default() };
    for (name, value) in message.properties {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let lower = name.to_ascii_lowercase();
        if lower.starts_with(APPLICATION) {
            let own = name.get(APPLICATION.len()..).unwrap_or_default().to_owned();
            // Of a batch the moment it was made comes so ("Create and read IoT Hub messages").
            if own == "iothub-creation-time-utc" {
                telemetry.system.creation_time = Some(value);
            } else {
                telemetry.properties.push((own, value));
            }
            continue;
        }
        let system = &mut telemetry.system;
        let slot = match lower.as_str() {
            "iothub-messageid" => &mut system.message_id,
            "iothub-correlationid" => &mut system.correlation_id,
            "iothub-userid" => &mut system.user_id,
            "iothub-contenttype" => &mut system.content_type,
            "iothub-contentencoding" => &mut system.content_encoding,
            "dt-subject" => &mut system.component,
            _ => continue,
        };
        *slot = Some(value);
    }
    Ok(telemetry)
}
