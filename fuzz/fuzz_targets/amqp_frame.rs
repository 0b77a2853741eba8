//! The byte stream: protocol headers, frames, and what is in them, however the bytes are cut.

#![no_main]

#[path = "../../crates/amqp/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::frame(input));
