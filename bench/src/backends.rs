//! The same loads on SQLite and segment files, on PostgreSQL and JetStream with one node, and with three. Beside them, in
//! the same run, what PostgreSQL and JetStream do without us.
//!
//! ```text
//!   core 1: generator, pgbench          core 0: nodes, PostgreSQL, nats-server
//! ```
//!
//! Everything that serves shares one core, so three nodes are not three times as fast here: what an operation costs each
//! part in CPU time is what tells how nodes add up.

mod peers;
mod servers;

use anyhow::{Context as _, Result};
use pollux_client::Rest;
use pollux_client::hub_device::HubDevice;

use crate::provisioning::{self, Transport, World};
use crate::report::{Figure, Report, median};
use crate::sample::Sample;
use crate::subject::{AT_ONCE, Cpu, Subject};
use crate::telemetry::{self, Ingested, SHAPES, total};
use crate::{Plan, twin_patch};

use peers::Peers;
pub(crate) use servers::Backends;

/// Devices that stay connected.
const DEVICES: usize = 1000;
/// Clients that change twins at the same time.
const CLIENTS: usize = 32;
/// What a counter of the JetStream log is called, and what it counts.
const FRAMES: &str = "pollux_events_frames_total";
const OVERTAKEN: &str = "pollux_events_frames_overtaken_total";

const DURABLE: &str = "SQLite and segment files: fdatasync before every acknowledgement; PostgreSQL: fsync and \
                       synchronous_commit on; nats-server: acknowledges when the system has the data";

/// A deployment that is measured, with all that works on it.
struct Trial {
    name: &'static str,
    subject: Subject,
    admin: Vec<Rest>,
    twins: Vec<Rest>,
    devices: Vec<HubDevice>,
    world: World,
    found: Found,
}

/// What the repetitions gave.
#[derive(Debug, Default)]
struct Found {
    /// Resident bytes of a node before the first device; bytes and CPU of each connection.
    base: f64,
    connection: f64,
    connecting: Cpu,
    registrations: Vec<provisioning::Sample>,
    /// Bytes of the state that each registration left.
    device_bytes: Vec<f64>,
    telemetry: [Vec<Messages>; SHAPES.len()],
    changes: Vec<Sample>,
    /// Bytes of WAL for each change.
    wal: Vec<f64>,
}

/// A repetition of telemetry.
#[derive(Debug, Clone, Copy)]
struct Messages {
    sample: telemetry::Sample,
    /// Bytes that each left in the log.
    bytes: f64,
    /// Events in a frame, and frames that another node's had overtaken, of each that was stored.
    frame: f64,
    overtaken: f64,
}

/// Measures.
pub(crate) async fn measure(plan: Plan) -> Result<Report> {
    let (one, three) = (Backends::start().await?, Backends::start().await?);
    let (Some(one), Some(three)) = (one, three) else {
        let mut report = Report::new("backends", DURABLE);
        report.note("SKIPPED: PostgreSQL or nats-server is not installed");
        return Ok(report);
    };
    let peers = Peers::new(&one).await?;
    let subjects = [
        ("SQLite + segments", Subject::start(provisioning::NO_WAIT)?),
        ("PostgreSQL + JetStream", Subject::start_nodes(1, one, provisioning::NO_WAIT)?),
        ("the same, 3 nodes", Subject::start_nodes(3, three, provisioning::NO_WAIT)?),
    ];
    let mut trials = Vec::new();
    for (name, subject) in subjects {
        trials.push(Trial::new(name, subject, plan).await.context(name)?);
    }
    let mut beside = peers::Found::default();
    for _ in 0..plan.repetitions {
        let backends = trials[1].subject.backends().context("it was started on PostgreSQL")?;
        peers.measure(backends, plan.duration / 2, &mut beside).await?;
        for trial in &mut trials {
            trial.repetition(plan).await.context(trial.name)?;
        }
    }
    let mut report = Report::new("backends", DURABLE);
    beside.tell(&mut report);
    for trial in &trials {
        trial.tell(&mut report);
    }
    compare(&mut report, &trials, &beside);
    report.note("all that serves is on one core: rates are what that core gives, costs say how nodes add up");
    Ok(report)
}

