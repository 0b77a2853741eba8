//! The seam between an MQTT connection and the service behind it.
//!
//! [`super::connection`] owns the socket and the protocol machine; a [`Session`] knows one service's topics. A session
//! never waits inside a call: what takes time is returned as a future and runs beside the connection, so that many
//! publishes of one device can be on their way to the disk at once. Acknowledgements leave in the order of the
//! publishes whatever order the futures end in.

use std::fmt::Debug;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pollux_model::Timestamp;
use tokio::sync::mpsc;

/// A PUBLISH from the device. QoS 2 never gets here.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The topic as it was sent.
    pub topic: String,
    /// The body.
    pub payload: Bytes,
    /// Whether the device wants an acknowledgement (QoS 1).
    pub acknowledged: bool,
    /// The retain flag.
    pub retain: bool,
    /// The duplicate flag.
    pub duplicate: bool,
}

/// A PUBLISH to the device.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// The topic.
    pub topic: String,
    /// The body.
    pub payload: Bytes,
    /// QoS 1 when true, else 0. Lowered to what the device subscribed with.
    pub acknowledged: bool,
}

/// What the connection does with a publish.
pub enum Handling {
    /// Acknowledge it in its turn (nothing to wait for).
    Done,
    /// Acknowledge it in its turn once the future ends well; close the connection if it does not. Messages in the
    /// result are sent to the device after the acknowledgement.
    Pending(BoxFuture<'static, Result<Vec<Outbound>, Close>>),
    /// Close the connection.
    Close(Close),
}

impl Debug for Handling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Done => "Done",
            Self::Pending(_) => "Pending",
            Self::Close(_) => "Close",
        })
    }
}

/// Why a connection is closed. MQTT 3.1.1 has no words for it on the wire: this is for the log and for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// What happened, without secrets.
    pub reason: String,
}

impl Close {
    /// A reason in words.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What the service side wants of a live connection. Comes through a bounded channel.
#[derive(Debug)]
pub enum Command {
    /// Send this to the device, if it subscribed to the topic.
    Send(Outbound),
    /// Close the connection (takeover, disable, delete, token expiry, shutdown).
    Close(Close),
}

/// One authenticated connection's side of a service.
pub trait Session: Send + Debug {
    /// A PUBLISH from the device.
    fn publish(&mut self, message: Inbound) -> Handling;

    /// A SUBSCRIBE: whether the filter is granted. Quality of service is capped at 1 by the connection.
    fn subscribe(&mut self, filter: &str) -> bool;

    /// What the service wants of this connection; `None` if it never wants anything.
    fn commands(&mut self) -> Option<mpsc::Receiver<Command>>;

    /// When the credential runs out.
    fn expires(&self) -> Option<Timestamp>;

    /// The connection ended; `graceful` after a DISCONNECT. Must not block.
    fn ended(self: Box<Self>, graceful: bool);
}
