//! Complete registrations: a new TLS connection each, CONNECT, subscribe, register, poll until assigned, goodbye; the
//! twin is made and everything is on disk. Next to the bare TLS handshake of the same run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use pollux_client::Credential;
use pollux_client::provisioning_device::{Registration, register};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::Plan;
use crate::bare::Bare;
use crate::process::cpu_seconds;
use crate::report::{DURABLE, Figure, Report};
use crate::subject::{Cpu, MODEL, Subject};

/// Devices at the same time.
pub(crate) const CLIENTS: usize = 32;

/// A device may poll its registration at once: what is measured is work, not waiting.
pub(crate) const NO_WAIT: &str = "[limits]\nregistration_retry_after_seconds = 0\n";

/// Operations and what they cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) count: f64,
    pub(crate) cpu: Cpu,
}

impl Sample {
    fn cpu_seconds_each(&self) -> f64 {
        self.cpu.nodes / self.count
    }
}

/// Measures.
pub(crate) async fn measure(plan: Plan) -> Result<Report> {
    let (subject, bare) = (Subject::start(NO_WAIT)?, Bare::start()?);
    let world = World::new(&subject, plan).await?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..plan.repetitions {
        ours.push(world.registrations(&subject, plan.duration).await?);
        limit.push(handshakes(&bare, plan.duration / 2).await?);
    }
    let mut report = Report::new("registrations", DURABLE);
    let runs = |samples: &[Sample], of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
    let name = format!("registrations, symmetric key, {CLIENTS} at a time");
    report.figure(Figure::new(&name, "registrations/s", runs(&ours, |s| s.per_second)));
    let cost =
        report.figure(Figure::new("  cost", "CPU-s/registration", runs(&ours, Sample::cpu_seconds_each)));
    report.figure(Figure::new(
        "bare TLS: accept, handshake, echo, close",
        "handshakes/s",
        runs(&limit, |s| s.per_second),
    ));
    let bare_cost =
        report.figure(Figure::new("  cost", "CPU-s/handshake", runs(&limit, Sample::cpu_seconds_each)));
    report.ratio("registrations per CPU-second, as a part of bare handshakes", bare_cost / cost);
    report
        .note(format!("resident memory of the server at the end: {:.0} MB", subject.resident_bytes()? / 1e6));
    report.note("goal: 0.6 or more; moonshot: 0.8 (P6 of PERFORMANCE)");
    Ok(report)
}

/// Devices that were not there before.
#[derive(Debug)]
pub(crate) struct World {
    key: pollux_model::Key,
    next: AtomicU64,
}

impl World {
    /// Makes ready, and works a while before it counts: caches, allocations, the first connections.
    pub(crate) async fn new(subject: &Subject, plan: Plan) -> Result<Self> {
        subject.with_model().await?;
        let key = subject.with_group("bench").await?;
        let world = Self { key, next: AtomicU64::new(0) };
        world.registrations(subject, plan.duration / 4).await?;
        Ok(world)
    }

    /// As many as there is time for.
    pub(crate) async fn registrations(&self, subject: &Subject, duration: Duration) -> Result<Sample> {
        let (scope, deadline) = (subject.id_scope()?, Instant::now() + duration);
        let client = async |turn: usize| -> Result<u64> {
            let (endpoint, mut done) = (subject.mqtt(turn)?, 0);
            while Instant::now() < deadline {
                let id = format!("device-{:08}", self.next.fetch_add(1, Ordering::Relaxed));
                let credential = Credential::Key(self.key.derive(&id).bytes());
                let registration =
                    Registration::new(scope, &id, credential).payload(json!({ "modelId": MODEL }));
                register(&endpoint, &registration).await.context("a registration failed")?;
                done += 1;
            }
            Ok(done)
        };
        sample(|| subject.cpu(), try_join_all((0..CLIENTS).map(client))).await
    }
}

async fn handshakes(bare: &Bare, duration: Duration) -> Result<Sample> {
    let deadline = Instant::now() + duration;
    let client = async || -> Result<u64> {
        let mut done = 0;
        while Instant::now() < deadline {
            bare.connect().await?.shutdown().await?;
            done += 1;
        }
        Ok(done)
    };
    let cpu = || Ok(Cpu { nodes: cpu_seconds(bare.pid())?, ..Cpu::default() });
    sample(cpu, try_join_all((0..CLIENTS).map(|_| client()))).await
}

async fn sample(
    cpu: impl Fn() -> Result<Cpu>,
    work: impl Future<Output = Result<Vec<u64>>>,
) -> Result<Sample> {
    let (before, start) = (cpu()?, Instant::now());
    let count = work.await?.into_iter().sum::<u64>() as f64;
    Ok(Sample { per_second: count / start.elapsed().as_secs_f64(), count, cpu: cpu()? - before })
}