impl Trial {
    async fn new(name: &'static str, subject: Subject, plan: Plan) -> Result<Self> {
        // Few connections: what they leave behind would be taken for the devices' memory.
        subject.with_devices(DEVICES, 2).await?;
        let (before, cpu) = (subject.resident_bytes()?, subject.cpu()?);
        let devices: Vec<_> = subject.connect(DEVICES).await?.into_iter().map(|(device, _)| device).collect();
        let count = devices.len() as f64;
        let found = Found {
            base: before / subject.count() as f64,
            connection: (subject.resident_bytes()? - before) / count,
            connecting: (subject.cpu()? - cpu).micros_each(count),
            ..Found::default()
        };
        let world = World::new(&subject, plan).await?;
        let (admin, twins) = (subject.admin()?, subject.twins()?);
        twin_patch::make(&twins).await?;
        telemetry::send(&devices[..AT_ONCE], 1, plan.duration / 4).await?;
        twin_patch::repetition(&subject, &twins, CLIENTS, plan.duration / 4).await?;
        Ok(Self { name, subject, admin, twins, devices, world, found })
    }

    async fn repetition(&mut self, plan: Plan) -> Result<()> {
        let before = servers::state_bytes(&self.subject)?;
        let sample = self.world.registrations(&self.subject, Transport::Mqtt, plan.duration).await?;
        self.found.device_bytes.push((servers::state_bytes(&self.subject)? - before) / sample.count);
        self.found.registrations.push(sample);
        for (index, shape) in SHAPES.into_iter().enumerate() {
            let messages = self.messages(shape, plan).await?;
            self.found.telemetry[index].push(messages);
        }
        let before = servers::wal(&self.subject);
        let sample = twin_patch::repetition(&self.subject, &self.twins, CLIENTS, plan.duration).await?;
        self.found.wal.push((servers::wal(&self.subject) - before) / sample.count);
        self.found.changes.push(sample);
        Ok(())
    }

    async fn messages(&self, (connections, window): (usize, usize), plan: Plan) -> Result<Messages> {
        let counters = async || -> Result<[f64; 2]> {
            let frames = total(&self.admin, FRAMES, "").await?;
            let overtaken = total(&self.admin, OVERTAKEN, "").await?;
            Ok([frames as f64, overtaken as f64])
        };
        let (bytes, before) = (servers::log_bytes(&self.subject)?, counters().await?);
        let devices = &self.devices[..connections];
        let ingested = Ingested { subject: &self.subject, admin: &self.admin };
        let sample = telemetry::repetition(&ingested, devices, window, plan.duration).await?;
        let (bytes, after) = (servers::log_bytes(&self.subject)? - bytes, counters().await?);
        let frames = after[0] - before[0];
        Ok(Messages {
            sample,
            bytes: bytes / sample.count,
            frame: sample.count / frames,
            overtaken: (after[1] - before[1]) / frames,
        })
    }

    fn on_servers(&self) -> bool {
        self.subject.backends().is_some()
    }

