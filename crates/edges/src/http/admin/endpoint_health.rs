//! How the endpoints of a hub or digital twins instance fare: members as ARM has them ("Iot Hub Resource - Get Endpoint Health").
//!
//! ```text
//!   GET /admin/resources/hub|twins/{name}/endpoints-health   { "value": [{ "endpointId", "healthStatus", … }] }
//! ```

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use pollux_model::resource::ResourceKind;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_services::Caller;
use pollux_services::forwarding::EndpointHealth;
use serde_json::{Value, json};

use super::{Admin, answer};

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/admin/resources/{kind}/{name}/endpoints-health", get(list))
}

async fn list(
    State(admin): State<Admin>,
    Path((kind, name)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> Response {
    answer(found(&admin, &caller, &kind, &name).await)
}

async fn found(admin: &Admin, caller: &Caller, kind: &str, name: &str) -> Result<Value> {
    let kind: ResourceKind = kind.parse()?;
    if !matches!(kind, ResourceKind::Hub | ResourceKind::Twins) {
        let text = format!("a {kind} has no endpoints: hub and twins have");
        return Err(Error::new(ErrorCode::ResourceNotFound, text));
    }
    let keeper = admin.services.resources.get(caller, kind, &ResourceName::parse(name)?)?;
    let all = admin.services.forwarding.endpoint_health(caller, &keeper).await?;
    Ok(json!({ "value": all.iter().map(view).collect::<Vec<_>>() }))
}

/// What is not known is left out.
fn view(health: &EndpointHealth) -> Value {
    let mut view = json!({ "endpointId": health.endpoint, "healthStatus": health.status.as_str() });
    let when = |moment: Timestamp| json!(moment.http_date());
    if let Some((why, moment)) = &health.last_known_error {
        view["lastKnownError"] = json!(why);
        view["lastKnownErrorTime"] = when(*moment);
    }
    for (name, moment) in [
        ("lastSuccessfulSendAttemptTime", health.last_successful_send_attempt),
        ("lastSendAttemptTime", health.last_send_attempt),
    ] {
        if let Some(moment) = moment {
            view[name] = when(moment);
        }
    }
    view
}
