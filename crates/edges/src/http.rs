//! HTTP: one listener, the service chosen by host name and path.
//!
//! ```text
//!   accept.rs ─▶ Http::serve (one connection) ─▶ dispatch.rs ─┬─▶ twins | hub | provisioning | functions
//!                                                             └─▶ issuer | admin | health   (on this machine's names)
//! ```

mod admin;
pub(crate) mod body;
mod dispatch;
mod functions;
mod health;
mod hub;
mod issuer;
mod provisioning;
mod rest;
pub mod target;
mod twins;

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pollux_services::Services;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::dispatch::Dispatcher;
pub use self::health::{Need, Readiness};
use crate::accept::Admission;

/// How long a kept-alive connection may be idle, and how long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);
/// The most a request's head may take, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most header fields a request may have.
const MAX_HEADERS: usize = 100;

/// What only the composition knows, for the admin and health routes.
#[derive(Clone)]
pub struct About {
    /// The content of `connections.json`. Carries secrets: for the operator only.
    pub connections: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether this node is to be given work.
    pub readiness: Arc<Readiness>,
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About").finish_non_exhaustive()
    }
}

/// The HTTP edge.
#[derive(Debug)]
pub struct Http {
    dispatcher: Dispatcher,
    first_request: Duration,
}

impl Http {
    /// Over the services.
    #[must_use]
    pub fn new(services: Arc<Services>, about: About) -> Arc<Self> {
        let first_request = Duration::from_secs(services.context.limits.handshake_timeout_seconds);
        Arc::new(Self { dispatcher: Dispatcher::new(services, about), first_request })
    }

    /// Serves one connection until it ends; after `shutdown` the request under way is finished and no other taken.
    pub async fn serve<S>(
        self: Arc<Self>,
        stream: S,
        peer: SocketAddr,
        mut admission: Admission,
        shutdown: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let arrived = Arc::new((AtomicBool::new(false), Notify::new()));
        let (http, seen) = (Arc::clone(&self), Arc::clone(&arrived));
        let service = service_fn(move |request| {
            if !seen.0.swap(true, Ordering::Relaxed) {
                seen.1.notify_one();
            }
            let http = Arc::clone(&http);
            async move { Ok::<_, std::convert::Infallible>(http.dispatcher.answer(request, peer).await) }
        });
        let mut connection = pin!(builder().serve_connection(TokioIo::new(stream), service).with_upgrades());
        tokio::select! {
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(self.first_request) => return,
            () = shutdown.cancelled() => return,
            () = arrived.1.notified() => admission.settled(),
        }
        tokio::select! {
            _ = connection.as_mut() => return,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        if let Err(error) = connection.await {
            tracing::debug!(%peer, %error, "a connection ended badly");
        }
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
}
