//! `/digitaltwins/{id}/telemetry` and `/digitaltwins/{id}/components/{path}/telemetry`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use pollux_services::Services;
use pollux_services::twins::PublishTelemetry;

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Ids};

/// When what it tells of happened; the second is an older name.
const SOURCE_TIME: [&str; 2] = ["telemetry-source-time", "dt-timestamp"];

/// `POST` on behalf of a twin.
pub(super) async fn from_twin(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(twin): Ids<String>,
    body: Body,
) -> Answer {
    publish(&services, &call, twin, None, body).await
}

/// `POST` on behalf of a component.
pub(super) async fn from_component(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((twin, component)): Ids<(String, String)>,
    body: Body,
) -> Answer {
    publish(&services, &call, twin, Some(component), body).await
}

async fn publish(
    services: &Services,
    call: &Call,
    twin: String,
    component: Option<String>,
    body: Body,
) -> Answer {
    let telemetry = PublishTelemetry {
        twin,
        component,
        message_id: call.header("message-id").unwrap_or_default().to_owned(),
        source_time: SOURCE_TIME.into_iter().find_map(|name| call.header(name)).map(str::to_owned),
        payload: body::small_text(services, body).await?,
    };
    services.twins.publish_telemetry(&call.caller, &call.instance, telemetry).await?;
    Ok(answer::nothing())
}
