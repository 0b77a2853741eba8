//! `/eventroutes[/{id}]`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use pollux_model::resource::EventRoute;
use pollux_model::{Error, Result};
use pollux_services::Services;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Ids};

/// `GET` of the list.
pub(super) async fn list(State(services): State<Arc<Services>>, call: Call) -> Answer {
    let listing = services.twins.event_routes(&call.caller, &call.instance, call.paging()?).await?;
    Ok(answer::page(listing, &call.link, |route| show(&route)))
}

/// `GET`: one event route.
pub(super) async fn get(State(services): State<Arc<Services>>, call: Call, Ids(id): Ids<String>) -> Answer {
    let route = services.twins.event_route(&call.caller, &call.instance, &id)?;
    Ok(answer::json(StatusCode::OK, &show(&route)))
}

/// `PUT`: makes or replaces it.
pub(super) async fn put(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
    body: Body,
) -> Answer {
    let route = read(id, &body::small(&services, body).await?)?;
    services.resources.put_event_route(&call.caller, &call.instance, route).await?;
    Ok(answer::nothing())
}

/// `DELETE`: removes it.
pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    services.resources.delete_event_route(&call.caller, &call.instance, &id).await?;
    Ok(answer::nothing())
}

fn show(route: &EventRoute) -> Value {
    json!({ "id": route.id, "endpointName": route.endpoint, "filter": route.filter })
}

/// An `id` in the body is read-only in the OpenAPI document: it is not looked at.
fn read(id: String, body: &Value) -> Result<EventRoute> {
    let text = |member: &str| match body.get(member) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(Error::invalid(format!("An event route needs {member}, a string."))),
    };
    Ok(EventRoute { id, endpoint: text("endpointName")?, filter: text("filter")? })
}
