//! The JetStream log against a NATS server of the tests' own (skipped where there is no nats-server).

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod common;
mod connect;
mod faults;
mod handover;
mod handover_wire;
mod nodes;
