//! The operator's API, for the command line and the console: JSON under `/admin/`, by the admin key.
//!
//! ```text
//!   GET    /admin/connections                                   what connections.json holds
//!   GET    /admin/resources[?kind=][&group=]                    POST, GET, PATCH, DELETE …/{kind}/{name}
//!   PUT    /admin/resources/dps/{name}/linked-hubs/{hub}        DELETE
//!   GET    /admin/resources/{kind}/{name}/certificates          of dps and hub; GET, PUT, DELETE …/{certificate}
//!   POST   …/certificates/{certificate}/verification-code       POST …/verify {"certificate": "…"}
//!   GET    /admin/resources/dps/{name}/issuer                   PUT {"certificate", "key", "days"}, DELETE
//!   PUT    /admin/resources/hub/{name}/endpoints/{endpoint}     DELETE
//!   GET    /admin/resources/{kind}/{name}/endpoints-health      of hub and twins: how they fare
//!   PUT    /admin/resources/hub/{name}/routes/{route}           DELETE
//!   POST   /admin/resources/hub/{name}/test-routes              which would take this message
//!   PUT    /admin/resources/hub/{name}/enrichments/{key}        DELETE
//!   GET    /admin/resources/hub/{name}/quota-metrics            messages of the day, devices, and how many there may be
//!   GET    /admin/resources/events/{name}/event-hubs            GET, PUT, DELETE …/{hub}
//!   GET    /admin/resources/events/{name}/event-hubs/{hub}/consumer-groups      PUT, DELETE …/{group}
//!   GET    /admin/resources/hub/{name}/consumer-groups          of its built-in endpoint; PUT, DELETE …/{group}
//!   GET    /admin/resources/events/{name}/event-hubs/{hub}/policies             GET, PUT, DELETE …/{policy}
//!   GET    /admin/resources/{kind}/{name}/policies              GET, PUT, DELETE …/{policy}
//!   POST   …/policies/{policy}/regenerate-key                   {"key": "primary"} or "secondary"
//!   GET    /admin/resources/{kind}/{name}/dead-letters          of functions and hub; GET, DELETE …/{id}, POST …/replay
//!   POST   /admin/resources/{kind}/{name}/regenerate-key        {"policy": "…", "key": "primary"}
//!   GET    /admin/groups                                        GET, DELETE …/{group}
//!   GET    /admin/health
//! ```
//!
//! Keys are in what answers for one resource or one policy, and in no list.

mod certificate_issuer;
mod certificates;
mod consumer_groups;
mod dead_letters;
mod endpoint_health;
mod event_hubs;
#[cfg(test)]
mod fixture;
mod functions;
mod groups;
mod policies;
mod quota_metrics;
mod resources;
mod status;
mod test_route;
mod view;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use pollux_model::Result;
use pollux_services::Services;
use serde_json::{Value, json};

use super::About;
use super::dispatch::refuse;
use crate::authenticate;

pub(super) use status::refusal;

/// What the admin routes share.
#[derive(Clone)]
struct Admin {
    services: Arc<Services>,
    about: About,
}

pub(super) fn router(services: Arc<Services>, about: About) -> Router {
    let admin = Admin { services: Arc::clone(&services), about };
    Router::new()
        .route("/admin/connections", get(connections))
        .route("/admin/health", get(health))
        .merge(resources::routes())
        .merge(event_hubs::routes())
        .merge(certificate_issuer::routes())
        .merge(certificates::routes())
        .merge(consumer_groups::routes())
        .merge(policies::routes())
        .merge(functions::routes())
        .merge(quota_metrics::routes())
        .merge(dead_letters::routes())
        .merge(endpoint_health::routes())
        .merge(groups::routes())
        .with_state(admin)
        .fallback(async || refuse(StatusCode::NOT_FOUND, "NotFound", "the admin API has no such path"))
        .layer(from_fn_with_state(services, authenticated))
}

/// Nothing under `/admin/` is answered before the key is known to hold; handlers get the caller as an extension.
async fn authenticated(State(services): State<Arc<Services>>, mut request: Request, next: Next) -> Response {
    match authenticate::admin(&services, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let answer = next.run(request).await;
            ([(CACHE_CONTROL, "no-store")], answer).into_response()
        }
        Err(error) => refusal(&error),
    }
}

async fn connections(State(admin): State<Admin>) -> Json<Value> {
    Json((admin.about.connections)())
}

async fn health(
    State(admin): State<Admin>,
    Extension(_caller): Extension<pollux_services::Caller>,
) -> Response {
    let context = &admin.services.context;
    let store = context.store.healthy().await;
    let streams = context.log.streams().await;
    let said = |problem: Option<String>| problem.map_or_else(|| json!("ok"), |problem| json!(problem));
    let healthy = store.is_ok() && streams.is_ok();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "store": said(store.err().map(|error| error.to_string())),
        "events": said(streams.as_ref().err().map(ToString::to_string)),
        "streams": streams.map_or(0, |streams| streams.len()),
        "resources": context.table.all().len(),
    });
    (status, Json(body)).into_response()
}

fn answer(result: Result<Value>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => refusal(&error),
    }
}

fn nothing(result: Result<()>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal(&error),
    }
}
