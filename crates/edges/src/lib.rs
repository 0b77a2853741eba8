//! Listeners and protocols: bytes become authenticated callers and plain requests; results become each protocol's own
//! words. No rule lives here, and no backend is named.
//!
//! ```text
//!   accept.rs ── TLS ─┬▶ amqp.rs ─▶ amqp/{publisher,consumer,request}.rs ──┐
//!                     ├▶ mqtt.rs ─▶ mqtt/provisioning.rs | mqtt/hub.rs ─┐
//!                    └─▶ http.rs ─▶ http/{provisioning,hub,twins,…}.rs ─┴─▶ services
//! ```

pub mod accept;
pub mod amqp;
pub mod authenticate;
pub(crate) mod class;
#[cfg(test)]
mod fixture;
pub mod http;
pub mod mqtt;
pub mod peer;
pub(crate) mod provisioning_status;
pub(crate) mod registering;
pub(crate) mod websocket;
