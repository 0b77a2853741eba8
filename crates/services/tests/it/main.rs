//! The services together: over a SQLite store and a segment log in a folder of their own, with a clock that is moved by
//! hand and webhooks on this machine. Twins alone are tested beside their code.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

mod audits;
mod enrichments;
mod functions;
mod hierarchies;
mod hub;
mod hub_modules;
mod hub_twins;
mod issuing;
mod lifecycle;
mod provisioning;
mod registering;
mod reprovisioning;
mod webhook;
mod webhooks;
mod world;
