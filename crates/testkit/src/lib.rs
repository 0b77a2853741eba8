//! For tests only: seeded randomness, temporary places, a server of one's own. The virtual clock is
//! `pollux_model::ManualClock`.

pub mod seeded;

pub use seeded::SeededRandom;
