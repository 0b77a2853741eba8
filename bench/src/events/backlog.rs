//! A backlog read over AMQP 1.0, once and to its end: Pollux beside RabbitMQ.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep};

use super::log::{Lane as _, Log as _, Work};
use super::pollux::Pollux;
use super::rabbitmq::RabbitMq;
use crate::process;
use crate::report::{Figure, Report};

/// Bytes of an event.
const SIZE: usize = 256;
/// Events in Pollux, and in RabbitMQ, which takes a tenth as many in several times as long.
const COUNT: usize = 500_000;
const PEER_COUNT: usize = 50_000;
/// Events a reader asks for at once.
const CREDIT: u16 = 1000;
/// Events in each message that fills Pollux.
const BATCH: usize = 1000;
/// A server that uses less than a tick between two looks has nothing more to do.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 50;

/// What the repetitions gave.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    pollux: Vec<Work>,
    rabbit: Vec<Work>,
}

impl Backlogs {
    /// One repetition.
    pub(super) async fn measure(&mut self, pollux: &Pollux, rabbit: Option<&RabbitMq>) -> Result<()> {
        let mut lane = pollux.lane(SIZE).await?;
        for _ in 0..COUNT / BATCH {
            lane.append(BATCH).await?;
        }
        let read = async {
            lane.rewind(CREDIT.into()).await?;
            let mut left = COUNT;
            while left > 0 {
                left -= lane.read(left).await?;
            }
            Ok(())
        };
        self.pollux.push(measured(pollux.pid(), COUNT, read).await.context("Pollux: backlog")?);
        if let Some(rabbit) = rabbit {
            rabbit.fill(SIZE, PEER_COUNT).await.context("RabbitMQ: filling")?;
            let read = rabbit.read(CREDIT.into(), PEER_COUNT);
            self.rabbit.push(measured(rabbit.pid(), PEER_COUNT, read).await.context("RabbitMQ: backlog")?);
        }
        Ok(())
    }

    pub(super) fn tell(&self, report: &mut Report) {
        let mut figures = |name: &str, count: usize, runs: &[Work]| {
            let of = |part: fn(&Work) -> f64| runs.iter().map(part).collect::<Vec<_>>();
            let name = format!("{name}: backlog of {count} × {SIZE} B read over AMQP 1.0");
            report.figure(Figure::new(name, "events/s", of(|run| run.per_second)));
            report.figure(Figure::new("  for each CPU-second", "events", of(|run| 1e6 / run.micros)))
        };
        let pollux = figures("Pollux", COUNT, &self.pollux);
        if self.rabbit.is_empty() {
            return;
        }
        let rabbit = figures("RabbitMQ", PEER_COUNT, &self.rabbit);
        report.ratio("P9: events per CPU-second, Pollux / RabbitMQ", pollux / rabbit);
        report
            .note("P9's goal: 3 or more; moonshot: 5. RabbitMQ: a durable classic queue, settled on sending");
    }
}

/// What reading costs a server that has done what it had to do before.
async fn measured(pid: u32, count: usize, read: impl Future<Output = Result<()>>) -> Result<Work> {
    settled(pid).await?;
    let (cpu, begun) = (process::cpu_seconds(pid)?, Instant::now());
    read.await?;
    Ok(Work::of(count, begun.elapsed(), process::cpu_seconds(pid)? - cpu))
}

/// Waits until a server does nothing, or not for long.
async fn settled(pid: u32) -> Result<()> {
    let mut before = process::cpu_seconds(pid)?;
    for _ in 0..LOOKS {
        sleep(LOOK).await;
        let now = process::cpu_seconds(pid)?;
        if now - before < 0.015 {
            break;
        }
        before = now;
    }
    Ok(())
}
