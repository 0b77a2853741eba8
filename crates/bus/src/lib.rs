//! From node to node: what the nodes of one deployment tell and ask each other.
//!
//! [`Bus`] is the contract, [`nats`] the backend, [`exchange`] the same within one process, for tests of several nodes.
//! What is said is decided elsewhere: here a payload is opaque bytes. Nothing that must not be lost goes over the bus.

pub mod bus;
pub mod exchange;
pub mod nats;
pub mod suite;

pub use bus::{Bus, BusError, Heard, Listener};
pub use exchange::Exchange;
pub use nats::{NatsBus, NatsOptions, OpenError};
