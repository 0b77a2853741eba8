//! What consumers of events leave behind when they cannot do their work.

use serde::{Deserialize, Serialize};

use crate::{OwnerName, Timestamp};

/// An event that a function or a routing endpoint was not to be brought to, given up after retries; kept with its payload so that it can be shown and replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Unique for its owner; grows.
    pub id: i64,
    /// The function app, or the hub or digital twins instance whose endpoint did not take it.
    pub app: OwnerName,
    /// `ingest` or `retire`; the name of an endpoint.
    pub function: String,
    /// Who keeps the stream the event came from.
    pub namespace: OwnerName,
    /// The event hub in it.
    pub event_hub: String,
    /// The partition.
    pub partition: u32,
    /// The event's sequence number there.
    pub sequence_number: i64,
    /// When the event was enqueued.
    pub enqueued: Timestamp,
    /// When the function gave up.
    pub failed: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt said.
    pub reason: String,
    /// The AMQP message sections.
    #[serde(skip)]
    pub payload: Vec<u8>,
}
