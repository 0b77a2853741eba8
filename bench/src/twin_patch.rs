//! Changes of one property of a twin over HTTPS, each on disk before it is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::Rest;
use serde_json::json;
use tokio::time::Instant;

use crate::report::{DURABLE, Figure, Report};
use crate::subject::{Cpu, MODEL, Subject};
use crate::{Plan, fdatasync};

/// Clients at the same time.
const CLIENTS: [usize; 2] = [8, 64];
/// Twins that take turns.
const TWINS: usize = 1000;

/// What one repetition gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) count: f64,
    pub(crate) cpu: Cpu,
    pub(crate) p99_ms: f64,
}

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
        let runs = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
        let changes = report.figure(Figure::new(
            format!("PATCH one property, HTTPS, {clients} clients"),
            "changes/s",
            runs(|s| s.per_second),
        ));
        report.figure(Figure::new("  cost", "CPU-s/million", runs(|s| s.cpu.micros_each(s.count).nodes)));
        report.figure(Figure::new("  answer, 99th percentile", "ms", runs(|s| s.p99_ms)));
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
    let (cpu, start) = (subject.cpu()?, Instant::now());
    let deadline = start + duration;
    let client = async |turn: usize| -> Result<Vec<Duration>> {
        let (twins, mut took) = (&twins[turn % twins.len()], Vec::new());
        while Instant::now() < deadline {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let patch = json!([{ "op": "replace", "path": "/Temperature", "value": index as f64 }]);
            let began = Instant::now();
            twins.patch(&path(index % TWINS)).json_patch(patch).send().await.context("a change failed")?;
            took.push(began.elapsed());
        }
        Ok(took)
    };
    let mut took = try_join_all((0..clients).map(client)).await?.concat();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), subject.cpu()? - cpu);
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
    let count = took.len() as f64;
    Ok(Sample { per_second: count / seconds, count, cpu, p99_ms: p99 })
}
