//! Events: a partitioned, durable, append-only log; its two backends; the suite every backend passes.
//!
//! [`log`] holds the trait [`EventLog`] and its contract, [`segment`] the backend for one machine, [`jetstream`] the
//! one that several nodes share, [`suite`] the generic tests. What an event means (AMQP sections, routing, consumer groups) is decided elsewhere: here a
//! payload is opaque bytes.

pub mod jetstream;
mod keys;
pub mod log;
pub mod segment;
mod span;
pub mod suite;

pub use jetstream::{JetStreamLog, JetStreamOptions};
pub use log::{
    EventLog, IdempotencyKey, InvalidStreamName, LogError, NewRecord, PartitionInfo, Position, ReadFrom,
    ReadLimit, Record, Retention, StreamConfig, StreamName, Trimmed,
};
pub use segment::{OpenError, SegmentLog, SegmentOptions};
