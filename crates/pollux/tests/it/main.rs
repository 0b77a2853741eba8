//! The binary as its users run it: a process, its exit code, what it prints.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod admin;
mod command;
mod demo;
mod deprovision;
mod errors;
mod server;
