//! Every rule of Pollux, once.
//!
//! A service takes a [`Caller`](caller::Caller) and plain values, decides, and commits one batch. It names no protocol
//! and no backend: edges translate on the way in and out, stores keep what was decided.

pub mod authority;
pub mod blobs;
pub mod caller;
pub mod cluster;
mod consume;
pub mod context;
mod dead_letters;
mod destination;
pub mod events;
pub mod forwarding;
pub mod functions;
pub mod hub;
pub mod issuer;
mod job_work;
pub mod lifecycle;
pub mod limits;
pub mod provisioning;
mod rates;
pub mod resources;
pub mod steps;
pub mod trace;
pub mod twins;

#[cfg(test)]
mod fixture;
mod services;
mod stored_key;
mod streams;
mod supervise;

pub use caller::{Caller, HubAction, Right};
pub use cluster::Cluster;
pub use context::Context;
pub use limits::Limits;
pub use pollux_client::tls::SystemTrust;
pub use services::{Services, Settings};
