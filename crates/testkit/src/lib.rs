//! For tests only: seeded randomness, temporary places, a server of one's own, a whole deployment made of processes. The
//! virtual clock is `pollux_model::ManualClock`.

#[cfg(feature = "deployment")]
pub mod deployment;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "pki")]
pub mod pki;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "seeded")]
pub mod seeded;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "nats")]
pub use nats::{Nats, NatsOptions};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresSettings};
#[cfg(feature = "seeded")]
pub use seeded::SeededRandom;
#[cfg(feature = "server")]
pub use server::TestServer;
