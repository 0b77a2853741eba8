//! What the functions leave behind when they cannot do their work.

use serde::{Deserialize, Serialize};

use crate::{ResourceName, Timestamp};

/// An event a function gave up on after its retries, kept with its payload so that it can be shown and replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Unique in the function app; grows.
    pub id: i64,
    /// The function app.
    pub app: ResourceName,
    /// `ingest` or `retire`.
    pub function: String,
    /// The namespace the event came from.
    pub namespace: ResourceName,
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
