//! Which service a request is for: by its host name where a resource bears it, by its path on this machine's own names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_services::Services;
use pollux_services::hub::files::CONTAINER;
use tower::Service as _;
use uuid::Uuid;

use super::target::Target;
use crate::peer::Peer;

use super::{About, admin, functions, health, hub, issuer, provisioning, twins};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// One router per service; a request goes to exactly one of them.
#[derive(Debug)]
pub(super) struct Dispatcher {
    services: Arc<Services>,
    provisioning: Router,
    hub: Router,
    twins: Router,
    functions: Router,
    issuer: Router,
    admin: Router,
    health: Router,
    /// Request ids: a random half for this run and a count.
    run: u64,
    count: AtomicU64,
}

/// Where a path leads on a name of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Issuer,
    Admin,
    Health,
    Service(ResourceKind),
    Nowhere,
}

impl Dispatcher {
    pub(super) fn new(services: Arc<Services>, about: About) -> Self {
        let mut run = [0; 8];
        services.context.random.fill(&mut run);
        Self {
            provisioning: provisioning::router(Arc::clone(&services)),
            hub: hub::router(Arc::clone(&services)),
            twins: twins::router(Arc::clone(&services)),
            functions: functions::router(Arc::clone(&services)),
            issuer: issuer::router(Arc::clone(&services)),
            admin: admin::router(Arc::clone(&services), about.clone()),
            health: health::router(Arc::clone(&services), about),
            services,
            run: u64::from_le_bytes(run),
            count: AtomicU64::new(0),
        }
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, mut request: Request<Incoming>, peer: Peer) -> Response {
        request.extensions_mut().insert(peer);
        let mut response = match self.choose(&mut request) {
            Ok(router) => carried_out(router.clone(), request).await,
            Err(refusal) => *refusal,
        };
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.request_id());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn choose(&self, request: &mut Request<Incoming>) -> Result<&Router, Box<Response>> {
        let Some(host) = host_of(request) else {
            return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "BadRequest", "the request names no host")));
        };
        let path = request.uri().path();
        let place = match self.borne_by(host) {
            // A name that is one resource's alone needs no look at the path.
            Some(kind) => Place::Service(kind),
            None if is_of_device(request) => Place::Service(ResourceKind::Hub),
            None => place(path),
        };
        let router = match place {
            Place::Service(kind) => {
                let Some(resource) = self.resource(kind, host, path) else {
                    return Err(Box::new(nowhere(host, path)));
                };
                let router = self.router(kind).ok_or_else(|| Box::new(nowhere(host, path)))?;
                request.extensions_mut().insert(Target(resource));
                router
            }
            Place::Issuer if self.is_local(host) => &self.issuer,
            Place::Admin if self.is_local(host) => &self.admin,
            Place::Health => &self.health,
            Place::Issuer | Place::Admin | Place::Nowhere => return Err(Box::new(nowhere(host, path))),
        };
        Ok(router)
    }

    const fn router(&self, kind: ResourceKind) -> Option<&Router> {
        match kind {
            ResourceKind::Dps => Some(&self.provisioning),
            ResourceKind::Hub => Some(&self.hub),
            ResourceKind::Twins => Some(&self.twins),
            ResourceKind::Functions => Some(&self.functions),
            // Event hubs are spoken to in AMQP.
            ResourceKind::Events => None,
        }
    }

    /// The kind of the only resource that bears this name; `None` for names of this machine, shared and unknown ones.
    fn borne_by(&self, host: &str) -> Option<ResourceKind> {
        if self.is_local(host) {
            return None;
        }
        let table = &self.services.context.table;
        let mut kinds = ResourceKind::ALL.into_iter().filter(|kind| table.serving(*kind, host).is_some());
        let (only, None) = (kinds.next()?, kinds.next()) else { return None };
        Some(only)
    }

    fn resource(&self, kind: ResourceKind, host: &str, path: &str) -> Option<Arc<Resource>> {
        let table = &self.services.context.table;
        if kind == ResourceKind::Dps
            && let Some(by_scope) = id_scope(path).and_then(|scope| table.with_id_scope(scope))
        {
            return Some(by_scope);
        }
        table.serving(kind, host)
    }

    fn is_local(&self, host: &str) -> bool {
        self.services.context.table.is_local(without_port(host))
    }

    fn request_id(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = Uuid::from_u64_pair(self.run, count).as_hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// Runs a request. One that may change something runs to its end even if its client goes away meanwhile, for its task
/// would be dropped with the connection: between a commit and what must follow it (a device that is cut off, a table in
/// memory that is replaced) nothing may come.
async fn carried_out(mut router: Router, request: Request<Incoming>) -> Response {
    if request.method().is_safe() {
        let Ok(response) = router.call(request).await;
        return response;
    }
    match tokio::spawn(async move { router.call(request).await }).await {
        Ok(Ok(response)) => response,
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the request broke off")
        }
    }
}

