//! The routes against services over a SQLite store, without a socket: shapes, statuses, headers. Rules are tested where
//! they live.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use pollux_eventlog::{SegmentLog, SegmentOptions};
use pollux_model::SystemClock;
use pollux_model::resource::ResourceKind;
use pollux_services::issuer::GrantRequest;
use pollux_services::resources::ResourceTable;
use pollux_services::{Context, Limits, Services};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_testkit::SeededRandom;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::http::target::Target;
use crate::peer::Peer;

mod doors;
mod jobs;
mod shapes;

const ROOM: &str = "dtmi:example:Room;1";

/// A server without sockets.
struct Edge {
    router: Router,
    services: Arc<Services>,
    token: String,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        assert_eq!(self.headers["x-ms-error-code"], self.body["error"]["code"].as_str().unwrap());
        self.body["error"]["code"].as_str().unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

impl Edge {
    async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
        let log =
            SegmentLog::open(&folder.path().join("log"), SegmentOptions::default(), clock.clone()).unwrap();
        let context = Context {
            store: Arc::new(store),
            log: Arc::new(log),
            clock,
            random: Arc::new(SeededRandom::new(1)),
            table: ResourceTable::new(vec!["localhost".into()]),
            limits: Limits::default(),
            cluster: pollux_services::Cluster::solo(),
            https_ports: std::sync::OnceLock::new(),
            http: reqwest::Client::new(),
            trust: pollux_services::SystemTrust::default(),
        };
        let services = Services::new(Arc::new(context));
        services.load(&[]).await.unwrap();
        let client = services.issuer.credentials().unwrap();
        let request = GrantRequest {
            tenant: client.tenant_id,
            grant_type: Some("client_credentials".into()),
            client_id: Some(client.client_id),
            client_secret: Some(client.client_secret),
            scope: Some("https://digitaltwins.azure.net/.default".into()),
        };
        let token =
            services.issuer.grant(&request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap().access_token;
        Self { router: super::router(Arc::clone(&services)), services, token, _folder: folder }
    }

    /// With the model below.
    async fn with_model() -> Self {
        let edge = Self::new().await;
        let answer = edge.call("POST", "/models", &[], Some(json!([room_model()]))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        edge
    }

    async fn raw(&self, method: &str, path_and_query: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path_and_query).header("host", "twins.example.com:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let resource = self.services.context.table.serving(ResourceKind::Twins, "localhost").unwrap();
        let peer = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let request = request.extension(Target(resource)).extension(peer).body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = crate::http::body::read(body, 64 * 1024 * 1024).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// With the token, in the version of 2020.
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.versioned("2020-10-31", method, path, headers, body).await
    }

    async fn versioned(
        &self,
        version: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let joint = if path.contains('?') { '&' } else { '?' };
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.raw(method, &format!("{path}{joint}api-version={version}"), &all, body).await
    }
}

fn room_model() -> Value {
    json!({
        "@id": ROOM, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "displayName": "Room",
        "contents": [
            { "@type": "Property", "name": "Temperature", "schema": "double" },
            { "@type": "Property", "name": "Name", "schema": "string" },
            { "@type": "Relationship", "name": "beside", "properties": [
                { "@type": "Property", "name": "door", "schema": "boolean" },
            ]},
        ],
    })
}

fn room() -> Value {
    json!({ "$metadata": { "$model": ROOM }, "Temperature": 20 })
}
