//! A whole server, from outside.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod admin;
mod backends;
mod start;
mod tls;
mod tokens;
