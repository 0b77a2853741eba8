//! Function apps over the admin API: settings with their values.
//!
//! ```text
//!   GET    /admin/resources/functions/{app}/settings                    {"settings": {name: value}}
//!   PUT    /admin/resources/functions/{app}/settings/{name}             {"value": "…"}; an empty one removes it
//!   DELETE /admin/resources/functions/{app}/settings/{name}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Extension, Router};
use pollux_model::resource::{Resource, ResourceKind, Setting};
use pollux_model::{ResourceName, Result};
use pollux_services::Caller;
use pollux_services::resources::Declared;
use pollux_services::resources::declared::DeclaredFunctions;
use serde::Deserialize;
use serde_json::json;

use super::{Admin, answer, nothing};
use crate::http::body;

/// App and setting.
type Item = (String, String);

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/resources/functions/{name}/settings", get(settings))
        .route("/admin/resources/functions/{name}/settings/{item}", put(set).delete(unset))
}

async fn settings(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || {
        let app = app(&admin, &name)?;
        Ok(json!({ "settings": admin.services.functions.settings(&caller, &app)? }))
    };
    answer(found())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingBody {
    value: String,
}

async fn set(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let done = async {
        let SettingBody { value } = body::json(body, admin.services.context.limits.request_body).await?;
        if !value.is_empty() {
            admin.services.functions.check_setting(&item, &value)?;
        }
        change(&admin, &caller, &name, item, value).await
    };
    nothing(done.await)
}

async fn unset(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    nothing(change(&admin, &caller, &name, item, String::new()).await)
}

async fn change(admin: &Admin, caller: &Caller, name: &str, item: String, value: String) -> Result<()> {
    let settings = BTreeMap::from([(item, Setting(value))]);
    let declared = DeclaredFunctions { name: name.to_owned(), settings, ..DeclaredFunctions::default() };
    admin.services.resources.change(caller, &Declared::Functions(declared), None).await.map(|_| ())
}

fn app(admin: &Admin, name: &str) -> Result<Arc<Resource>> {
    admin.services.context.table.get(ResourceKind::Functions, &ResourceName::parse(name)?)
}
