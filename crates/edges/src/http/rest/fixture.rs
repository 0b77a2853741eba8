//! For tests: one service's routes over a SQLite store, without a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::sas;
use pollux_services::Services;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::http::target::Target;
use crate::peer::Peer;

/// A server without sockets: the resources of a first start, the routes of one of them.
pub(in crate::http) struct Edge {
    pub(in crate::http) services: Arc<Services>,
    pub(in crate::http) target: Arc<Resource>,
    router: Router,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
pub(in crate::http) struct Answer {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) headers: HeaderMap,
    pub(in crate::http) text: String,
}

impl Answer {
    pub(in crate::http) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(in crate::http) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    #[track_caller]
    pub(in crate::http) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

impl Edge {
    pub(in crate::http) async fn new(kind: ResourceKind, router: fn(Arc<Services>) -> Router) -> Self {
        let (services, folder) = crate::fixture::services().await;
        let target = services.context.table.serving(kind, "localhost").unwrap();
        Self { router: router(Arc::clone(&services)), services, target, _folder: folder }
    }

    /// A token of a policy of the target, good for an hour.
    pub(in crate::http) fn token(&self, policy: &str) -> String {
        let key = self.target.policy(policy).unwrap().primary().bytes();
        sas::sign("localhost", &key, self.expiry(), Some(policy))
    }

    /// An hour from now.
    pub(in crate::http) fn expiry(&self) -> i64 {
        self.services.context.clock.now().as_secs() + 3600
    }

    pub(in crate::http) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let peer = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        self.send_from(peer, method, path, headers, body).await
    }

    pub(in crate::http) async fn send_from(
        &self,
        peer: Peer,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8443");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.extension(Target(Arc::clone(&self.target))).extension(peer).body(body.into()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = crate::http::body::read(body, 64 * 1024 * 1024).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// With a token of the policy and an API version.
    pub(in crate::http) async fn call(
        &self,
        policy: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let token = self.token(policy);
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        let joint = if path.contains('?') { '&' } else { '?' };
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(method, &format!("{path}{joint}api-version=2021-04-12"), &all, body).await
    }
}
