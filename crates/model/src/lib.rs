//! The nouns of Pollux: resources, devices, enrollments, twins, events, ids, error codes, clock.
//!
//! No I/O, no async, no SQL, no wire types. Every other crate may know this one; it knows none of them.

pub mod sas;
pub mod time;

pub use time::{Clock, ManualClock, SystemClock, Timestamp};
