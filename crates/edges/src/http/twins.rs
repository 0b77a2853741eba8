//! Azure Digital Twins' data plane over HTTP: the routes, and one file per noun. Rules are in `services::twins`.
//!
//! | path | file |
//! |---|---|
//! | `/models`, `/models/{id}` | `models` |
//! | `/digitaltwins/{id}` | `digital_twins` |
//! | `/digitaltwins/{id}/components/{path}` | `components` |
//! | `/digitaltwins/{id}/relationships`, `…/relationships/{id}`, `…/incomingrelationships` | `relationships` |
//! | `/digitaltwins/{id}/telemetry`, `…/components/{path}/telemetry` | `telemetry` |
//! | `/digitaltwins/{id}/history`, `…/relationships/{id}/history` | `history` |
//! | `/query` | `query` |
//! | `/jobs/imports`, `/jobs/deletions` | `jobs` |
//! | `/graph`, `/graph/counts` | `graph` |
//! | `/eventroutes`, `/eventroutes/{id}` | `event_routes` |
//!
//! What every request goes through: `call` (who, which instance, which API version), `body` (JSON in), `answer` (JSON
//! out), `status` (errors to ADT's codes).

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http::Uri;
use pollux_model::{Error, ErrorCode};
use pollux_services::Services;
use tower::ServiceExt as _;

mod answer;
mod body;
mod call;
mod components;
mod digital_twins;
mod event_routes;
mod graph;
mod history;
mod jobs;
mod models;
mod query;
mod relationships;
mod status;
mod telemetry;

use answer::Failure;

/// All routes of a digital twins instance. Requests must carry the extension
/// [`Target`](crate::http::target::Target), and [`Peer`](crate::http::target::Peer) where they came over a network.
pub(crate) fn router(services: Arc<Services>) -> Router {
    let routes = routes();
    let lower = routes.clone().fallback(no_such_path).with_state(Arc::clone(&services));
    // Azure compares paths without case, and its articles write `/eventRoutes`.
    routes.fallback_service(lower.map_request(in_lower_case)).with_state(services)
}

fn routes() -> Router<Arc<Services>> {
    Router::new()
        .route("/models", get(models::list).post(models::create))
        .route("/models/", get(models::unnamed).patch(models::unnamed).delete(models::unnamed))
        .route("/models/{id}", get(models::get).patch(models::update).delete(models::delete))
        .route(
            "/digitaltwins/{id}",
            get(digital_twins::get)
                .put(digital_twins::put)
                .patch(digital_twins::update)
                .delete(digital_twins::delete),
        )
        .route("/digitaltwins/{id}/components/{path}", get(components::get).patch(components::update))
        .route("/digitaltwins/{id}/relationships", get(relationships::list))
        .route(
            "/digitaltwins/{id}/relationships/{relationship}",
            get(relationships::get)
                .put(relationships::put)
                .patch(relationships::update)
                .delete(relationships::delete),
        )
        .route("/digitaltwins/{id}/history", get(history::of_twin))
        .route("/digitaltwins/{id}/relationships/{relationship}/history", get(history::of_relationship))
        .route("/digitaltwins/{id}/incomingrelationships", get(relationships::list_incoming))
        .route("/digitaltwins/{id}/telemetry", post(telemetry::from_twin))
        .route("/digitaltwins/{id}/components/{path}/telemetry", post(telemetry::from_component))
        .route("/query", post(query::run))
        .route("/jobs/imports", get(jobs::list_imports))
        .route("/jobs/imports/{id}", get(jobs::get_import).put(jobs::add_import).delete(jobs::delete_import))
        .route("/jobs/imports/{id}/cancel", post(jobs::cancel_import))
        .route("/jobs/deletions", get(jobs::list_deletions).post(jobs::add_deletion))
        .route("/jobs/deletions/{id}", get(jobs::get_deletion))
        .route("/graph", get(graph::export).post(graph::import))
        .route("/graph/counts", get(graph::count))
        .route("/eventroutes", get(event_routes::list))
        .route(
            "/eventroutes/{id}",
            get(event_routes::get).put(event_routes::put).delete(event_routes::delete),
        )
        .method_not_allowed_fallback(method_not_allowed)
}

/// The request with the fixed segments of its path in lower case; ids stay as they are.
fn in_lower_case(mut request: Request) -> Request {
    let mut segments = request.uri().path().split('/').skip(1).enumerate();
    let Some((_, first)) = segments.next() else { return request };
    let mut path = format!("/{}", first.to_ascii_lowercase());
    let two_fixed = ["/jobs", "/graph"].contains(&path.as_str());
    for (place, segment) in segments {
        let is_id = if two_fixed { place == 2 } else { place % 2 == 1 };
        path.push('/');
        path += &if is_id { segment.into() } else { Cow::Owned(segment.to_ascii_lowercase()) };
    }
    if let Some(query) = request.uri().query() {
        path.push('?');
        path += query;
    }
    if let Ok(path) = path.parse() {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    request
}

async fn no_such_path(_: call::Call) -> Failure {
    Failure::from(Error::new(
        ErrorCode::NotFound,
        "There is nothing at this path. See https://aka.ms/ADTv2Swagger.",
    ))
}

async fn method_not_allowed(_: call::Call) -> axum::response::Response {
    answer::error(
        http::StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "This path does not take this method.",
    )
}

#[cfg(test)]
mod tests;
