//! Function apps over the admin API: settings with their values, dead letters.
//!
//! ```text
//!   GET    /admin/resources/functions/{app}/settings                    {"settings": {name: value}}
//!   PUT    /admin/resources/functions/{app}/settings/{name}             {"value": "…"}; an empty one removes it
//!   DELETE /admin/resources/functions/{app}/settings/{name}
//!   GET    /admin/resources/functions/{app}/dead-letters[?function=][&after=][&limit=]
//!   GET    /admin/resources/functions/{app}/dead-letters/{id}           with the payload
//!   DELETE /admin/resources/functions/{app}/dead-letters/{id}
//!   POST   /admin/resources/functions/{app}/dead-letters/{id}/replay
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{Resource, ResourceKind, Setting};
use pollux_model::{Error, ErrorCode, ResourceName, Result, ids};
use pollux_services::Caller;
use pollux_services::functions::Function;
use pollux_services::resources::Declared;
use pollux_services::resources::declared::DeclaredFunctions;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, refusal};
use crate::http::body;

/// Dead letters of a page when nothing is said, and the most.
const PAGE: usize = 100;
const MOST: usize = 1000;

/// App and setting, or app and dead letter.
type Item = (String, String);

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/resources/functions/{name}/settings", get(settings))
        .route("/admin/resources/functions/{name}/settings/{item}", put(set).delete(unset))
        .route("/admin/resources/functions/{name}/dead-letters", get(list))
        .route("/admin/resources/functions/{name}/dead-letters/{item}", get(show).delete(forget))
        .route("/admin/resources/functions/{name}/dead-letters/{item}/replay", post(replay))
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

#[derive(Deserialize)]
struct Filter {
    function: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(filter): Query<Filter>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = async {
        let app = app(&admin, &name)?;
        let function = filter.function.as_deref().map(function).transpose()?;
        let after = filter.after.as_deref().map(|text| number(text).map(|_| text)).transpose()?;
        let limit = filter.limit.unwrap_or(PAGE).clamp(1, MOST);
        let page = admin.services.functions.dead_letters(&caller, &app, function, after, limit).await?;
        let value: Vec<_> = page.items.iter().map(|letter| view(letter, false)).collect();
        Ok(json!({ "value": value, "next": page.next }))
    };
    answer(found.await)
}

async fn show(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = async {
        let app = app(&admin, &name)?;
        let letter = admin.services.functions.dead_letter(&caller, &app, number(&item)?).await?;
        Ok(view(&letter, true))
    };
    answer(found.await)
}

async fn forget(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let done = async {
        let (app, id) = (app(&admin, &name)?, number(&item)?);
        admin.services.functions.dead_letter(&caller, &app, id).await?;
        admin.services.functions.delete_dead_letter(&caller, &app, id).await
    };
    nothing(done.await)
}

async fn replay(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let done = async {
        let app = app(&admin, &name)?;
        admin.services.functions.replay_dead_letter(&caller, &app, number(&item)?).await
    };
    nothing(done.await)
}

fn app(admin: &Admin, name: &str) -> Result<Arc<Resource>> {
    admin.services.context.table.get(ResourceKind::Functions, &ResourceName::parse(name)?)
}

fn function(name: &str) -> Result<Function> {
    let found = Function::ALL.into_iter().find(|function| function.as_str().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let shown = ids::shown(name);
        Error::new(ErrorCode::FunctionNotFound, format!("'{shown}' consumes no events: use ingest or retire"))
    })
}

fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::invalid(format!("'{}' is no number of a dead letter", ids::shown(text))))
}

fn view(letter: &DeadLetter, with_payload: bool) -> Value {
    let mut view = json!({
        "id": letter.id,
        "function": letter.function,
        "namespace": letter.namespace,
        "eventHub": letter.event_hub,
        "partition": letter.partition,
        "sequenceNumber": letter.sequence_number,
        "enqueued": letter.enqueued,
        "failed": letter.failed,
        "attempts": letter.attempts,
        "reason": letter.reason,
    });
    if with_payload {
        view["payload"] = json!(BASE64.encode(&letter.payload));
    }
    view
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
