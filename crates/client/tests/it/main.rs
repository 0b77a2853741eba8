//! The clients against small servers in the same process: real sockets, real TLS, ports from the system.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

mod device;
mod hub_device;
mod provisioning_device;
mod rest;
mod server;
