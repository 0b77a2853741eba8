//! The state machine against a client made of the codec alone: no sockets, no clock.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

mod handshake;
mod hostile;
mod inbound;
mod outbound;
mod pair;
mod timers;
