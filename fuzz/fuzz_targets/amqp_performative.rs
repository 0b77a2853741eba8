//! The body of an AMQP frame.

#![no_main]

#[path = "../../crates/amqp/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::performative(input));
