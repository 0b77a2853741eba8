//! The MQTT edge over services of its own: a device speaks bytes into a pipe, the log and the store tell what became
//! of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

mod connecting;
mod device;
mod devicebound;
mod hostile;
mod hub;
mod provisioning;
mod world;
