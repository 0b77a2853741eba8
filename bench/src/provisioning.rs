//! Complete registrations: a new TLS connection each, register, poll until assigned, goodbye; the twin is made and
//! everything is on disk. By symmetric key and by certificate, over MQTT and HTTPS, next to the bare handshake (for
//! certificates: of both sides) of the same run.

mod device;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use futures_util::future::try_join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use self::device::Proof;
use crate::Plan;
use crate::bare::Bare;
use crate::process::cpu_seconds;
use crate::report::{DURABLE, Figure, Report};
use crate::subject::{Cpu, Subject};

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

/// Which registrations are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Derived keys, over MQTT
    KeyMqtt,
    /// Derived keys, over HTTPS
    KeyHttps,
    /// Certificates, over MQTT
    X509Mqtt,
    /// Certificates, over HTTPS
    X509Https,
}

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::KeyMqtt => "symmetric key, MQTT",
            Self::KeyHttps => "symmetric key, HTTPS",
            Self::X509Mqtt => "X.509, MQTT",
            Self::X509Https => "X.509, HTTPS",
        }
    }

    const fn transport(self) -> Transport {
        match self {
            Self::KeyMqtt | Self::X509Mqtt => Transport::Mqtt,
            Self::KeyHttps | Self::X509Https => Transport::Https,
        }
    }

    const fn by_certificate(self) -> bool {
        matches!(self, Self::X509Mqtt | Self::X509Https)
    }
}

/// How devices speak to the provisioning service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// CONNECT, SUBSCRIBE, PUBLISH and its answer, twice.
    Mqtt,
    /// PUT and GETs on one connection.
    Https,
}

/// Measures these, or all of them where none is named.
pub(crate) async fn measure(plan: Plan, kinds: &[Kind]) -> Result<Report> {
    let kinds = if kinds.is_empty() { Kind::value_variants() } else { kinds };
    let subject = Subject::start(NO_WAIT)?;
    let (tls, mutual) = (Bare::start()?, Bare::start_mutual()?);
    let (by_key, by_certificate) =
        (World::new(&subject, plan).await?, World::by_certificate(&subject, plan).await?);
    let world = |kind: Kind| if kind.by_certificate() { &by_certificate } else { &by_key };
    let mut ours = vec![Vec::new(); kinds.len()];
    let (mut limit, mut mutual_limit) = (Vec::new(), Vec::new());
    for _ in 0..plan.repetitions {
        for (kind, samples) in kinds.iter().zip(&mut ours) {
            samples.push(world(*kind).registrations(&subject, kind.transport(), plan.duration).await?);
        }
        limit.push(handshakes(&tls, plan.duration / 2).await?);
        mutual_limit.push(handshakes(&mutual, plan.duration / 2).await?);
    }
    let mut report = Report::new("provisioning", DURABLE);
    let runs = |samples: &[Sample], of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
    let mut bare = |name: &str, samples: &[Sample]| {
        report.figure(Figure::new(name, "handshakes/s", runs(samples, |s| s.per_second)));
        report.figure(Figure::new("  cost", "CPU-s/handshake", runs(samples, Sample::cpu_seconds_each)))
    };
    let tls_cost = bare("bare TLS: accept, handshake, echo, close", &limit);
    let mutual_cost = bare("bare mTLS: the same, the client's certificate verified", &mutual_limit);
    for (kind, samples) in kinds.iter().zip(&ours) {
        let name = kind.title();
        let title = format!("registrations, {name}, {CLIENTS} at a time");
        report.figure(Figure::new(&title, "registrations/s", runs(samples, |s| s.per_second)));
        let cost = report.figure(Figure::new(
            "  cost",
            "CPU-s/registration",
            runs(samples, Sample::cpu_seconds_each),
        ));
        let bare = if kind.by_certificate() { mutual_cost } else { tls_cost };
        report.ratio(format!("  {name}: per CPU-second, as a part of bare handshakes"), bare / cost);
    }
    report
        .note(format!("resident memory of the server at the end: {:.0} MB", subject.resident_bytes()? / 1e6));
    report.note(
        "goals over MQTT: 0.6 or more for X.509 (P5) and symmetric keys (P6 of PERFORMANCE); moonshot: 0.8",
    );
    Ok(report)
}

/// Devices that were not there before.
#[derive(Debug)]
pub(crate) struct World {
    proof: Proof,
    next: AtomicU64,
}

impl World {
    /// Devices with derived keys. Makes ready, and works a while before it counts: caches, allocations, the first
    /// connections.
    pub(crate) async fn new(subject: &Subject, plan: Plan) -> Result<Self> {
        subject.with_model().await?;
        Self::warm(Proof::keys(subject).await?, subject, plan).await
    }

    /// Devices with certificates of one authority.
    async fn by_certificate(subject: &Subject, plan: Plan) -> Result<Self> {
        Self::warm(Proof::certificates(subject).await?, subject, plan).await
    }

    async fn warm(proof: Proof, subject: &Subject, plan: Plan) -> Result<Self> {
        let world = Self { proof, next: AtomicU64::new(0) };
        world.registrations(subject, Transport::Mqtt, plan.duration / 4).await?;
        Ok(world)
    }

    /// As many as there is time for.
    pub(crate) async fn registrations(
        &self,
        subject: &Subject,
        transport: Transport,
        duration: Duration,
    ) -> Result<Sample> {
        let deadline = Instant::now() + duration;
        let client = async |turn: usize| -> Result<u64> {
            let mut done = 0;
            while Instant::now() < deadline {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                self.proof
                    .register(subject, transport, turn, number)
                    .await
                    .context("a registration failed")?;
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
