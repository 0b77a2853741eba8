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

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use pollux_services::Services;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::dispatch::Dispatcher;
pub use self::health::{Need, Readiness};
use crate::accept::Admission;
use crate::amqp::Amqp;
use crate::mqtt::Mqtt;
use crate::peer::Peer;
use crate::websocket::{self, Socket};

/// Where other protocols are spoken in WebSockets: to event hubs (`WEBSOCKET` constants of PyPI's azure-eventhub), and to hubs
/// and provisioning services (`mqtt_ws.js` and `amqp_ws.js` of npm's device clients).
const EVENTS_PATH: &str = "/$servicebus/websocket";
const DEVICES_PATH: &str = "/$iothub/websocket";
/// What clients call them (`Sec-WebSocket-Protocol`).
const AMQP_PROTOCOL: &str = "AMQPWSB10";
const MQTT_PROTOCOL: &str = "mqtt";
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
    amqp: Arc<Amqp>,
    mqtt: Arc<Mqtt>,
    first_request: Duration,
}

impl Http {
    /// Over the services; `amqp` and `mqtt` serve what comes in WebSockets.
    #[must_use]
    pub fn new(services: Arc<Services>, about: About, amqp: Arc<Amqp>, mqtt: Arc<Mqtt>) -> Arc<Self> {
        let first_request = Duration::from_secs(services.context.limits.handshake_timeout_seconds);
        Arc::new(Self { dispatcher: Dispatcher::new(services, about), amqp, mqtt, first_request })
    }

    /// Serves one connection until it ends; after `shutdown` the request under way is finished and no other taken.
    pub async fn serve<S>(
        self: Arc<Self>,
        stream: S,
        peer: Peer,
        mut admission: Admission,
        shutdown: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let arrived = Arc::new((AtomicBool::new(false), Notify::new()));
        let (http, seen) = (Arc::clone(&self), Arc::clone(&arrived));
        let upgraded: Arc<Mutex<Option<(&'static str, OnUpgrade)>>> = Arc::default();
        let (upgrade, from) = (Arc::clone(&upgraded), peer.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            if !seen.0.swap(true, Ordering::Relaxed) {
                seen.1.notify_one();
            }
            let (http, upgrade, peer) = (Arc::clone(&http), Arc::clone(&upgrade), from.clone());
            async move {
                // uamqp ends the path with a slash.
                let protocols: &[&'static str] = match request.uri().path().trim_end_matches('/') {
                    EVENTS_PATH => &[AMQP_PROTOCOL],
                    DEVICES_PATH => &[MQTT_PROTOCOL, AMQP_PROTOCOL],
                    _ => return Ok::<_, Infallible>(http.dispatcher.answer(request, peer).await),
                };
                Ok(match websocket::accept(&request, protocols) {
                    Ok((protocol, answer)) => {
                        *upgrade.lock() = Some((protocol, hyper::upgrade::on(&mut request)));
                        answer
                    }
                    Err(refusal) => *refusal,
                })
            }
        });
        let mut connection = pin!(builder().serve_connection(TokioIo::new(stream), service).with_upgrades());
        let first = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = tokio::time::sleep(self.first_request) => return,
            () = shutdown.cancelled() => return,
            () = arrived.1.notified() => None,
        };
        // Whoever is about to speak another protocol has proved nothing yet.
        if upgraded.lock().is_none() {
            admission.settled();
        }
        let ended = match first {
            Some(ended) => ended,
            None => tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            },
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended badly");
        }
        let upgrade = upgraded.lock().take();
        if let Some((protocol, upgrade)) = upgrade
            && let Ok(stream) = upgrade.await
        {
            let socket = Socket::new(TokioIo::new(stream)).await;
            match protocol {
                MQTT_PROTOCOL => Arc::clone(&self.mqtt).serve(socket, peer, Some(admission), shutdown).await,
                _ => Arc::clone(&self.amqp).serve(socket, peer, admission, shutdown).await,
            }
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
