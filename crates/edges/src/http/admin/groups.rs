//! Resource groups over the admin API. `GET` of a group shows what `DELETE` would delete.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use pollux_model::Result;
use pollux_model::resource::Resource;
use pollux_services::Caller;
use serde_json::{Value, json};

use super::{Admin, refusal};

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/admin/groups", get(list)).route("/admin/groups/{group}", get(show).delete(delete))
}

async fn list(State(admin): State<Admin>, Extension(caller): Extension<Caller>) -> Response {
    answer(admin.services.resources.groups(&caller).map(|groups| json!({ "value": groups })))
}

async fn show(
    State(admin): State<Admin>,
    Path(group): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let contents = admin.services.resources.group(&caller, &group).await;
    answer(contents.map(|contents| {
        let value: Vec<_> = contents.resources.iter().map(|(one, count)| line(one, Some(*count))).collect();
        json!({ "group": group, "resources": value })
    }))
}

async fn delete(
    State(admin): State<Admin>,
    Path(group): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let deleted = admin.services.resources.delete_group(&caller, &group).await;
    answer(deleted.map(|gone| {
        let value: Vec<_> = gone.iter().map(|one| line(one, None)).collect();
        json!({ "group": group, "deleted": value })
    }))
}

/// `holds`: devices of a hub, registration records of a DPS, twins of an instance.
fn line(resource: &Resource, holds: Option<u64>) -> Value {
    let mut line = json!({ "kind": resource.kind(), "name": resource.name, "hostName": resource.host_name });
    if let Some(holds) = holds {
        line["holds"] = json!(holds);
    }
    line
}

fn answer(result: Result<Value>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => refusal(&error),
    }
}
