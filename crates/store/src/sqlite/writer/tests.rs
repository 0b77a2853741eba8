//! The writer under failure.
