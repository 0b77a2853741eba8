//! Configuration, composition (the only place that picks backends) and running.
//!
//! ```text
//!   config.rs ─▶ run.rs ─▶ data_dir.rs ─▶ compose.rs (store, log, bus) ─▶ certificates.rs ─▶ listen.rs ─▶ serve
//! ```
//!
//! Nodes of one deployment share store, log and bus; what a data folder holds then is a node's own (`deployment.rs` says
//! what is not).
//!
//! [`run`] is `pollux serve`; [`start`] is the same for tests and the demo, which stop it themselves.

mod certificates;
mod compose;
pub mod config;
mod connections;
mod data_dir;
mod deployment;
mod error;
mod listen;
pub mod logging;
mod names;
mod run;
pub mod transfer;

pub use config::{Config, ConfigError};
pub use connections::Connections;
pub use error::ServeError;
pub use listen::Ports;
pub use run::{Running, run, start};
