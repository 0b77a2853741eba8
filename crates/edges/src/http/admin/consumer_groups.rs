//! Consumer groups over the admin API: of an event hub, and of a hub's built-in endpoint.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Extension, Router};
use pollux_model::{ResourceName, Result};
use pollux_services::Caller;
use pollux_services::resources::GroupsOf;
use serde::Deserialize;
use serde_json::json;

use super::resources::{changed_part, named, part};
use super::{Admin, answer};

const OF_EVENT_HUB: &str = "/admin/resources/events/{name}/event-hubs/{hub}/consumer-groups";
const OF_HUB: &str = "/admin/resources/hub/{name}/consumer-groups";

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route(OF_EVENT_HUB, get(list))
        .route(&format!("{OF_EVENT_HUB}/{{group}}"), put(make).delete(delete))
        .route(OF_HUB, get(list))
        .route(&format!("{OF_HUB}/{{group}}"), put(make).delete(delete))
}

/// What stands in the path.
#[derive(Deserialize)]
struct Place {
    /// The namespace or the hub.
    name: String,
    /// The event hub; none at a hub, whose built-in endpoint it is.
    hub: Option<String>,
    /// The consumer group, where it is about one.
    #[serde(default)]
    group: String,
}

impl Place {
    fn named(&self) -> Result<ResourceName> {
        named(&self.name)
    }

    fn of<'n>(&'n self, name: &'n ResourceName) -> GroupsOf<'n> {
        match &self.hub {
            Some(event_hub) => GroupsOf::EventHub { namespace: name, event_hub },
            None => GroupsOf::BuiltInEndpoint(name),
        }
    }
}

async fn list(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.consumer_groups(&caller, place.of(&place.named()?));
    answer(found().map(|groups| {
        let value: Vec<_> = groups.iter().map(|group| json!({ "name": group })).collect();
        json!({ "value": value })
    }))
}

/// A consumer group has nothing but its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    name: String,
}

async fn make(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let said: Said = part(&admin, body, "name", &place.group).await?;
        let name = place.named()?;
        admin.services.resources.put_consumer_group(&caller, place.of(&name), &said.name).await
    };
    changed_part(changed.await)
}

async fn delete(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let changed = async {
        let name = place.named()?;
        admin.services.resources.delete_consumer_group(&caller, place.of(&name), &place.group).await
    };
    changed_part(changed.await)
}
