//! HTTP: one listener, the service chosen by host name and path.

pub mod target;
