//! A server's end of a connection, with a driver that agrees to most things.

#![no_main]

#[path = "../../crates/amqp/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::endpoint(input));
