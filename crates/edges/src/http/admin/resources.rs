//! Resources over the admin API. Bodies are the declarations of `services::resources::declared`, in camelCase or
//! `snake_case`; answers are in camelCase.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, StatusCode};
use pollux_model::ids::shown;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_services::Caller;
use pollux_services::resources::declared::{
    DeclaredEndpoint, DeclaredEnrichment, DeclaredLink, DeclaredRoute,
};
use pollux_services::resources::{Declared, PolicyHolder, WhichKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Admin, refusal, view};
use crate::http::body;

type Item = (String, String);
/// Kind, resource and part.
type Part = (String, String, String);

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/resources", get(list))
        .route("/admin/resources/{kind}", get(list_kind).post(create))
        .route("/admin/resources/{kind}/{name}", get(show).patch(change).delete(delete))
        .route("/admin/resources/{kind}/{name}/regenerate-key", post(regenerate_key))
        .route("/admin/resources/dps/{name}/linked-hubs/{item}", put(put_link).delete(delete_link))
        .route("/admin/resources/{kind}/{name}/endpoints/{item}", put(put_endpoint).delete(delete_endpoint))
        .route("/admin/resources/hub/{name}/routes/{item}", put(put_route).delete(delete_route))
        .route("/admin/resources/hub/{name}/test-routes", post(super::test_route::run))
        .route(
            "/admin/resources/hub/{name}/enrichments/{item}",
            put(put_enrichment).delete(delete_enrichment),
        )
}

#[derive(Deserialize)]
struct Filter {
    kind: Option<String>,
    group: Option<String>,
}

async fn list(
    State(admin): State<Admin>,
    Query(filter): Query<Filter>,
    Extension(caller): Extension<Caller>,
) -> Response {
    listed(&admin, &caller, filter.kind.as_deref(), filter.group.as_deref()).into_response()
}

async fn list_kind(
    State(admin): State<Admin>,
    Path(kind): Path<String>,
    Query(filter): Query<Filter>,
    Extension(caller): Extension<Caller>,
) -> Response {
    listed(&admin, &caller, Some(&kind), filter.group.as_deref())
}

fn listed(admin: &Admin, caller: &Caller, kind: Option<&str>, group: Option<&str>) -> Response {
    let listed = || {
        let kind = kind.map(str::parse).transpose()?;
        let all = admin.services.resources.list(caller, kind)?;
        let in_group =
            |one: &&std::sync::Arc<Resource>| group.is_none_or(|group| one.group.eq_ignore_ascii_case(group));
        Ok::<_, Error>(all.iter().filter(in_group).map(|one| view::without_keys(one)).collect::<Vec<_>>())
    };
    match listed() {
        Ok(value) => Json(json!({ "value": value })).into_response(),
        Err(error) => refusal(&error),
    }
}

async fn create(
    State(admin): State<Admin>,
    Path(kind): Path<String>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let created = async {
        let declared = Declared::read(kind.parse()?, None, json_body(&admin, body).await?)?;
        admin.services.resources.create(&caller, &declared).await
    };
    shown_resource(StatusCode::CREATED, created.await)
}

async fn show(
    State(admin): State<Admin>,
    Path((kind, name)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found =
        || Ok(Resource::clone(&*admin.services.resources.get(&caller, kind.parse()?, &named(&name)?)?));
    shown_resource(StatusCode::OK, found())
}

async fn change(
    State(admin): State<Admin>,
    Path((kind, name)): Path<Item>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let changed = async {
        let declared = Declared::read(kind.parse()?, Some(&name), json_body(&admin, body).await?)?;
        admin.services.resources.change(&caller, &declared, if_match(&headers)?.as_ref()).await
    };
    shown_resource(StatusCode::OK, changed.await)
}

async fn delete(
    State(admin): State<Admin>,
    Path((kind, name)): Path<Item>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let deleted = async {
        let kind: ResourceKind = kind.parse()?;
        admin.services.resources.delete(&caller, kind, &named(&name)?, if_match(&headers)?.as_ref()).await
    };
    match deleted.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Regenerate {
    policy: Option<String>,
    key: WhichKey,
}

async fn regenerate_key(
    State(admin): State<Admin>,
    Path((kind, name)): Path<Item>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let wanted: Regenerate = body::json(body, admin.services.context.limits.request_body).await?;
        let (kind, name) = (kind.parse()?, named(&name)?);
        let of = PolicyHolder { kind, resource: &name, event_hub: None };
        admin.services.resources.regenerate_key(&caller, of, wanted.policy.as_deref(), wanted.key).await
    };
    shown_resource(StatusCode::OK, changed.await)
}

async fn put_link(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let link: DeclaredLink = part(&admin, body, "hub", &item).await?;
        admin.services.resources.link_hub(&caller, &named(&name)?, &link).await
    };
    changed_part(changed.await)
}

