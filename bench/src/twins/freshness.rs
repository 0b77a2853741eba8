//! Whether a query sees what its client has just written: writers that ask after each acknowledged change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::campus::Campus;
use super::subject::Server;
use crate::report::Report;

const WRITERS: usize = 8;
/// Writes at most: the goal names this number.
const WRITES: usize = 10_000;

/// What was found.
pub(super) struct Found {
    writes: usize,
    stale: usize,
    seconds: f64,
}

/// Writes and asks until there were 10,000, or ten times the duration is over.
pub(super) async fn measure(server: &Server, campus: &Campus, duration: Duration) -> Result<Found> {
    let (next, stale, began) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let writer = async |_| -> Result<()> {
        let mut client = server.client().await?;
        while began.elapsed() < duration * 10 {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= WRITES {
                break;
            }
            // A value that no other twin has.
            let value = 1e6 + number as f64;
            client.ask(&server.patch(campus.thermostat(number), value)).await?;
            let text = format!("SELECT COUNT() FROM DIGITALTWINS T WHERE T.setpoint = {value}");
            let answer: Value = serde_json::from_slice(client.ask(&server.query(&text)).await?)?;
            if answer["value"][0]["COUNT"].as_u64().context("no count")? != 1 {
                stale.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    try_join_all((0..WRITERS).map(writer)).await?;
    let (writes, stale) = (next.into_inner().min(WRITES), stale.into_inner());
    Ok(Found { writes, stale, seconds: began.elapsed().as_secs_f64() })
}

impl Found {
    pub(super) fn tell(&self, report: &mut Report) {
        let Self { writes, stale, seconds } = self;
        report.note(format!(
            "P14 write, then query by what was written, {WRITERS} writers: {stale} stale of {writes} ({:.0} pairs/s)",
            *writes as f64 / seconds
        ));
    }
}
