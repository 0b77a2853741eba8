//! Dead letters over the admin API: of a function app's functions, and of the endpoints elsewhere of a hub or digital twins
//! instance.
//!
//! ```text
//!   GET    /admin/resources/functions/{app}/dead-letters[?function=][&after=][&limit=]
//!   GET    /admin/resources/hub|twins/{name}/dead-letters[?endpoint=][&after=][&limit=]
//!   GET    …/dead-letters/{id}                                          with the payload
//!   DELETE …/dead-letters/{id}
//!   POST   …/dead-letters/{id}/replay
//! ```

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result, ids};
use pollux_services::Caller;
use pollux_services::functions::Function;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, answer, nothing};

/// Dead letters of a page when nothing is said, and the most.
const PAGE: usize = 100;
const MOST: usize = 1000;

/// Kind, resource and dead letter.
type Item = (String, String, String);

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/resources/{kind}/{name}/dead-letters", get(list))
        .route("/admin/resources/{kind}/{name}/dead-letters/{item}", get(show).delete(forget))
        .route("/admin/resources/{kind}/{name}/dead-letters/{item}/replay", post(replay))
}

#[derive(Deserialize)]
struct Filter {
    function: Option<String>,
    endpoint: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(admin): State<Admin>,
    Path((kind, name)): Path<(String, String)>,
    Query(filter): Query<Filter>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = async {
        let keeper = keeper(&admin, &kind, &name)?;
        let after = filter.after.as_deref().map(|text| number(text).map(|_| text)).transpose()?;
        let limit = filter.limit.unwrap_or(PAGE).clamp(1, MOST);
        let page = match keeper.kind() {
            ResourceKind::Hub | ResourceKind::Twins => {
                let endpoint = filter.endpoint.as_deref();
                admin.services.forwarding.dead_letters(&caller, &keeper, endpoint, after, limit).await?
            }
            _ => {
                let function = filter.function.as_deref().map(function).transpose()?;
                admin.services.functions.dead_letters(&caller, &keeper, function, after, limit).await?
            }
        };
        let value: Vec<_> = page.items.iter().map(|letter| view(letter, keeper.kind(), false)).collect();
        Ok(json!({ "value": value, "next": page.next }))
    };
    answer(found.await)
}

async fn show(
    State(admin): State<Admin>,
    Path((kind, name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = async {
        let (keeper, id) = (keeper(&admin, &kind, &name)?, number(&item)?);
        Ok(view(&letter(&admin, &caller, &keeper, id).await?, keeper.kind(), true))
    };
    answer(found.await)
}

async fn forget(
    State(admin): State<Admin>,
    Path((kind, name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let done = async {
        let (keeper, id) = (keeper(&admin, &kind, &name)?, number(&item)?);
        letter(&admin, &caller, &keeper, id).await?;
        match keeper.kind() {
            ResourceKind::Hub | ResourceKind::Twins => {
                admin.services.forwarding.delete_dead_letter(&caller, &keeper, id).await
            }
            _ => admin.services.functions.delete_dead_letter(&caller, &keeper, id).await,
        }
    };
    nothing(done.await)
}

async fn replay(
    State(admin): State<Admin>,
    Path((kind, name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let done = async {
        let (keeper, id) = (keeper(&admin, &kind, &name)?, number(&item)?);
        match keeper.kind() {
            ResourceKind::Hub | ResourceKind::Twins => {
                admin.services.forwarding.replay_dead_letter(&caller, &keeper, id).await
            }
            _ => admin.services.functions.replay_dead_letter(&caller, &keeper, id).await,
        }
    };
    nothing(done.await)
}

async fn letter(admin: &Admin, caller: &Caller, keeper: &Resource, id: i64) -> Result<DeadLetter> {
    match keeper.kind() {
        ResourceKind::Hub | ResourceKind::Twins => {
            admin.services.forwarding.dead_letter(caller, keeper, id).await
        }
        _ => admin.services.functions.dead_letter(caller, keeper, id).await,
    }
}

/// The function app, hub or digital twins instance.
fn keeper(admin: &Admin, kind: &str, name: &str) -> Result<Arc<Resource>> {
    let kind: ResourceKind = kind.parse()?;
    if !matches!(kind, ResourceKind::Functions | ResourceKind::Hub | ResourceKind::Twins) {
        let text = format!("a {kind} has no dead letters: functions, hub and twins have");
        return Err(Error::new(ErrorCode::ResourceNotFound, text));
    }
    admin.services.context.table.get(kind, &ResourceName::parse(name)?)
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

fn view(letter: &DeadLetter, kind: ResourceKind, with_payload: bool) -> Value {
    let mut view = json!({
        "id": letter.id,
                "namespace": letter.namespace,
        "eventHub": letter.event_hub,
        "partition": letter.partition,
        "sequenceNumber": letter.sequence_number,
        "enqueued": letter.enqueued,
        "failed": letter.failed,
        "attempts": letter.attempts,
        "reason": letter.reason,
    });
    let of = if kind == ResourceKind::Functions { "function" } else { "endpoint" };
    view[of] = json!(letter.function);
    if with_payload {
        view["payload"] = json!(BASE64.encode(&letter.payload));
    }
    view
}
