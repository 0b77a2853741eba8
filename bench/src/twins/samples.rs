//! What was measured of each question, of each that was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::questions::Question;
use crate::report::{median, number};

/// One repetition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Of whoever answers.
    pub(super) cpu_micros: f64,
    /// Rows of one answer, or their number where that is asked.
    pub(super) rows: f64,
}

impl Sample {
    /// Of answers that took so long each, all together `seconds`.
    pub(super) fn new(mut took: Vec<Duration>, seconds: f64, cpu_seconds: f64, rows: f64) -> Self {
        took.sort_unstable();
        let at =
            |part: usize| took.get(took.len() * part / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
        let count = took.len() as f64;
        Self {
            per_second: count / seconds,
            p50_ms: at(50),
            p99_ms: at(99),
            cpu_micros: cpu_seconds * 1e6 / count,
            rows,
        }
    }
}

/// Asks on all connections at once for so long; gives how long each answer took, and all of it in seconds.
pub(super) async fn ask_for<C>(
    duration: Duration,
    connections: &mut [C],
    ask: impl AsyncFn(&mut C) -> Result<()>,
) -> Result<(Vec<Duration>, f64)> {
    let (began, ask) = (Instant::now(), &ask);
    let asked = connections.iter_mut().map(async |connection| -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        while began.elapsed() < duration {
            let began = Instant::now();
            ask(connection).await?;
            took.push(began.elapsed());
        }
        Ok(took)
    });
    let took = try_join_all(asked).await?.concat();
    Ok((took, began.elapsed().as_secs_f64()))
}

type Key = (Question, &'static str, usize);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<Key, Vec<Sample>>);

impl Samples {
    pub(super) fn add(&mut self, question: Question, who: &'static str, clients: usize, sample: Sample) {
        self.0.entry((question, who, clients)).or_default().push(sample);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (String, &Vec<Sample>)> {
        let name = |(question, who, clients): &Key| format!("{}, {who}, {clients} clients", question.title());
        self.0.iter().map(move |(key, samples)| (name(key), samples))
    }

    pub(super) fn median(
        &self,
        question: Question,
        who: &'static str,
        clients: usize,
        part: fn(&Sample) -> f64,
    ) -> Option<f64> {
        let samples = self.0.get(&(question, who, clients))?;
        Some(median(&samples.iter().map(part).collect::<Vec<_>>()))
    }

    /// Medians, and the repetitions' CPU.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "  {:<28} {:<11} {:>7} {:>9} {:>9} {:>9} {:>9} {:>7}  [CPU-µs of each repetition]\n",
            "question", "who", "clients", "1/s", "p50 ms", "p99 ms", "CPU-µs", "rows"
        );
        for ((question, who, clients), samples) in &self.0 {
            let of = |part: fn(&Sample) -> f64| samples.iter().map(part).collect::<Vec<_>>();
            let middle = |part| number(median(&of(part)));
            let runs = of(|one| one.cpu_micros).into_iter().map(number).collect::<Vec<_>>().join(", ");
            text.push_str(&format!(
                "  {:<28} {:<11} {:>7} {:>9} {:>9} {:>9} {:>9} {:>7}  [{runs}]\n",
                question.title(),
                who,
                clients,
                middle(|one| one.per_second),
                middle(|one| one.p50_ms),
                middle(|one| one.p99_ms),
                middle(|one| one.cpu_micros),
                middle(|one| one.rows),
            ));
        }
        text
    }
}
