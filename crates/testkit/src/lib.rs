//! For tests only: seeded randomness, temporary places, a server of one's own. The virtual clock is
//! `pollux_model::ManualClock`.

pub mod seeded;
#[cfg(feature = "server")]
pub mod server;

pub use seeded::SeededRandom;
#[cfg(feature = "server")]
pub use server::TestServer;
