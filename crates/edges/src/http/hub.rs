//! IoT Hub's service API over HTTP: who calls, what is meant, one file per noun. Rules are in `services::hub`.
//!
//! | path | file |
//! |---|---|
//! | `POST /devices` | `bulk` |
//! | `GET /devices?top=`, `GET`, `PUT`, `DELETE /devices/{id}` | `devices`, bodies in `device_json` |
//! | `GET /devices/{id}/modules`, `GET`, `PUT`, `DELETE /devices/{id}/modules/{id}` | `modules`, bodies in `module_json` |
//! | `GET`, `PATCH`, `PUT /twins/{id}[/modules/{id}]` | `device_twins` |
//! | `POST /twins/{id}[/modules/{id}]/methods` | `methods` |
//! | `POST /devices/query` | `query` |
//! | `GET`, `PATCH /digitaltwins/{id}`, `POST /digitaltwins/{id}[/components/{path}]/commands/{name}` | `digital_twins` |
//! | `GET /configurations?top=`, `POST /configurations/testQueries`, `GET`, `PUT`, `DELETE /configurations/{id}` | `configurations`, bodies in `configuration_json` |
//! | `POST /devices/{id}/applyConfigurationContent` | `configurations` |
//! | `PUT`, `GET /jobs/v2/{id}`, `POST /jobs/v2/{id}/cancel`, `GET /jobs/v2/query` | `jobs`, bodies in `job_json` |
//! | `POST /jobs/create`, `GET /jobs`, `GET`, `DELETE /jobs/{id}` | `registry_jobs` |
//! | `GET /statistics/devices`, `GET /statistics/service` | `statistics` |
//! | `POST /messages/devicebound`, `DELETE /devices/{id}/commands` | `messages` |
//! | `/messages/servicebound/feedback`, `/messages/servicebound/filenotifications`, settled by lock token | `feedback` |
//!
//! What a device itself may ask for over HTTPS, with a credential of its own:
//!
//! | path | file |
//! |---|---|
//! | `POST /devices/{id}/messages/events` | `events` |
//! | `GET /devices/{id}/messages/devicebound`, settled by lock token | `devicebound` |
//! | `POST /devices/{id}/files`, `POST /devices/{id}/files/notifications` | `files` |
//!
//! What whoever has a URL of the hub's may ask for:
//!
//! | path | file |
//! |---|---|
//! | `/hub-files/{blob}` | `blobs` |
//!
//! Words of paths compare without case, ids with it. Every request is authenticated before anything else is looked at.

mod blobs;
mod bulk;
mod call;
mod configuration_json;
mod configurations;
mod device_json;
mod device_twins;
mod devicebound;
mod devices;
mod digital_twins;
mod events;
mod feedback;
mod files;
mod job_json;
mod jobs;
mod messages;
mod methods;
mod module_json;
mod modules;
mod properties;
mod query;
mod registry_jobs;
mod statistics;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use http::{Method, StatusCode};
use pollux_model::{Error, ErrorCode, Etag, Result};
use pollux_services::Services;
use pollux_services::hub::cloud_to_device::Notices;
use serde_json::Value;

use self::call::Call;
use super::rest::{etag_header, segments};

/// A device, or a module of it, as a path names it.
type Ids = (String, Option<String>);

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Noun {
    Devices,
    Device(String),
    Modules(String),
    Module(String, String),
    Query,
    Jobs,
    Job(String),
    JobCancellation(String),
    NewRegistryJob,
    RegistryJobs,
    RegistryJob(String),
    Twin(Ids),
    Methods(Ids),
    DeviceStatistics,
    ServiceStatistics,
    Messages,
    Commands(String),
    Notices(Notices),
    Configurations,
    Configuration(String),
    ConfigurationQueries,
    ConfigurationContent(String),
    DigitalTwin(String),
    /// Of a digital twin; of a component of it; its name.
    Command(String, Option<String>, String),
    /// By lock token, and whether it is abandoned.
    NoticesLock(Notices, String, bool),
}

/// What a path names that is a device's own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    Events,
    Devicebound,
    /// By lock token, and whether it is abandoned.
    Lock(String, bool),
    Files(files::Files),
}

/// All routes of a hub. Requests must carry the extension [`Target`](super::target::Target).
pub(crate) fn router(services: Arc<Services>) -> Router {
    services.hub.speak(Arc::new(registry_jobs::Lines));
    Router::new().fallback(answer).with_state(services)
}

async fn answer(State(services): State<Arc<Services>>, request: Request) -> Response {
    match routed(&services, request).await {
        Ok(response) => response,
        Err(error) => status::refusal(&services, &error),
    }
}

