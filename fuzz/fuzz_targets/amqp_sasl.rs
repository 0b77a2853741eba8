//! The body of a SASL frame, and the credentials of PLAIN.

#![no_main]

#[path = "../../crates/amqp/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::sasl(input));
