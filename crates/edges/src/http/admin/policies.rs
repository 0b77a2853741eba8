//! Shared access policies over the admin API: those of a resource, and those of an event hub.
//!
//! A policy is answered with its keys where one is asked for; lists have none.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use pollux_model::resource::{Policy, ResourceKind};
use pollux_model::{ResourceName, Result};
use pollux_services::Caller;
use pollux_services::resources::declared::DeclaredPolicy;
use pollux_services::resources::{PolicyHolder, WhichKey};
use serde::Deserialize;
use serde_json::json;

use super::resources::{changed_part, named, part};
use super::{Admin, refusal, view};
use crate::http::body;

/// What both paths lead to: a resource's policies, or an event hub's.
const OF_RESOURCE: &str = "/admin/resources/{kind}/{name}/policies";
const OF_EVENT_HUB: &str = "/admin/resources/events/{name}/event-hubs/{hub}/policies";

pub(super) fn routes() -> Router<Admin> {
    [OF_RESOURCE, OF_EVENT_HUB].into_iter().fold(Router::new(), |router, list| {
        router
            .route(list, get(all))
            .route(&format!("{list}/{{policy}}"), get(show).put(change).delete(delete))
            .route(&format!("{list}/{{policy}}/regenerate-key"), post(regenerate_key))
    })
}

/// What a path names.
#[derive(Deserialize)]
struct Named {
    /// Only a resource's own policies have it in the path; event hubs are in namespaces.
    kind: Option<String>,
    name: String,
    hub: Option<String>,
    #[serde(default)]
    policy: String,
}

impl Named {
    /// The resource, whose name the holder borrows.
    fn resource(&self) -> Result<(ResourceKind, ResourceName)> {
        let kind = self.kind.as_deref().map_or(Ok(ResourceKind::Events), str::parse)?;
        Ok((kind, named(&self.name)?))
    }

    fn holder<'a>(&'a self, (kind, resource): &'a (ResourceKind, ResourceName)) -> PolicyHolder<'a> {
        PolicyHolder { kind: *kind, resource, event_hub: self.hub.as_deref() }
    }
}

async fn all(
    State(admin): State<Admin>,
    Path(path): Path<Named>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.policies(&caller, path.holder(&path.resource()?));
    match found() {
        Ok(all) => {
            let value: Vec<_> = all.iter().map(|one| view::hidden(view::policy(one))).collect();
            Json(json!({ "value": value })).into_response()
        }
        Err(error) => refusal(&error),
    }
}

async fn show(
    State(admin): State<Admin>,
    Path(path): Path<Named>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.policy(&caller, path.holder(&path.resource()?), &path.policy);
    shown(found())
}

async fn change(
    State(admin): State<Admin>,
    Path(path): Path<Named>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let declared: DeclaredPolicy = part(&admin, body, "name", &path.policy).await?;
        admin.services.resources.put_policy(&caller, path.holder(&path.resource()?), declared).await
    };
    shown(changed.await)
}

async fn delete(
    State(admin): State<Admin>,
    Path(path): Path<Named>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let resources = &admin.services.resources;
    let changed =
        async { resources.delete_policy(&caller, path.holder(&path.resource()?), &path.policy).await };
    changed_part(changed.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Regenerate {
    key: WhichKey,
}

async fn regenerate_key(
    State(admin): State<Admin>,
    Path(path): Path<Named>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let Regenerate { key } = body::json(body, admin.services.context.limits.request_body).await?;
        let resources = &admin.services.resources;
        resources.regenerate_policy_key(&caller, path.holder(&path.resource()?), &path.policy, key).await
    };
    shown(changed.await)
}

fn shown(result: Result<Policy>) -> Response {
    result.map_or_else(|error| refusal(&error), |policy| Json(view::policy(&policy)).into_response())
}

#[cfg(test)]
mod tests;
