//! Changes of one property of a twin over HTTPS, each on disk before it is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::Rest;
use serde_json::json;

use crate::report::{DURABLE, Figure, Report};
use crate::sample::Sample;
use crate::subject::{MODEL, Subject};
use crate::{Plan, fdatasync};

/// Clients at the same time.
const CLIENTS: [usize; 2] = [8, 64];
/// Twins that take turns.
const TWINS: usize = 1000;

/// Measures.
pub(crate) async fn measure(plan: Plan) -> Result<Report> {
    let subject = Subject::start("")?;
    subject.with_model().await?;
    let twins = subject.twins()?;
    make(&twins).await?;
    let mut samples = vec![Vec::new(); CLIENTS.len()];
    let mut syncs = Vec::new();
    for _ in 0..plan.repetitions {
        syncs.push(fdatasync::rate(plan.duration / 8).await?);
        for (clients, samples) in CLIENTS.iter().zip(&mut samples) {
            samples.push(repetition(&subject, &twins, *clients, plan.duration).await?);
        }
    }
    let mut report = Report::new("twin-patch", DURABLE);
    let syncs = report.figure(Figure::new("raw fdatasync of the same run, one at a time", "syncs/s", syncs));
    for (clients, samples) in CLIENTS.iter().zip(&samples) {
        let name = format!("PATCH one property, HTTPS, {clients} clients");
        let changes = Sample::tell(&mut report, name, "changes/s", samples);
        report.ratio(format!("durable changes per raw fdatasync, {clients} clients"), changes / syncs);
    }
    report.note("peer measured elsewhere (see PERFORMANCE): PostgreSQL, pgbench's update, 8 clients: 6.7k/s");
    Ok(report)
}

/// Makes the twins.
pub(crate) async fn make(twins: &[Rest]) -> Result<()> {
    let body = json!({ "$metadata": { "$model": MODEL }, "Temperature": 0.0 });
    let at = |index: usize| &twins[index % twins.len()];
    let made = stream::iter(0..TWINS).map(|index| at(index).put(&path(index)).json(body.clone()).send());
    made.buffer_unordered(32).try_for_each(async |_| Ok(())).await.context("cannot make the twins")
}

fn path(index: usize) -> String {
    format!("/digitaltwins/bench-{index:05}")
}

/// As many changes as there is time for.
pub(crate) async fn repetition(
    subject: &Subject,
    twins: &[Rest],
    clients: usize,
    duration: Duration,
) -> Result<Sample> {
    let next = AtomicUsize::new(0);
    let patch = async |client: usize| -> Result<()> {
        let (twins, index) = (&twins[client % twins.len()], next.fetch_add(1, Ordering::Relaxed));
        let patch = json!([{ "op": "replace", "path": "/Temperature", "value": index as f64 }]);
        twins.patch(&path(index % TWINS)).json_patch(patch).send().await.context("a change failed")?;
        Ok(())
    };
    Sample::of(subject, clients, duration, patch).await
}
