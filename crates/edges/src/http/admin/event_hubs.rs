//! Event hubs of a namespace over the admin API.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use pollux_services::Caller;
use pollux_services::resources::declared::DeclaredEventHub;
use serde_json::json;

use super::resources::{changed_part, named, part};
use super::{Admin, answer, view};

/// Namespace and event hub.
type Hub = (String, String);

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/resources/events/{name}/event-hubs", get(list))
        .route("/admin/resources/events/{name}/event-hubs/{hub}", get(show).put(change).delete(delete))
}

async fn list(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.event_hubs(&caller, &named(&name)?);
    answer(found().map(|all| {
        let value: Vec<_> = all.iter().map(|one| view::hidden(view::event_hub(one))).collect();
        json!({ "value": value })
    }))
}

async fn show(
    State(admin): State<Admin>,
    Path((name, hub)): Path<Hub>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.event_hub(&caller, &named(&name)?, &hub);
    answer(found().map(|one| view::hidden(view::event_hub(&one))))
}

async fn change(
    State(admin): State<Admin>,
    Path((name, hub)): Path<Hub>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let event_hub: DeclaredEventHub = part(&admin, body, "name", &hub).await?;
        admin.services.resources.put_event_hub(&caller, &named(&name)?, event_hub).await
    };
    changed_part(changed.await)
}

async fn delete(
    State(admin): State<Admin>,
    Path((name, hub)): Path<Hub>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let changed = async { admin.services.resources.delete_event_hub(&caller, &named(&name)?, &hub).await };
    changed_part(changed.await)
}