async fn delete_link(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let changed = async { admin.services.resources.unlink_hub(&caller, &named(&name)?, &item).await };
    changed_part(changed.await)
}

async fn put_endpoint(
    State(admin): State<Admin>,
    Path((kind, name, item)): Path<Part>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let kind = with_endpoints(&kind)?;
        let endpoint: DeclaredEndpoint = part(&admin, body, "name", &item).await?;
        admin.services.resources.put_endpoint(&caller, (kind, &named(&name)?), endpoint).await
    };
    changed_part(changed.await)
}

async fn delete_endpoint(
    State(admin): State<Admin>,
    Path((kind, name, item)): Path<Part>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let changed = async {
        let holder = (with_endpoints(&kind)?, &named(&name)?);
        admin.services.resources.delete_endpoint(&caller, holder, &item).await
    };
    changed_part(changed.await)
}

/// The kinds that have endpoints.
fn with_endpoints(kind: &str) -> Result<ResourceKind> {
    match kind.parse()? {
        kind @ (ResourceKind::Hub | ResourceKind::Twins) => Ok(kind),
        kind => {
            let text = format!("a {kind} has no endpoints: hub and twins have");
            Err(Error::new(ErrorCode::ResourceNotFound, text))
        }
    }
}

async fn put_route(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let route: DeclaredRoute = part(&admin, body, "name", &item).await?;
        admin.services.resources.put_route(&caller, &named(&name)?, route).await
    };
    changed_part(changed.await)
}

async fn delete_route(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let changed = async { admin.services.resources.delete_route(&caller, &named(&name)?, &item).await };
    changed_part(changed.await)
}

async fn put_enrichment(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    let changed = async {
        let enrichment: DeclaredEnrichment = part(&admin, body, "key", &item).await?;
        admin.services.resources.put_enrichment(&caller, &named(&name)?, enrichment).await
    };
    changed_part(changed.await)
}

async fn delete_enrichment(
    State(admin): State<Admin>,
    Path((name, item)): Path<Item>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let changed = async { admin.services.resources.delete_enrichment(&caller, &named(&name)?, &item).await };
    changed_part(changed.await)
}

/// With its keys: whoever asked for this resource may need them.
fn shown_resource(status: StatusCode, result: Result<Resource>) -> Response {
    result.map_or_else(
        |error| refusal(&error),
        |resource| with_etag(status, &resource, view::resource(&resource)),
    )
}

/// A resource of which a part has changed; its keys were not asked for.
pub(super) fn changed_part(result: Result<Resource>) -> Response {
    result.map_or_else(
        |error| refusal(&error),
        |resource| with_etag(StatusCode::OK, &resource, view::without_keys(&resource)),
    )
}

fn with_etag(status: StatusCode, resource: &Resource, view: Value) -> Response {
    (status, [(ETAG, format!("\"{}\"", resource.etag))], Json(view)).into_response()
}

pub(super) fn named(name: &str) -> Result<ResourceName> {
    ResourceName::parse(name)
}

async fn json_body(admin: &Admin, body: Body) -> Result<Value> {
    body::json(body, admin.services.context.limits.request_body).await
}

/// A part of a resource, named by the path: the body may be empty or leave the name out.
pub(super) async fn part<T: DeserializeOwned>(admin: &Admin, body: Body, key: &str, name: &str) -> Result<T> {
    let bytes = body::read(body, admin.services.context.limits.request_body).await?;
    let wrong =
        |error: serde_json::Error| Error::invalid(format!("the body is not the JSON expected: {error}"));
    let mut value =
        if bytes.is_empty() { json!({}) } else { serde_json::from_slice(&bytes).map_err(wrong)? };
    let Some(fields) = value.as_object_mut() else {
        return Err(Error::invalid("the body must be a JSON object"));
    };
    if fields.get(key).is_some_and(|said| said != name) {
        return Err(Error::invalid(format!("the body's '{key}' is not the path's '{}'", shown(name))));
    }
    fields.insert(key.to_owned(), json!(name));
    serde_json::from_value(value).map_err(wrong)
}

fn if_match(headers: &HeaderMap) -> Result<Option<Etag>> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Error::invalid("the If-Match header is not plain ASCII"))?.trim();
    Ok((text != "*").then(|| Etag::new(text.trim_matches('"'))))
}
