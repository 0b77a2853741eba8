//! A query of digital twins, devices or routing.

#![no_main]

#[path = "../../crates/query/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::query(input));
