//! Events: a partitioned, durable, append-only log; the segment-file backend; the suite every backend passes.
//!
//! [`log`] holds the trait [`EventLog`] and its contract, [`segment`] the backend for one machine, [`suite`] the
//! generic tests. What an event means (AMQP sections, routing, consumer groups) is decided elsewhere: here a
//! payload is opaque bytes.

pub mod log;
pub mod segment;
pub mod suite;

pub use log::{
    EventLog, IdempotencyKey, InvalidStreamName, LogError, NewRecord, PartitionInfo, Position, ReadFrom,
    ReadLimit, Record, Retention, StreamConfig, StreamName, Trimmed,
};
pub use segment::{OpenError, SegmentLog, SegmentOptions};
