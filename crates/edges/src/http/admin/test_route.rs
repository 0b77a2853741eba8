//! `POST /admin/resources/hub/{name}/test-routes`: which routes a message would take.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use pollux_model::resource::{ResourceKind, RouteSource};
use pollux_model::{DeviceId, Result};
use pollux_services::Caller;
use pollux_services::hub::{HubEvent, System, TestMessage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Admin, refusal};
use crate::http::body;

/// A message, and the condition to try in place of the hub's routes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    #[serde(default = "telemetry")]
    source: RouteSource,
    condition: Option<String>,
    /// The device it is from, or about: conditions see its twin.
    device_id: Option<String>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    app_properties: Map<String, Value>,
    #[serde(default)]
    system_properties: SystemProperties,
}

const fn telemetry() -> RouteSource {
    RouteSource::DeviceMessages
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SystemProperties {
    message_id: Option<String>,
    correlation_id: Option<String>,
    user_id: Option<String>,
    to: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    creation_time_utc: Option<String>,
    #[serde(rename = "dt-dataschema")]
    model_id: Option<String>,
    #[serde(rename = "dt-subject")]
    component: Option<String>,
}

pub(super) async fn run(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    match tested(&admin, &name, &caller, body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refusal(&error),
    }
}

async fn tested(admin: &Admin, name: &str, caller: &Caller, body: Body) -> Result<Value> {
    let wanted: Wanted = body::json(body, admin.services.context.limits.request_body).await?;
    let name = pollux_model::ResourceName::parse(name)?;
    let hub = admin.services.resources.get(caller, ResourceKind::Hub, &name)?;
    let device = wanted.device_id.as_deref().map(DeviceId::parse).transpose()?;
    let system = wanted.system_properties;
    let is_json = wanted.body.as_ref().is_some_and(|body| !body.is_string());
    // Who gives JSON means JSON, as the article's conditions have it: they compare with case ("IoT Hub message routing query
    // syntax").
    let kind = |said: Option<String>, json: &str| said.or_else(|| is_json.then(|| json.to_owned()));
    let event = HubEvent {
        source: wanted.source,
        device_id: device.as_ref().map(ToString::to_string).unwrap_or_default(),
        module_id: None,
        properties: wanted.app_properties.into_iter().map(|(name, value)| (name, text(value))).collect(),
        system: System {
            message_id: system.message_id,
            correlation_id: system.correlation_id,
            user_id: system.user_id,
            to: system.to,
            content_type: kind(system.content_type, "application/json"),
            content_encoding: kind(system.content_encoding, "UTF-8"),
            creation_time: system.creation_time_utc,
            model_id: system.model_id,
            component: system.component,
            enqueued: admin.services.context.clock.now(),
            ..System::default()
        },
        body: wanted.body.map(text).unwrap_or_default().into(),
    };
    let message = TestMessage { event, device };
    let services = &admin.services.hub;
    Ok(match wanted.condition {
        Some(condition) => {
            json!({ "result": services.test_condition(caller, &hub, &condition, message).await? })
        }
        None => {
            let tested = services.test_routes(caller, &hub, message).await?;
            json!({ "routes": tested.routes, "fallbackRoute": tested.fallback })
        }
    })
}

/// As a device would send it.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
