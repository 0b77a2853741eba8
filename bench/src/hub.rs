//! The hub: device-to-cloud messages beside mosquitto and NATS, idle devices beside a bare TLS task, twins, direct methods.
//!
//! ```text
//!   telemetry.rs (the load) ─▶ pollux.rs │ peers.rs: mosquitto, nats-server with MQTT in turn    P1 to P4
//!   idle.rs                 ─▶ pollux serve │ bare.rs                                            P7
//!   rounds.rs               ─▶ reported and desired properties, methods: there and back
//! ```
//!
//! All connections are TLS 1.3 with P-256 keys. Every broker has one consumer that reads all: of Pollux an AMQP client at the built-in
//! endpoint, of the others a durable subscriber at QoS 1.

mod compared;
mod idle;
mod peers;
mod pollux;
mod rounds;

use anyhow::Result;
use clap::ValueEnum;

use crate::Plan;
use crate::report::{DURABLE, Report};

/// Parts of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Device-to-cloud messages, QoS 1: P1 to P4
    Telemetry,
    /// Memory of idle devices: P7
    Idle,
    /// Reported and desired properties, direct methods
    Rounds,
}

/// Measures these parts; all when there are none.
pub(crate) async fn measure(plan: Plan, parts: &[Part]) -> Result<Report> {
    let mut report = Report::new("hub", DURABLE);
    let wanted = |part: Part| parts.is_empty() || parts.contains(&part);
    if wanted(Part::Telemetry) {
        compared::measure(plan, &mut report).await?;
    }
    if wanted(Part::Rounds) {
        rounds::measure(plan, &mut report).await?;
    }
    if wanted(Part::Idle) {
        idle::measure(plan, &mut report).await?;
    }
    Ok(report)
}