    fn tell(&self, report: &mut Report) {
        let found = &self.found;
        let mut figure = |name: &str, unit, runs: Vec<f64>| {
            report.figure(Figure::new(format!("{}: {name}", self.name), unit, runs));
        };
        figure("node without connections, resident", "MB", vec![found.base / 1e6]);
        figure("idle MQTT device over TLS, resident", "kB/connection", vec![found.connection / 1e3]);
        let costs = |cpus: &[Cpu]| -> Vec<(&str, Vec<f64>)> {
            let of = |part: fn(&Cpu) -> f64| cpus.iter().map(part).collect();
            let nodes = ("  cost, nodes", of(|cpu| cpu.nodes));
            let servers =
                [("  cost, PostgreSQL", of(|cpu| cpu.postgres)), ("  cost, nats-server", of(|cpu| cpu.nats))];
            let servers = servers.into_iter().filter(|_| self.on_servers());
            std::iter::once(nodes).chain(servers).collect()
        };
        for (name, runs) in costs(&[found.connecting]) {
            figure(&format!("connect{name}"), "CPU-µs", runs);
        }
        let runs = found.registrations.iter().map(|sample| sample.per_second).collect();
        let clients = provisioning::CLIENTS;
        figure(&format!("registrations, {clients} at a time"), "registrations/s", runs);
        let each: Vec<_> =
            found.registrations.iter().map(|sample| sample.cpu.micros_each(sample.count)).collect();
        for (name, runs) in costs(&each) {
            figure(&format!("registration{name}"), "CPU-µs", runs);
        }
        figure("registration  left in the state's tables", "bytes", found.device_bytes.clone());
        for ((connections, window), all) in SHAPES.into_iter().zip(&found.telemetry) {
            let of = |part: fn(&Messages) -> f64| all.iter().map(part).collect::<Vec<_>>();
            let shape = format!("D2C {connections} × {window}");
            figure(&shape, "acknowledged/s", of(|one| one.sample.acknowledged_per_second));
            let delivered = of(|one| one.sample.delivered_per_second);
            figure(&format!("{shape}  until the consumer has had all"), "delivered/s", delivered);
            figure(&format!("{shape}  acknowledgement, median"), "ms", of(|one| one.sample.p50_ms));
            figure(&format!("{shape}  acknowledgement, 99th percentile"), "ms", of(|one| one.sample.p99_ms));
            let each: Vec<_> = all.iter().map(|one| one.sample.cpu.micros_each(one.sample.count)).collect();
            for (name, runs) in costs(&each) {
                figure(&format!("{shape}{name}"), "CPU-µs", runs);
            }
            figure(&format!("{shape}  left in the log"), "bytes", of(|one| one.bytes));
            if self.on_servers() {
                figure(&format!("{shape}  in a frame"), "messages", of(|one| one.frame));
                figure(&format!("{shape}  overtaken, of each stored"), "frames", of(|one| one.overtaken));
            }
        }
        let runs = found.changes.iter().map(|sample| sample.per_second).collect();
        figure(&format!("PATCH a twin, {CLIENTS} clients"), "changes/s", runs);
        let each: Vec<_> = found.changes.iter().map(|sample| sample.cpu.micros_each(sample.count)).collect();
        for (name, runs) in costs(&each) {
            figure(&format!("PATCH{name}"), "CPU-µs", runs);
        }
        if self.on_servers() {
            figure("PATCH  written to the WAL", "bytes", found.wal.clone());
        }
    }

    /// Registrations a second and their nodes' CPU; messages and theirs, for each shape; changes and theirs.
    fn medians(&self) -> Vec<(String, f64, f64)> {
        let all: Vec<_> = self.found.registrations.iter().map(|s| (s.per_second, s.cpu, s.count)).collect();
        let mut rows = vec![row("registrations".to_owned(), &all)];
        for ((connections, window), all) in SHAPES.into_iter().zip(&self.found.telemetry) {
            let all: Vec<_> = all
                .iter()
                .map(|one| (one.sample.acknowledged_per_second, one.sample.cpu, one.sample.count))
                .collect();
            rows.push(row(format!("D2C {connections} × {window}"), &all));
        }
        let all: Vec<_> = self.found.changes.iter().map(|s| (s.per_second, s.cpu, s.count)).collect();
        rows.push(row("twin changes".to_owned(), &all));
        rows
    }
}

fn row(name: String, samples: &[(f64, Cpu, f64)]) -> (String, f64, f64) {
    let rates: Vec<_> = samples.iter().map(|sample| sample.0).collect();
    let costs: Vec<_> = samples.iter().map(|(_, cpu, count)| cpu.micros_each(*count).nodes).collect();
    (name, median(&rates), median(&costs))
}

/// From one deployment to the next, and against the peers.
fn compare(report: &mut Report, trials: &[Trial], beside: &peers::Found) {
    let rows: Vec<_> = trials.iter().map(Trial::medians).collect();
    let [embedded, one, three] = rows.as_slice() else { return };
    for ((embedded, one), three) in embedded.iter().zip(one).zip(three) {
        let name = &embedded.0;
        report.ratio(format!("{name}: nodes' CPU, PostgreSQL + JetStream / embedded"), one.2 / embedded.2);
        report.ratio(format!("{name}: nodes' CPU, 3 nodes / 1 node"), three.2 / one.2);
        report.ratio(format!("{name}: rate, 3 nodes / 1 node (one core for all)"), three.1 / one.1);
    }
    let [registrations, .., changes] = one.as_slice() else { return };
    report.ratio("registrations / pgbench simple-update", registrations.1 / beside.updates());
    report.ratio("twin changes / pgbench simple-update", changes.1 / beside.updates());
    if let Some(messages) = one.get(1) {
        report.ratio("D2C 100 × 16 / JetStream publishes, 16 in flight", messages.1 / beside.publishes());
    }
}