async fn routed(services: &Arc<Services>, request: Request) -> Result<Response> {
    if let Some(blob) = blobs::named(request.uri().path()) {
        return Ok(blobs::answer(services, request, blob).await);
    }
    let path = segments(request.uri().path());
    if let Some((id, own)) = path.as_ref().ok().and_then(|path| own(path)) {
        let call = Call::of_device(services, request, &id).await?;
        let method = call.method.clone();
        return match (own, method) {
            (Own::Events, Method::POST) => events::send(call, &id).await,
            (Own::Devicebound, Method::GET) => devicebound::receive(call, &id).await,
            (Own::Lock(token, false), Method::DELETE) => devicebound::end(call, &id, &token).await,
            (Own::Lock(token, true), Method::POST) => devicebound::abandon(call, &id, &token).await,
            (Own::Files(files::Files::Uploads), Method::POST) => files::create(call, &id).await,
            (Own::Files(files::Files::Notifications(of)), Method::POST) => {
                files::complete(call, &id, of).await
            }
            _ => Ok(status::not_allowed(services)),
        };
    }
    let call = Call::of(services, request).await?;
    let noun = noun(&path?, &call.method);
    let noun =
        noun.ok_or_else(|| Error::new(ErrorCode::NotFound, "the hub's service API has no such path"))?;
    let method = call.method.clone();
    match (noun, method) {
        (Noun::Devices, Method::GET) => devices::list(call).await,
        (Noun::Devices, Method::POST) => bulk::run(call).await,
        (Noun::Device(id), Method::GET) => devices::get(call, &id).await,
        (Noun::Device(id), Method::PUT) => devices::put(call, id).await,
        (Noun::Device(id), Method::DELETE) => devices::delete(call, &id).await,
        (Noun::Modules(device), Method::GET) => modules::list(call, &device).await,
        (Noun::Module(device, id), Method::GET) => modules::get(call, (&device, &id)).await,
        (Noun::Module(device, id), Method::PUT) => modules::put(call, (device, id)).await,
        (Noun::Module(device, id), Method::DELETE) => modules::delete(call, (&device, &id)).await,
        (Noun::Query, Method::POST) => query::run(call).await,
        (Noun::Jobs, Method::GET) => jobs::list(call).await,
        (Noun::Job(id), Method::PUT) => jobs::create(call, id).await,
        (Noun::Job(id), Method::GET) => jobs::get(call, &id).await,
        (Noun::JobCancellation(id), Method::POST) => jobs::cancel(call, &id).await,
        (Noun::NewRegistryJob, Method::POST) => registry_jobs::create(call).await,
        (Noun::RegistryJobs, Method::GET) => registry_jobs::list(call).await,
        (Noun::RegistryJob(id), Method::GET) => registry_jobs::get(call, &id).await,
        (Noun::RegistryJob(id), Method::DELETE) => registry_jobs::cancel(call, &id).await,
        (Noun::Twin(ids), Method::GET) => device_twins::get(call, ids).await,
        (Noun::Twin(ids), Method::PATCH) => device_twins::patch(call, ids).await,
        (Noun::Twin(ids), Method::PUT) => device_twins::replace(call, ids).await,
        (Noun::Methods(ids), Method::POST) => methods::invoke(call, ids).await,
        (Noun::Messages, Method::POST) => messages::send(call).await,
        (Noun::Commands(id), Method::DELETE) => messages::purge(call, &id).await,
        (Noun::Notices(which), Method::GET) => feedback::receive(call, which).await,
        (Noun::NoticesLock(which, token, false), Method::DELETE) => feedback::end(call, which, &token).await,
        (Noun::NoticesLock(which, token, true), Method::POST) => feedback::abandon(call, which, &token).await,
        (Noun::Configurations, Method::GET) => configurations::list(call).await,
        (Noun::Configuration(id), Method::GET) => configurations::get(call, &id).await,
        (Noun::Configuration(id), Method::PUT) => configurations::put(call, id).await,
        (Noun::Configuration(id), Method::DELETE) => configurations::delete(call, &id).await,
        (Noun::ConfigurationQueries, Method::POST) => configurations::test_queries(call).await,
        (Noun::ConfigurationContent(id), Method::POST) => configurations::apply(call, &id).await,
        (Noun::DigitalTwin(id), Method::GET) => digital_twins::get(call, &id).await,
        (Noun::DigitalTwin(id), Method::PATCH) => digital_twins::patch(call, &id).await,
        (Noun::Command(id, component, name), Method::POST) => {
            digital_twins::invoke(call, &id, component.as_deref(), name).await
        }
        (Noun::DeviceStatistics, Method::GET) => statistics::devices(call).await,
        (Noun::ServiceStatistics, Method::GET) => statistics::service(call).await,
        _ => Ok(status::not_allowed(services)),
    }
}

