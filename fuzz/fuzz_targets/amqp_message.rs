//! A message, its sections, and the messages in a batch.

#![no_main]

#[path = "../../crates/amqp/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::message(input));
