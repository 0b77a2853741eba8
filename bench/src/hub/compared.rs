//! Device-to-cloud messages: Pollux, which acknowledges what is on disk, beside brokers that do not sync, by turns.

use anyhow::{Context as _, Result};

use super::peers::Peer;
use super::pollux::Pollux;
use crate::report::{Figure, Report, median};
use crate::telemetry::{BODY, Broker, Publisher, SHAPES, Sample, repetition, send};
use crate::{Plan, fdatasync};

/// What one broker gave, by shape.
struct Found {
    name: &'static str,
    samples: [Vec<Sample>; SHAPES.len()],
}

/// Measures.
pub(super) async fn measure(plan: Plan, report: &mut Report) -> Result<()> {
    let most = SHAPES.iter().map(|shape| shape.0).max().unwrap_or(1);
    let pollux = Pollux::start(most).await?;
    let peers = [Peer::mosquitto(most).await.context("mosquitto")?, Peer::nats(most).await.context("NATS")?];
    let peers: Vec<_> = peers.into_iter().flatten().collect();
    let names = std::iter::once("Pollux").chain(peers.iter().map(|peer| peer.name));
    let mut found: Vec<_> = names.map(|name| Found { name, samples: Default::default() }).collect();
    send(&pollux.devices[..SHAPES[0].0], SHAPES[0].1, plan.duration / 4).await?;
    for peer in &peers {
        send(&peer.clients[..SHAPES[0].0], SHAPES[0].1, plan.duration / 4).await?;
    }
    let mut syncs = Vec::new();
    for _ in 0..plan.repetitions {
        syncs.push(fdatasync::rate(plan.duration / 8).await?);
        found[0].turn(&pollux, &pollux.devices, plan).await?;
        for (peer, found) in peers.iter().zip(&mut found[1..]) {
            found.turn(peer, &peer.clients, plan).await.context(peer.name)?;
        }
    }
    let syncs = report.figure(Figure::new("raw fdatasync of the same run, one at a time", "syncs/s", syncs));
    for one in &found {
        one.tell(report);
    }
    for (at, (connections, window)) in SHAPES.into_iter().enumerate() {
        let rate = found[0].of(at, |sample| sample.acknowledged_per_second);
        report.ratio(format!("durable messages per raw fdatasync, {connections} × {window}"), rate / syncs);
    }
    for peer in &found[1..] {
        compare(report, &found[0], peer);
    }
    for name in ["mosquitto", "NATS MQTT"] {
        if !found.iter().any(|one| one.name == name) {
            report.note(format!("SKIPPED: {name} is not installed (Debian: mosquitto, nats-server)"));
        }
    }
    report.note("neither peer syncs before PUBACK; mosquitto keeps all in memory; NATS writes to files");
    Ok(())
}

impl Found {
    async fn turn(&mut self, broker: &impl Broker, devices: &[impl Publisher], plan: Plan) -> Result<()> {
        for ((connections, window), samples) in SHAPES.into_iter().zip(&mut self.samples) {
            samples.push(repetition(broker, &devices[..connections], window, plan.duration).await?);
        }
        Ok(())
    }

    /// The median of a shape.
    fn of(&self, shape: usize, what: fn(&Sample) -> f64) -> f64 {
        median(&self.samples[shape].iter().map(what).collect::<Vec<_>>())
    }

    fn tell(&self, report: &mut Report) {
        for ((connections, window), samples) in SHAPES.into_iter().zip(&self.samples) {
            let runs = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
            let name =
                format!("{}: D2C, QoS 1, TLS, {BODY} B, {connections} × {window} in flight", self.name);
            report.figure(Figure::new(name, "acknowledged/s", runs(|s| s.acknowledged_per_second)));
            let delivered = runs(|s| s.delivered_per_second);
            report.figure(Figure::new("  until the consumer has had all", "delivered/s", delivered));
            report.figure(Figure::new("  cost", "CPU-s/million delivered", runs(cost)));
            let rate = samples.iter().map(|sample| 1e6 / cost(sample)).collect();
            report.figure(Figure::new("  for each CPU-second", "delivered", rate));
            report.figure(Figure::new("  acknowledgement, median", "ms", runs(|s| s.p50_ms)));
            report.figure(Figure::new("  acknowledgement, 99th percentile", "ms", runs(|s| s.p99_ms)));
        }
    }
}

fn cost(sample: &Sample) -> f64 {
    sample.cpu.micros_each(sample.count).nodes
}

/// The goals of PERFORMANCE, as ratios of medians.
fn compare(report: &mut Report, pollux: &Found, peer: &Found) {
    let costs = |shape| pollux.of(shape, cost) / peer.of(shape, cost);
    let [many, single] = [costs(0), costs(1)];
    if peer.name == "mosquitto" {
        report.ratio("P1, P3: 100 × 16, cost / mosquitto's (goal 0.5; moonshot 0.25)", many);
        report.ratio("P2: 1000 × 1, cost / mosquitto's (goal 0.77; moonshot 0.5)", single);
        let p99 = pollux.of(1, |sample| sample.p99_ms) / peer.of(1, |sample| sample.p99_ms);
        report.ratio("P2: 1000 × 1, p99 of the ack / mosquitto's (goal 1)", p99);
    } else {
        report.ratio("P4: 100 × 16, cost / NATS MQTT's (goal 0.1; moonshot 0.05)", many);
        report.ratio("P4: 1000 × 1, cost / NATS MQTT's (goal 0.1; moonshot 0.05)", single);
    }
}
