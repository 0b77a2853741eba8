//! A JSON Patch, and the object that it is applied to.

#![no_main]

#[path = "../../crates/services/src/twins/json_patch.rs"]
mod json_patch;
#[path = "../../crates/services/src/twins/tests/patch_targets.rs"]
mod targets;

/// What `services` says of patches, as far as patches themselves are concerned.
mod refusal {
    use std::fmt::Display;

    use pollux_model::{Error, ErrorCode};

    pub(super) fn patch(words: impl Display) -> Error {
        Error::new(ErrorCode::JsonPatchInvalid, words.to_string())
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::twins_patch(input));
