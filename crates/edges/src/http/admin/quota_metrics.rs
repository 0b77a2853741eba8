//! `GET /admin/resources/hub/{name}/quota-metrics`: how much of its quotas a hub has used, in the shape of the ARM resource's
//! `quotaMetrics`: `{"value": [{"name": "TotalMessages", "currentValue", "maxValue"}, {"name": "TotalDeviceCount", …}]}`. Without a
//! `maxValue` any number is taken.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use pollux_model::Result;
use pollux_model::resource::ResourceKind;
use pollux_services::Caller;
use serde_json::{Value, json};

use super::{Admin, refusal};

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/admin/resources/hub/{name}/quota-metrics", get(show))
}

async fn show(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    match metrics(&admin, &caller, &name).await {
        Ok(value) => Json(json!({ "value": value })).into_response(),
        Err(error) => refusal(&error),
    }
}

async fn metrics(admin: &Admin, caller: &Caller, name: &str) -> Result<Value> {
    let services = &admin.services;
    let hub = services.resources.get(caller, ResourceKind::Hub, &super::resources::named(name)?)?;
    let found = services.hub.quota_metrics(caller, &hub).await?;
    let mut messages = json!({ "name": "TotalMessages", "currentValue": found.messages });
    if let Some(most) = found.most_messages {
        messages["maxValue"] = json!(most);
    }
    Ok(json!([messages, { "name": "TotalDeviceCount", "currentValue": found.devices }]))
}
