//! Memory of idle devices: connected over MQTT and TLS, silent. Next to a bare rustls task that holds as many connections.

use anyhow::Result;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::pollux::HUB_ONLY;
use crate::Plan;
use crate::bare::Bare;
use crate::process::resident_bytes;
use crate::report::{Figure, Report};
use crate::subject::{AT_ONCE, Subject};

/// Devices.
const DEVICES: usize = 10_000;

/// Measures.
pub(super) async fn measure(plan: Plan, report: &mut Report) -> Result<()> {
    let (mut ours, mut limit, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.repetitions {
        // New processes each time: memory that was freed is not given back to the system.
        let (before, each) = devices().await?;
        empty.push(before / 1e6);
        ours.push(each / 1e3);
        limit.push(bare().await? / 1e3);
    }
    report.figure(Figure::new("server without connections, resident", "MB", empty));
    let name = format!("idle MQTT device over TLS, {DEVICES} of them, resident");
    let ours = report.figure(Figure::new(name, "kB/connection", ours));
    let limit = report.figure(Figure::new("bare rustls task, the same number", "kB/connection", limit));
    report.ratio("P7: memory per connection / the bare task's (goal 2; moonshot 1.3)", ours / limit);
    Ok(())
}

/// Resident bytes before the first device, and of each.
async fn devices() -> Result<(f64, f64)> {
    let subject = Subject::start(HUB_ONLY)?;
    // Few connections: what they leave behind would be taken for the devices' memory.
    subject.with_devices(DEVICES, 2).await?;
    let before = subject.resident_bytes()?;
    let connected = subject.connect(DEVICES).await?;
    let after = subject.resident_bytes()?;
    Ok((before, (after - before) / connected.len() as f64))
}

/// Resident bytes of a connection that a bare server holds.
async fn bare() -> Result<f64> {
    let bare = Bare::start()?;
    let before = resident_bytes(bare.pid())?;
    let connected: Vec<_> =
        stream::iter(0..DEVICES).map(|_| bare.connect()).buffer_unordered(AT_ONCE).try_collect().await?;
    let after = resident_bytes(bare.pid())?;
    Ok((after - before) / connected.len() as f64)
}
