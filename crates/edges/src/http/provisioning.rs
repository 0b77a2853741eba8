//! The provisioning service over HTTP: the device API and the service API. Rules are in `services::provisioning`.
//!
//! | path | file |
//! |---|---|
//! | `PUT /{idScope}/registrations/{id}/register`, `POST /{idScope}/registrations/{id}`, `GET …/operations/{id}` | `device` |
//! | `GET`, `PUT`, `DELETE /enrollments/{id}`, `POST /enrollments/query`, `POST /enrollments/{id}/attestationmechanism` | `enrollments` |
//! | the same under `/enrollmentGroups` | `enrollment_groups` |
//! | `POST /enrollments`, `POST /enrollmentGroups` | `bulk` |
//! | `GET`, `POST /audit`; `GET`, `POST /revocations`; `GET /stats` | `audit`; `revocations`; `stats` |
//! | `GET`, `DELETE /registrations/{id}`, `POST /registrations/{group}/query` | `registrations` |
//! | `POST /registrations/{id}/explain`, `POST /enrollmentGroups/{id}/explain` | `explain` |
//!
//! Words of paths compare without case (the Node client writes `enrollmentgroups`). Every request is authenticated
//! before its body is read. Bodies are read in `enrollment_json`, errors worded in `status`.

mod audit;
mod bulk;
mod call;
mod device;
mod enrollment_groups;
mod enrollment_json;
mod enrollments;
mod explain;
mod query;
mod registrations;
mod revocations;
mod stats;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use http::{Method, StatusCode};
use pollux_model::{Error, ErrorCode, Etag, Result};
use pollux_services::Services;
use serde_json::Value;

use self::call::Call;
use super::rest::{etag_header, segments};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Noun {
    Register { scope: String, id: String },
    Lookup { scope: String, id: String },
    Operation { scope: String, id: String, operation: String },
    Enrollment(String),
    Audit,
    Stats,
    Revocations,
    Enrollments,
    Groups,
    EnrollmentQuery,
    EnrollmentKeys(String),
    Group(String),
    GroupQuery,
    GroupKeys(String),
    Registration(String),
    RegistrationQuery(String),
    Explanation(String),
    GroupExplanation(String),
}

/// All routes of a provisioning service. Requests must carry the extension [`Target`](super::target::Target).
pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new().fallback(answer).with_state(services)
}

async fn answer(State(services): State<Arc<Services>>, request: Request) -> Response {
    match routed(&services, request).await {
        Ok(response) => response,
        Err(error) => status::refusal(&services, &error),
    }
}

async fn routed(services: &Arc<Services>, request: Request) -> Result<Response> {
    let path = segments(request.uri().path());
    let method = request.method().clone();
    let noun = path.as_ref().ok().and_then(|path| noun(path, &method));
    match (noun, method) {
        (Some(Noun::Register { scope, id }), Method::PUT) => {
            device::register(services, request, &scope, &id).await
        }
        (Some(Noun::Lookup { scope, id }), Method::POST) => {
            device::look_up(services, request, &scope, &id).await
        }
        (Some(Noun::Operation { scope, id, operation }), Method::GET) => {
            device::operation(services, request, &scope, &id, &operation).await
        }
        (Some(Noun::Register { .. } | Noun::Lookup { .. } | Noun::Operation { .. }), _) => {
            Ok(status::not_allowed(services))
        }
        (noun, _) => {
            let call = Call::of(services, request).await?;
            path?;
            let nowhere = || Error::new(ErrorCode::NotFound, "the provisioning service has no such path");
            of_service(services, call, noun.ok_or_else(nowhere)?).await
        }
    }
}

