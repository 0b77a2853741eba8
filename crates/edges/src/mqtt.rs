//! MQTT: one listener for provisioning and hub; the user name of the CONNECT says which is meant.
//!
//! ```text
//!   TLS stream ─▶ connection (socket, protocol machine, limits in time) ─▶ session: hub | provisioning ─▶ services
//! ```

mod connection;
mod hub;
mod mailbox;
mod open;
mod provisioning;
pub mod session;
pub(crate) mod status;
mod topic;
mod user_name;

use std::sync::Arc;
use std::time::Duration;

use pollux_mqtt::Limits;
use pollux_services::Services;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::accept::Admission;
use crate::peer::Peer;
use connection::Driver;

/// Room for the topic, which carries the properties, beside the message itself.
const TOPIC_ROOM: usize = 64 * 1024;

/// Serves MQTT connections.
#[derive(Debug)]
pub struct Mqtt {
    services: Arc<Services>,
    limits: Arc<Limits>,
}

impl Mqtt {
    /// Over these services, with their limits.
    #[must_use]
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        let bounds = &services.context.limits;
        let limits = Limits {
            max_packet: bounds.device_message + TOPIC_ROOM,
            connect_timeout: Duration::from_secs(bounds.handshake_timeout_seconds),
            ..Limits::default()
        };
        Arc::new(Self { services, limits: Arc::new(limits) })
    }

    /// Serves one connection to its end: the client's goodbye, its silence, a violation, or `shutdown`. Must be called
    /// and polled inside a tokio runtime. About 750 bytes beside `stream`.
    pub fn serve<S>(
        self: Arc<Self>,
        stream: S,
        peer: impl Into<Peer>,
        admission: Option<Admission>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Driver::new(self, stream, peer.into(), admission, &shutdown)
    }
}
