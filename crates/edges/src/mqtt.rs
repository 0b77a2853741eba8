//! MQTT: one listener, the service chosen by the user name.

pub mod session;
