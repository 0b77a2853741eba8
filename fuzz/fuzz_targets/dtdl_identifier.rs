//! An identifier of models.

#![no_main]

#[path = "../../crates/dtdl/tests/suite/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::identifier(input));
