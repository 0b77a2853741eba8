//! What PostgreSQL and JetStream do by themselves: pgbench's simple update, publishes of 256 bytes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::{self, stream::Config};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use super::Backends;
use crate::report::{Figure, Report, median};

/// pgbench's database, and how many times 100,000 accounts it has.
const DATABASE: &str = "pgbench";
const SCALE: &str = "10";
/// As many clients as register devices at a time.
const CLIENTS: &str = "32";
/// Publishes at the same time.
const IN_FLIGHT: [usize; 2] = [1, 16];
const BODY: usize = 256;
const SUBJECT: &str = "peer";

/// The peers, ready to be measured.
pub(super) struct Peers {
    jetstream: jetstream::Context,
}

/// What the repetitions gave: operations a second, CPU-µs of the server for each.
#[derive(Debug, Default)]
pub(super) struct Found {
    updates: Vec<(f64, f64)>,
    publishes: [Vec<(f64, f64)>; IN_FLIGHT.len()],
}

impl Peers {
    pub(super) async fn new(backends: &Backends) -> Result<Self> {
        backends.postgres.create_database(DATABASE);
        let mut fill = backends.postgres.tool("pgbench");
        fill.args(["--initialize", "--quiet", "--scale", SCALE, DATABASE]);
        tokio::task::spawn_blocking(move || said(&mut fill)).await??;
        let jetstream = jetstream::new(async_nats::connect(backends.nats.url()).await?);
        let config =
            Config { name: SUBJECT.to_owned(), subjects: vec![SUBJECT.to_owned()], ..Config::default() };
        jetstream.create_stream(config).await?;
        Ok(Self { jetstream })
    }

    /// One repetition of each.
    pub(super) async fn measure(
        &self,
        backends: &Backends,
        duration: Duration,
        found: &mut Found,
    ) -> Result<()> {
        let mut command = backends.postgres.tool("pgbench");
        let seconds = duration.as_secs().max(1).to_string();
        command.args(["--builtin=simple-update", "--no-vacuum", "--protocol=prepared"]);
        command.args(["--client", CLIENTS, "--time", &seconds, DATABASE]);
        let before = backends.cpu()?.0;
        let said = tokio::task::spawn_blocking(move || said(&mut command)).await??;
        let rate = number(&said, "tps = ")?;
        let count = number(&said, "transactions actually processed: ")?;
        found.updates.push((rate, (backends.cpu()?.0 - before) * 1e6 / count));
        for (in_flight, runs) in IN_FLIGHT.into_iter().zip(&mut found.publishes) {
            let (before, begun) = (backends.cpu()?.1, Instant::now());
            let count = self.publish(in_flight, duration).await?;
            let seconds = begun.elapsed().as_secs_f64();
            runs.push((count / seconds, (backends.cpu()?.1 - before) * 1e6 / count));
        }
        // Not for ever: what was published takes room.
        self.jetstream.get_stream(SUBJECT).await?.purge().await?;
        Ok(())
    }

    async fn publish(&self, in_flight: usize, duration: Duration) -> Result<f64> {
        let (deadline, body) = (Instant::now() + duration, Bytes::from_static(&[b'x'; BODY]));
        let (mut count, mut flying) = (0.0, FuturesUnordered::new());
        loop {
            while flying.len() < in_flight && Instant::now() < deadline {
                let ack = self.jetstream.publish(SUBJECT, body.clone()).await?;
                flying.push(ack.into_future());
            }
            let Some(acknowledged) = flying.next().await else { return Ok(count) };
            acknowledged.context("a publish was not acknowledged")?;
            count += 1.0;
        }
    }
}

impl Found {
    /// pgbench's transactions a second.
    pub(super) fn updates(&self) -> f64 {
        middle(&self.updates, |run| run.0)
    }

    /// JetStream's publishes a second, with most in flight.
    pub(super) fn publishes(&self) -> f64 {
        self.publishes.last().map_or(f64::NAN, |runs| middle(runs, |run| run.0))
    }

    pub(super) fn tell(&self, report: &mut Report) {
        let mut figures = |name: String, runs: &[(f64, f64)]| {
            let of = |part: fn(&(f64, f64)) -> f64| runs.iter().map(part).collect::<Vec<_>>();
            report.figure(Figure::new(&name, "1/s", of(|run| run.0)));
            report.figure(Figure::new("  cost, server", "CPU-µs", of(|run| run.1)));
        };
        figures(format!("peer: pgbench simple-update, {CLIENTS} clients"), &self.updates);
        for (in_flight, runs) in IN_FLIGHT.into_iter().zip(&self.publishes) {
            figures(format!("peer: JetStream publish of {BODY} B, {in_flight} in flight"), runs);
        }
    }
}

fn middle(runs: &[(f64, f64)], part: fn(&(f64, f64)) -> f64) -> f64 {
    median(&runs.iter().map(part).collect::<Vec<_>>())
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot run pgbench")?;
    if !output.status.success() {
        bail!("pgbench: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The number behind a text.
fn number(said: &str, name: &str) -> Result<f64> {
    let rest = said.split_once(name).with_context(|| format!("pgbench did not say '{name}'"))?.1;
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    digits.parse().with_context(|| format!("'{name}' has no number"))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn reads_what_pgbench_says() {
        let said =
            "number of transactions actually processed: 4120\nlatency average = 7.8 ms\ntps = 2061.5 (x)\n";
        assert_eq!(number(said, "transactions actually processed: ").unwrap(), 4120.0);
        assert_eq!(number(said, "tps = ").unwrap(), 2061.5);
        assert!(number(said, "nothing").is_err());
    }
}
