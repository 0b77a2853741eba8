//! The binary as its users run it: a process, its exit code, what it prints.

mod command;
mod demo;
mod errors;
mod server;
