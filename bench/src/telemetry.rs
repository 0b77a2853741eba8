//! Device-to-cloud messages at QoS 1, 256 bytes, acknowledged when they are on disk, until the consumer (the ingest
//! function, which reads every message and leaves those that are no JSON alone) has had all of them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use pollux_client::Rest;
use pollux_client::hub_device::HubDevice;
use pollux_client::properties::Properties;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::report::{DURABLE, Figure, Report};
use crate::subject::{AT_ONCE, Cpu, Subject};
use crate::{Plan, fdatasync};

/// Bytes of a message.
const BODY: usize = 256;
/// Connections and messages in flight on each.
pub(crate) const SHAPES: [(usize, usize); 2] = [(100, 16), (1000, 1)];
/// How long the consumer may take after the last acknowledgement.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Between two looks at what the consumer has had.
const LOOK: Duration = Duration::from_millis(20);

/// What one repetition gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) acknowledged_per_second: f64,
    pub(crate) delivered_per_second: f64,
    pub(crate) count: f64,
    pub(crate) cpu: Cpu,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Measures.
pub(crate) async fn measure(plan: Plan) -> Result<Report> {
    let subject = Subject::start("")?;
    let most = SHAPES.iter().map(|shape| shape.0).max().unwrap_or(1);
    subject.with_devices(most, AT_ONCE).await?;
    let devices = subject.connect(most).await?;
    let admin = subject.admin()?;
    let mut samples = vec![Vec::new(); SHAPES.len()];
    send(&devices[..SHAPES[0].0], SHAPES[0].1, plan.duration / 4).await?;
    let mut syncs = Vec::new();
    for _ in 0..plan.repetitions {
        syncs.push(fdatasync::rate(plan.duration / 8).await?);
        for (shape, samples) in SHAPES.iter().zip(&mut samples) {
            samples.push(repetition(&subject, &admin, &devices[..shape.0], shape.1, plan.duration).await?);
        }
    }
    let mut report = Report::new("telemetry", DURABLE);
    let syncs = report.figure(Figure::new("raw fdatasync of the same run, one at a time", "syncs/s", syncs));
    for ((connections, window), samples) in SHAPES.iter().zip(&samples) {
        let runs = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
        let name = format!("D2C, QoS 1, TLS, {BODY} B, {connections} connections × {window} in flight");
        let messages =
            report.figure(Figure::new(name, "acknowledged/s", runs(|s| s.acknowledged_per_second)));
        report.figure(Figure::new(
            "  until the consumer has had all",
            "delivered/s",
            runs(|s| s.delivered_per_second),
        ));
        report.figure(Figure::new(
            "  cost",
            "CPU-s/million delivered",
            runs(|s| s.cpu.micros_each(s.count).nodes),
        ));
        report.figure(Figure::new("  acknowledgement, median", "ms", runs(|s| s.p50_ms)));
        report.figure(Figure::new("  acknowledgement, 99th percentile", "ms", runs(|s| s.p99_ms)));
        report
            .ratio(format!("durable messages per raw fdatasync, {connections} × {window}"), messages / syncs);
    }
    report.note("peers measured elsewhere, CPU-s/million delivered, none with fsync (see PERFORMANCE): mosquitto 14.5 / 17.8 (TLS 26.7)");
    Ok(report)
}

pub(crate) async fn repetition(
    subject: &Subject,
    admin: &[Rest],
    devices: &[HubDevice],
    window: usize,
    duration: Duration,
) -> Result<Sample> {
    let seen = settled(admin).await?;
    let (cpu, start) = (subject.cpu()?, Instant::now());
    let mut acks = send(devices, window, duration).await?;
    let sent = start.elapsed();
    caught_up(admin, seen + acks.len() as u64).await?;
    let (all, cpu) = (start.elapsed(), subject.cpu()? - cpu);
    acks.sort_unstable();
    let quantile =
        |part: f64| acks.get((acks.len() as f64 * part) as usize).map_or(f64::NAN, |d| d.as_secs_f64() * 1e3);
    let count = acks.len() as f64;
    Ok(Sample {
        acknowledged_per_second: count / sent.as_secs_f64(),
        delivered_per_second: count / all.as_secs_f64(),
        count,
        cpu,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
    })
}

/// Sends from all devices until the time is over; gives how long each acknowledgement took.
pub(crate) async fn send(devices: &[HubDevice], window: usize, duration: Duration) -> Result<Vec<Duration>> {
    let deadline = Instant::now() + duration;
    let body = [b'x'; BODY];
    let properties = Properties::new();
    let device = async |device: &HubDevice| -> Result<Vec<Duration>> {
        let (mut acks, mut flying) = (Vec::new(), FuturesUnordered::new());
        loop {
            while flying.len() < window && Instant::now() < deadline {
                let start = Instant::now();
                let ack = device.send_start(body.to_vec(), &properties).await?;
                flying.push(async move { ack.await.map(|()| start.elapsed()) });
            }
            match flying.next().await {
                Some(took) => acks.push(took.context("a message was not acknowledged")?),
                None => return Ok(acks),
            }
        }
    };
    Ok(try_join_all(devices.iter().map(device)).await?.concat())
}

/// Waits until the consumer has had this many.
async fn caught_up(admin: &[Rest], wanted: u64) -> Result<()> {
    let deadline = Instant::now() + CATCH_UP;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        looks.tick().await;
        if consumed(admin).await? >= wanted {
            return Ok(());
        }
    }
    bail!("the consumer has had {} of {wanted} messages after {CATCH_UP:?}", consumed(admin).await?)
}

/// What the consumer has had, once it has nothing more to read.
async fn settled(admin: &[Rest]) -> Result<u64> {
    let mut looks = interval(LOOK * 5);
    let mut last = None;
    loop {
        looks.tick().await;
        let now = consumed(admin).await?;
        if last.replace(now) == Some(now) {
            return Ok(now);
        }
    }
}

/// Events the ingest function has had.
async fn consumed(admin: &[Rest]) -> Result<u64> {
    total(admin, "pollux_function_events_total", "function=\"ingest\"").await
}

/// A counter of all nodes, of those whose labels contain a text.
pub(crate) async fn total(admin: &[Rest], name: &str, labels: &str) -> Result<u64> {
    let mut total = 0;
    for node in admin {
        let metrics = node.get("/metrics").send().await?;
        let text = metrics.body.as_str().context("the metrics are no text")?;
        let ours = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        };
        let values =
            text.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        total += values.sum::<u64>();
    }
    Ok(total)
}
