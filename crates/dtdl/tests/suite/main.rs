//! Behaviour of the crate through its public interface.

mod common;
mod conformance;