/// The host as the client wrote it, with its port.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST)?.to_str().ok().filter(|host| !host.is_empty()),
    }
}

/// A host name without its port; an IPv6 address without its brackets.
pub(in crate::http) fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    host.rsplit_once(':').filter(|(name, _)| !name.contains(':')).map_or(host, |(name, _)| name)
}

fn place(path: &str) -> Place {
    let mut segments = path.split('/').skip(1);
    let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    let any = |words: &[&str]| words.iter().any(|word| is(word));
    let twins_job =
        || is("jobs") && ["imports", "deletions"].iter().any(|word| second.eq_ignore_ascii_case(word));
    if any(&["models", "digitaltwins", "query", "eventroutes", "graph"]) || twins_job() {
        Place::Service(ResourceKind::Twins)
    } else if any(&[
        "devices",
        "twins",
        "statistics",
        "jobs",
        "configurations",
        "messages",
        "$iothub",
        CONTAINER,
    ]) {
        Place::Service(ResourceKind::Hub)
    } else if any(&["enrollments", "enrollmentGroups", "registrations", "audit", "revocations", "stats"])
        || id_scope(path).is_some()
    {
        Place::Service(ResourceKind::Dps)
    } else if is("api") {
        Place::Service(ResourceKind::Functions)
    } else if is("admin") {
        Place::Admin
    } else if any(&["health", "ready", "metrics"]) {
        Place::Health
    } else if is("common") || ["oauth2", "v2.0", "discovery"].contains(&second) {
        Place::Issuer
    } else {
        Place::Nowhere
    }
}

/// The versions of hubs' API that have digital twins; digital twins instances have none of them (`api_version` of PyPI's
/// azure-iot-hub and npm's azure-iothub, specification of the hub's service API).
const HUB_VERSIONS: [&str; 4] = ["2019-07-01-preview", "2020-05-31-preview", "2020-09-30", "2021-04-12"];

/// Whether a digital twin is meant that is a device's, on a name that hub and digital twins instance share: its hub takes shared
/// access signatures, which no digital twins instance does, has commands, and has API versions of its own.
fn is_of_device<B>(request: &Request<B>) -> bool {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let Some((twins, rest)) = request.uri().path().get(1..).and_then(|path| path.split_once('/')) else {
        return false;
    };
    if !is(twins, "digitaltwins") {
        return false;
    }
    let words: Vec<&str> = rest.split('/').collect();
    match words.as_slice() {
        [_] if [Method::GET, Method::PATCH].contains(request.method()) => {
            let signed = request.headers().get(AUTHORIZATION).is_some_and(|value| {
                let scheme = b"SharedAccessSignature";
                value.as_bytes().get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme))
            });
            signed || of_hub(request.uri().query().unwrap_or_default())
        }
        [_, commands, _] => is(commands, "commands"),
        [_, components, _, commands, _] => is(components, "components") && is(commands, "commands"),
        _ => false,
    }
}

/// Whether the API version is one of [`HUB_VERSIONS`].
fn of_hub(query: &str) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let version = pairs.find(|(name, _)| name.eq_ignore_ascii_case("api-version"));
    version.is_some_and(|(_, version)| HUB_VERSIONS.iter().any(|known| version.eq_ignore_ascii_case(known)))
}

/// The ID scope of `/0ne…/registrations/…`.
fn id_scope(path: &str) -> Option<&str> {
    let mut segments = path.split('/').skip(1);
    let (scope, next) = (segments.next()?, segments.next()?);
    let named = scope.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0ne"));
    (named && next.eq_ignore_ascii_case("registrations")).then_some(scope)
}

fn nowhere(host: &str, path: &str) -> Response {
    let (host, path) = (pollux_model::ids::shown(host), pollux_model::ids::shown(path));
    refuse(
        StatusCode::NOT_FOUND,
        "NotFound",
        &format!("no service of this deployment answers to '{path}' on '{host}'"),
    )
}

/// An answer of the dispatcher itself.
pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "code": code, "message": message } }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests;
