//! Event hubs of a namespace and their consumer groups over the admin API.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use pollux_model::Result;
use pollux_services::Caller;
use pollux_services::resources::declared::DeclaredEventHub;
use serde::Deserialize;
use serde_json::{Value, json};

use super::resources::{changed_part, named, part};
use super::{Admin, refusal, view};

/// Namespace and event hub.
type Hub = (String, String);
/// Namespace, event hub and consumer group.
type Group = (String, String, String);

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/resources/events/{name}/event-hubs", get(list))
        .route("/admin/resources/events/{name}/event-hubs/{hub}", get(show).put(change).delete(delete))
        .route("/admin/resources/events/{name}/event-hubs/{hub}/consumer-groups", get(list_groups))
        .route(
            "/admin/resources/events/{name}/event-hubs/{hub}/consumer-groups/{group}",
            put(put_group).delete(delete_group),
        )
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

async fn list_groups(
    State(admin): State<Admin>,
    Path((name, hub)): Path<Hub>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.event_hub(&caller, &named(&name)?, &hub);
    answer(found().map(|one| {
        let value: Vec<_> = one.consumer_groups.iter().map(|group| json!({ "name": group })).collect();
        json!({ "value": value })
    }))
}

/// A consumer group has nothing but its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupBody {
    name: String,
}

async fn put_group(
    State(admin): State<Admin>,
    Path((name, hub, group)): Path<Group>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let GroupBody { name: group } = part(&admin, body, "name", &group).await?;
        admin.services.resources.put_consumer_group(&caller, &named(&name)?, &hub, &group).await
    };
    changed_part(changed.await)
}

async fn delete_group(
    State(admin): State<Admin>,
    Path((name, hub, group)): Path<Group>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let resources = &admin.services.resources;
    let changed = async { resources.delete_consumer_group(&caller, &named(&name)?, &hub, &group).await };
    changed_part(changed.await)
}

fn answer(result: Result<Value>) -> Response {
    result.map_or_else(|error| refusal(&error), |value| Json(value).into_response())
}
