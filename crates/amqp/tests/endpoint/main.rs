//! The endpoint: two of them talking to each other, one against bytes written by hand, and one against noise.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod hostile;
mod links;
mod negotiation;
mod noise;
mod pair;
mod raw;
mod windows;
