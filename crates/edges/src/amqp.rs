//! AMQP 1.0: event hubs, for every client that speaks the standard or Azure's dialect of it, hubs for their devices, and devices
//! that register.
//!
//! ```text
//!   TLS stream ─▶ connection (socket, protocol machine) ─▶ attach ─┬─▶ publisher ─▶ services::events
//!                                                                  ├─▶ consumer  ◀─ services::events
//!                                                                  ├─▶ request ($cbs: cbs │ $management: management)
//!                                                                  ├─▶ hub ◀─▶ services::hub
//!                                                                  └─▶ registration ─▶ services::provisioning
//! ```
//!
//! The protocol machine is `pollux_amqp::endpoint`; what is said on the links is Azure's ("AMQP 1.0 in Azure Service Bus
//! and Event Hubs protocol guide"; WIRE.md section 4.11).

mod attach;
mod cbs;
mod condition;
mod connection;
mod consumer;
mod entity;
mod hub;
mod management;
mod outbox;
mod position;
mod publisher;
mod registration;
mod request;
#[cfg(test)]
mod tests;
mod tpm;

use std::sync::Arc;
use std::time::Duration;

use pollux_amqp::endpoint::Limits;
use pollux_services::Services;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::accept::Admission;
use crate::peer::Peer;
use connection::Connection;

/// Sessions of a connection: the SDK for Java begins one for each device that it multiplexes, up to a thousand, and one for
/// their tokens, before it puts any (`AmqpsIotHubConnection.java`, `MultiplexingClient.java`).
const SESSIONS: u16 = 1024;
/// How long a connection may be without any token that holds (Azure closes such connections after a while too).
const STRANGER: Duration = Duration::from_secs(60);
/// How long one may be without a link to an event hub or `$management`. Azure closes such connections with the same words
/// (`amqp:connection:forced` in the article "AMQP error codes"); clients connect again when they have something to do.
const LINKLESS: Duration = Duration::from_secs(300);

/// Serves AMQP connections.
#[derive(Debug)]
pub struct Amqp {
    services: Arc<Services>,
    limits: Arc<Limits>,
}

impl Amqp {
    /// Over these services, with their limits.
    #[must_use]
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        let bounds = &services.context.limits;
        let limits = Limits {
            max_message_size: bounds.event as u64,
            max_sessions: SESSIONS,
            open_timeout: Duration::from_secs(bounds.handshake_timeout_seconds),
            ..Limits::default()
        };
        Arc::new(Self { services, limits: Arc::new(limits) })
    }

    /// Serves one connection to its end: the client's goodbye, its silence, a violation, or `shutdown`.
    pub async fn serve<S>(
        self: Arc<Self>,
        stream: S,
        peer: Peer,
        admission: Admission,
        shutdown: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        metrics::counter!("pollux_amqp_connections_total").increment(1);
        if let Err(error) = Connection::new(self, peer.clone(), admission).run(stream, &shutdown).await {
            tracing::debug!(%peer, %error, "an AMQP connection ended badly");
        }
    }
}
