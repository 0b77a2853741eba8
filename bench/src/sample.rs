//! What a load gave: how much, how fast, at what cost.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::report::{Figure, Report};
use crate::subject::{Cpu, Subject};

/// One repetition of operations that clients make one after the other, each client at its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) count: f64,
    pub(crate) cpu: Cpu,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Sample {
    /// As many operations as there is time for; `operation` is given the number of its client, from 0.
    pub(crate) async fn of(
        subject: &Subject,
        clients: usize,
        duration: Duration,
        operation: impl AsyncFn(usize) -> Result<()>,
    ) -> Result<Self> {
        let (cpu, start) = (subject.cpu()?, Instant::now());
        let client = async |client: usize| -> Result<Vec<Duration>> {
            let mut took = Vec::new();
            while start.elapsed() < duration {
                let began = Instant::now();
                operation(client).await?;
                took.push(began.elapsed());
            }
            Ok(took)
        };
        let mut took = try_join_all((0..clients).map(client)).await?.concat();
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), subject.cpu()? - cpu);
        took.sort_unstable();
        let count = took.len() as f64;
        let (p50_ms, p99_ms) = (quantile(&took, 0.5), quantile(&took, 0.99));
        Ok(Self { per_second: count / seconds, count, cpu, p50_ms, p99_ms })
    }

    /// The figures of all repetitions; gives the median of the rates.
    pub(crate) fn tell(report: &mut Report, name: String, unit: &'static str, samples: &[Self]) -> f64 {
        let runs = |of: fn(&Self) -> f64| samples.iter().map(of).collect::<Vec<_>>();
        let rate = report.figure(Figure::new(name, unit, runs(|s| s.per_second)));
        let cost = runs(|s| s.cpu.micros_each(s.count).nodes);
        report.figure(Figure::new("  cost", "CPU-s/million", cost));
        report.figure(Figure::new("  answer, median", "ms", runs(|s| s.p50_ms)));
        report.figure(Figure::new("  answer, 99th percentile", "ms", runs(|s| s.p99_ms)));
        rate
    }
}

/// In milliseconds; of none, not a number.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