fn noun(path: &[String], method: &Method) -> Option<Noun> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match path {
        [devices] if is(devices, "devices") => Some(Noun::Devices),
        // A device may bear the name `query`; only it is never posted to.
        [devices, query] if is(devices, "devices") && is(query, "query") && method == Method::POST => {
            Some(Noun::Query)
        }
        [devices, id] if is(devices, "devices") => Some(Noun::Device(id.clone())),
        [devices, id, rest @ ..] if is(devices, "devices") => match rest {
            [modules] if is(modules, "modules") => Some(Noun::Modules(id.clone())),
            [modules, module] if is(modules, "modules") => Some(Noun::Module(id.clone(), module.clone())),
            [commands] if is(commands, "commands") => Some(Noun::Commands(id.clone())),
            [apply] if is(apply, "applyConfigurationContent") => Some(Noun::ConfigurationContent(id.clone())),
            _ => None,
        },
        [configurations, rest @ ..] if is(configurations, "configurations") => match rest {
            [] => Some(Noun::Configurations),
            // As with `query`: no configuration is posted to.
            [test] if is(test, "testQueries") && method == Method::POST => Some(Noun::ConfigurationQueries),
            [id] => Some(Noun::Configuration(id.clone())),
            _ => None,
        },
        [jobs, version, rest @ ..] if is(jobs, "jobs") && is(version, "v2") => match rest {
            [query] if is(query, "query") => Some(Noun::Jobs),
            [id] => Some(Noun::Job(id.clone())),
            [id, cancel] if is(cancel, "cancel") => Some(Noun::JobCancellation(id.clone())),
            _ => None,
        },
        [jobs] if is(jobs, "jobs") => Some(Noun::RegistryJobs),
        [jobs, create] if is(jobs, "jobs") && is(create, "create") => Some(Noun::NewRegistryJob),
        [jobs, id] if is(jobs, "jobs") => Some(Noun::RegistryJob(id.clone())),
        [twins, id, rest @ ..] if is(twins, "digitaltwins") => digital_twin_noun(id, rest),
        [twins, id, rest @ ..] if is(twins, "twins") => twin_noun(id, rest),
        [statistics, of] if is(statistics, "statistics") && is(of, "devices") => Some(Noun::DeviceStatistics),
        [statistics, of] if is(statistics, "statistics") && is(of, "service") => {
            Some(Noun::ServiceStatistics)
        }
        [messages, rest @ ..] if is(messages, "messages") => match rest {
            [to] if is(to, "devicebound") => Some(Noun::Messages),
            [to, what, rest @ ..] if is(to, "servicebound") => {
                let which = feedback::named(what)?;
                match rest {
                    [] => Some(Noun::Notices(which)),
                    rest => lock(rest).map(|(token, abandoned)| Noun::NoticesLock(which, token, abandoned)),
                }
            }
            _ => None,
        },
        _ => None,
    }
}

/// The device whose own the path is.
fn own(path: &[String]) -> Option<(String, Own)> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let [devices, id, behind @ ..] = path else { return None };
    if !is(devices, "devices") {
        return None;
    }
    if let Some(files) = files::named(behind) {
        return Some((id.clone(), Own::Files(files)));
    }
    let [messages, rest @ ..] = behind else { return None };
    if !is(messages, "messages") {
        return None;
    }
    let own = match rest {
        [events] if is(events, "events") => Own::Events,
        [to] if is(to, "devicebound") => Own::Devicebound,
        [to, rest @ ..] if is(to, "devicebound") => {
            let (token, abandoned) = lock(rest)?;
            Own::Lock(token, abandoned)
        }
        _ => return None,
    };
    Some((id.clone(), own))
}

/// `{lock token}` or `{lock token}/abandon`.
fn lock(path: &[String]) -> Option<(String, bool)> {
    match path {
        [token] => Some((token.clone(), false)),
        [token, abandon] if abandon.eq_ignore_ascii_case("abandon") => Some((token.clone(), true)),
        _ => None,
    }
}

/// What follows `/digitaltwins/{id}`.
fn digital_twin_noun(id: &str, rest: &[String]) -> Option<Noun> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match rest {
        [] => Some(Noun::DigitalTwin(id.to_owned())),
        [commands, name] if is(commands, "commands") => {
            Some(Noun::Command(id.to_owned(), None, name.clone()))
        }
        [components, component, commands, name]
            if is(components, "components") && is(commands, "commands") =>
        {
            Some(Noun::Command(id.to_owned(), Some(component.clone()), name.clone()))
        }
        _ => None,
    }
}

/// What follows `/twins/{id}`.
fn twin_noun(id: &str, rest: &[String]) -> Option<Noun> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let (ids, rest) = match rest {
        [modules, module, rest @ ..] if is(modules, "modules") => {
            ((id.to_owned(), Some(module.clone())), rest)
        }
        rest => ((id.to_owned(), None), rest),
    };
    match rest {
        [] => Some(Noun::Twin(ids)),
        [methods] if is(methods, "methods") => Some(Noun::Methods(ids)),
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
