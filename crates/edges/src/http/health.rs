//! Whether the server is alive, ready, and its figures.
//!
//! `/health` and `/ready` are open to all. `/health` says that the process runs, nothing else. `/ready` asks what the
//! node needs ([`Readiness`]) and names what is missing; whoever asks often costs one look in a quarter of a second.
//! `/metrics` is for this machine and for the operator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::{BoxFuture, join_all};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use pollux_services::Services;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::About;
use super::admin::refusal;
use crate::authenticate;
use crate::peer::Peer;

/// For how long what was found is told again.
const FRESH: Duration = Duration::from_millis(250);
/// How long one of the needs may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most characters of a reason that are told to whoever asks.
const TOLD: usize = 160;

/// Says why what is needed is not there.
type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Something without which a node is of no use.
pub struct Need {
    name: &'static str,
    check: Check,
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Need").field(&self.name).finish()
    }
}

impl Need {
    /// `name` is told to whoever asks, such as `events (NATS)`; so is what `check` says, which must hold no secret.
    pub fn new(
        name: &'static str,
        check: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, check: Box::new(check) }
    }

    /// `None`: it is there.
    async fn missing(&self) -> Option<String> {
        let answer = tokio::time::timeout(PATIENCE, (self.check)()).await;
        let reason = answer.unwrap_or_else(|_| Err("it does not answer in time".to_owned())).err()?;
        // One line, whatever it was made of.
        let line = reason.lines().next().unwrap_or_default();
        Some(line.chars().take(TOLD).collect())
    }
}

/// Whether this node is to be given work.
#[derive(Default)]
pub struct Readiness {
    needs: Vec<Need>,
    draining: CancellationToken,
    /// What was found last. Held while it is looked at again: one look at a time, and all who wait for it share it.
    last: Mutex<Option<Found>>,
}

/// For each need, why it is missing.
struct Found {
    at: Instant,
    missing: Vec<Option<String>>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("needs", &self.needs).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Ready while all needs are there and `draining` has not begun.
    #[must_use]
    pub fn new(needs: Vec<Need>, draining: CancellationToken) -> Arc<Self> {
        Arc::new(Self { needs, draining, last: Mutex::default() })
    }

    /// What is missing, a line each.
    async fn missing(&self) -> Vec<String> {
        if self.draining.is_cancelled() {
            return vec!["not ready: draining".to_owned()];
        }
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|found| found.at.elapsed() >= FRESH) {
            let missing = join_all(self.needs.iter().map(Need::missing)).await;
            self.tell_changes(last.as_ref(), &missing);
            *last = Some(Found { at: Instant::now(), missing });
        }
        let found = last.iter().flat_map(|found| self.needs.iter().zip(&found.missing));
        let line = |(need, reason): (&Need, &Option<String>)| {
            reason.as_ref().map(|reason| format!("not ready: {}: {reason}", need.name))
        };
        found.filter_map(line).collect()
    }

    /// To the log: what was there before and is not now, and the other way round.
    fn tell_changes(&self, before: Option<&Found>, now: &[Option<String>]) {
        for (at, need) in self.needs.iter().enumerate() {
            let was_missing = before.is_some_and(|found| found.missing[at].is_some());
            match &now[at] {
                Some(reason) if !was_missing => {
                    tracing::warn!("not ready: {} is missing: {reason}", need.name);
                }
                None if was_missing => tracing::info!("{} is there again", need.name),
                Some(_) | None => {}
            }
        }
    }
}

#[derive(Clone)]
struct Health {
    services: Arc<Services>,
    about: About,
}

pub(super) fn router(services: Arc<Services>, about: About) -> Router {
    Router::new()
        .route("/health", get(async || (StatusCode::OK, "alive\n")))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Health { services, about })
}

async fn ready(State(health): State<Health>) -> Response {
    let missing = health.about.readiness.missing().await;
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
}

async fn metrics(
    State(health): State<Health>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if !peer.address.ip().to_canonical().is_loopback()
        && let Err(error) = authenticate::admin(&health.services, &headers)
    {
        return refusal(&error);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], (health.about.metrics)()).into_response()
}

#[cfg(test)]
mod tests;
