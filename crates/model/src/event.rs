//! Events on their way from a hub to an event hub.
//!
//! An [`OutboxEntry`] is committed together with the change it tells of; a relay moves it to the event log and then
//! forgets it. The payload is an AMQP 1.0 message (sections as crate `amqp` encodes them) and is never looked into here.

use serde::{Deserialize, Serialize};

use crate::OwnerName;

/// An event that was committed with its cause and waits to be appended to the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Who keeps the stream it goes to.
    pub namespace: OwnerName,
    /// Which of the owner's streams: the event hub.
    pub event_hub: String,
    /// Decides the partition: the device's or twin's id.
    pub partition_key: String,
    /// Names this event once and for all, so that a retried append is not stored twice.
    pub idempotency_key: [u8; 16],
    /// The AMQP message sections.
    pub payload: Vec<u8>,
}

/// A consumer's place in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last sequence number whose effect is durable.
    pub sequence_number: i64,
    /// Its offset.
    pub offset: i64,
}
