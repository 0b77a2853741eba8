//! Whether the server is alive, ready, and its figures.
//!
//! `/health` and `/ready` say nothing but their status and are open to all; `/metrics` is for this machine and for the
//! operator.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use pollux_services::Services;

use super::About;
use super::admin::refusal;
use super::target::Peer;
use crate::authenticate;

#[derive(Clone)]
struct Health {
    services: Arc<Services>,
    about: About,
}

pub(super) fn router(services: Arc<Services>, about: About) -> Router {
    Router::new()
        .route("/health", get(async || (StatusCode::OK, "alive\n")))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Health { services, about })
}

async fn ready(State(health): State<Health>) -> Response {
    match health.services.context.store.healthy().await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready: the store cannot commit");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
        }
    }
}

async fn metrics(
    State(health): State<Health>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if !peer.0.ip().to_canonical().is_loopback()
        && let Err(error) = authenticate::admin(&health.services, &headers)
    {
        return refusal(&error);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], (health.about.metrics)()).into_response()
}
