//! The contract of a bus.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The connection is away for now; it comes back by itself.
    #[error("the bus is unavailable: {0}")]
    Unavailable(String),
    /// Somebody listens, as far as is known, but nobody answered in time: what was said may have been heard or not.
    #[error("nobody answered in time")]
    NoAnswer,
}

/// A message that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What was said.
    pub payload: Bytes,
    /// Where an answer goes, if one is wanted: [`Bus::publish`] it there.
    pub reply: Option<String>,
}

/// What is said on a subject, in the order each speaker said it. Dropping it stops listening.
pub type Listener = BoxStream<'static, Heard>;

/// Whether the answers so far are enough.
pub type Enough<'a> = &'a mut (dyn FnMut(&Bytes) -> bool + Send);

/// Messages between the nodes of a deployment.
///
/// ```text
///   node A ──request "device.hub1.d1"──▶ the node that listens there (or: nobody does, known at once)
///   node A ──publish "outbox.3"────────▶ everybody who listens, A itself too
/// ```
///
/// * **At most once**: what is said while somebody's connection is away is lost on them. Whoever must not miss a message
///   watches [`connections`](Self::connections) and looks for himself when the number has grown.
/// * **Order**: what one node says on one subject is heard in that order.
/// * A subject is words of `A-Z a-z 0-9 _ -` with dots between them; the backend sets the deployment's own prefix
///   before it.
#[async_trait]
pub trait Bus: Send + Sync + Debug {
    /// Says something to all who listen. Returns when it is on its way, not when it was heard.
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError>;

    /// Asks, and gives the first answer; `None` when nobody listens for certain. [`BusError::NoAnswer`] after `patience`:
    /// a connection that is lost unnoticed looks like that, on either side.
    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Option<Bytes>, BusError>;

    /// Asks everybody, and hears answers until `enough` says so of one or `patience` is over.
    async fn gather(
        &self,
        subject: &str,
        payload: Bytes,
        enough: Enough<'_>,
        patience: Duration,
    ) -> Result<(), BusError>;

    /// Listens on a subject. What is said after somebody heard this node's own message on the subject is heard.
    async fn subscribe(&self, subject: &str) -> Result<Listener, BusError>;

    /// Grows whenever the connection was made anew: what was said in between was lost on this node.
    fn connections(&self) -> watch::Receiver<u64>;

    /// Whether the connection is there now.
    fn healthy(&self) -> Result<(), BusError>;
}