async fn of_service(services: &Arc<Services>, call: Call, noun: Noun) -> Result<Response> {
    let method = call.method.clone();
    match (noun, method) {
        (Noun::Enrollment(id), Method::GET) => enrollments::get(call, &id).await,
        (Noun::Enrollment(id), Method::PUT) => enrollments::put(call, id).await,
        (Noun::Enrollment(id), Method::DELETE) => enrollments::delete(call, &id).await,
        (Noun::Audit, Method::GET) => audit::query(call).await,
        (Noun::Audit, Method::POST) => audit::note(call).await,
        (Noun::Revocations, Method::GET) => revocations::list(&call),
        (Noun::Revocations, Method::POST) => revocations::revoke(call).await,
        (Noun::Stats, Method::GET) => stats::stats(call).await,
        (Noun::Enrollments, Method::POST) => bulk::enrollments(call).await,
        (Noun::Groups, Method::POST) => bulk::groups(call).await,
        (Noun::EnrollmentQuery, Method::POST) => enrollments::query(call).await,
        (Noun::EnrollmentKeys(id), Method::POST) => enrollments::keys(call, &id).await,
        (Noun::Group(id), Method::GET) => enrollment_groups::get(call, &id).await,
        (Noun::Group(id), Method::PUT) => enrollment_groups::put(call, id).await,
        (Noun::Group(id), Method::DELETE) => enrollment_groups::delete(call, &id).await,
        (Noun::GroupQuery, Method::POST) => enrollment_groups::query(call).await,
        (Noun::GroupKeys(id), Method::POST) => enrollment_groups::keys(call, &id).await,
        (Noun::Registration(id), Method::GET) => registrations::get(call, &id).await,
        (Noun::Registration(id), Method::DELETE) => registrations::delete(call, &id).await,
        (Noun::RegistrationQuery(group), Method::POST) => registrations::query(call, &group).await,
        (Noun::GroupExplanation(id), Method::POST) => explain::explain_group(call, &id).await,
        (Noun::Explanation(id), Method::POST) => explain::explain(call, id).await,
        _ => Ok(status::not_allowed(services)),
    }
}

fn noun(path: &[String], method: &Method) -> Option<Noun> {
    let is = |word: &String, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let post = method == Method::POST;
    match path {
        [word] if is(word, "audit") => Some(Noun::Audit),
        [word] if is(word, "revocations") => Some(Noun::Revocations),
        [word] if is(word, "stats") => Some(Noun::Stats),
        [word] if is(word, "enrollments") => Some(Noun::Enrollments),
        [word] if is(word, "enrollmentGroups") => Some(Noun::Groups),
        // An entry may bear the name `query`; only it is never posted to.
        [first, query] if is(first, "enrollments") && is(query, "query") && post => {
            Some(Noun::EnrollmentQuery)
        }
        [first, id] if is(first, "enrollments") => Some(Noun::Enrollment(id.clone())),
        [first, id, last] if is(first, "enrollments") && is(last, "attestationmechanism") => {
            Some(Noun::EnrollmentKeys(id.clone()))
        }
        [first, query] if is(first, "enrollmentGroups") && is(query, "query") && post => {
            Some(Noun::GroupQuery)
        }
        [first, id] if is(first, "enrollmentGroups") => Some(Noun::Group(id.clone())),
        [first, id, last] if is(first, "enrollmentGroups") && is(last, "attestationmechanism") => {
            Some(Noun::GroupKeys(id.clone()))
        }
        [first, id, last] if is(first, "enrollmentGroups") && is(last, "explain") => {
            Some(Noun::GroupExplanation(id.clone()))
        }
        [first, id] if is(first, "registrations") => Some(Noun::Registration(id.clone())),
        [first, group, last] if is(first, "registrations") && is(last, "query") => {
            Some(Noun::RegistrationQuery(group.clone()))
        }
        [first, id, last] if is(first, "registrations") && is(last, "explain") => {
            Some(Noun::Explanation(id.clone()))
        }
        [scope, second, rest @ ..] if is(second, "registrations") => of_device(scope, rest),
        _ => None,
    }
}

fn of_device(scope: &str, rest: &[String]) -> Option<Noun> {
    let scope = scope.to_owned();
    match rest {
        [id] => Some(Noun::Lookup { scope, id: id.clone() }),
        [id, last] if last.eq_ignore_ascii_case("register") => Some(Noun::Register { scope, id: id.clone() }),
        [id, word, operation] if word.eq_ignore_ascii_case("operations") => {
            Some(Noun::Operation { scope, id: id.clone(), operation: operation.clone() })
        }
        _ => None,
    }
}

/// A JSON document.
fn json(document: &Value) -> Response {
    let mut response = document.to_string().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// A JSON document with an etag.
fn tagged(document: &Value, etag: &Etag) -> Response {
    let mut response = json(document);
    if let Some(etag) = etag_header(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

/// 204.
fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests;
