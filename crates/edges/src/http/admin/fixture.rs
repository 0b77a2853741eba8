//! For unit tests: the admin API with the operator's key.

use std::sync::Arc;

use axum::Router;
use pollux_model::resource::ResourceKind;
use pollux_services::Services;
use serde_json::{Value, json};

use crate::http::About;
use crate::http::rest::fixture::{Answer, Edge};

fn admin(services: Arc<Services>) -> Router {
    let about = About {
        connections: Arc::new(|| json!({})),
        metrics: Arc::new(String::new),
        readiness: Arc::default(),
    };
    super::router(services, about)
}

/// Somebody with the admin key.
pub(super) struct Operator(pub(super) Edge);

impl Operator {
    pub(super) async fn new() -> Self {
        Self(Edge::new(ResourceKind::Events, admin).await)
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let key = format!("Bearer {}", self.0.services.authority.reveal_admin_key().unwrap().reveal());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.0.send(method, path, &[("authorization", &key)], body).await
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await.is(200).json()
    }
}
