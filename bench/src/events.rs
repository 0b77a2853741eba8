//! Events appended and read: through Pollux' AMQP endpoint, and in the same run through Redis Streams and JetStream; a
//! backlog read over AMQP 1.0 from Pollux and from RabbitMQ, by the same client.
//!
//! ```text
//!   for each size and number of partitions
//!     for each batch   append for a while: a writer per partition, one batch under way, the next when it is accepted
//!     for each batch   read what is there for a while, from the first event again when all were read
//!   then               one event at a time to a consumer that waits at the end
//!   then               a backlog: filled, read once
//! ```
//!
//! Each part is done for one server after the other, before the next begins. All is plain TCP: TLS would be measured in
//! Pollux alone. A writer and a reader have connections of their own. What a batch is: to Pollux a message of format
//! 0x80013700, to Redis XADDs in one write, to JetStream publishes whose acknowledgements are waited for together. A
//! reader in batches of n: to Pollux n credits, renewed when they are used; XRANGE with COUNT n; a pull of n.

mod amqp;
mod backlog;
mod jetstream;
mod log;
mod pollux;
mod rabbitmq;
mod redis;
mod resp;
mod table;

use anyhow::{Context as _, Result};

use crate::Plan;
use crate::report::Report;

use backlog::Backlogs;
use jetstream::JetStream;
use log::{Cell, Group, Latency, latency, measure_group};
use pollux::Pollux;
use rabbitmq::RabbitMq;
use redis::Redis;

/// Bytes of an event, and partitions.
const GROUPS: [Group; 4] = [
    Group { size: 256, partitions: 1 },
    Group { size: 256, partitions: 8 },
    Group { size: 1024, partitions: 1 },
    Group { size: 1024, partitions: 8 },
];
/// Events in a batch.
const BATCHES: [usize; 3] = [1, 100, 1000];
/// Parts of a repetition's seconds that each append, and each read, takes.
const PART: u32 = 5;

/// What one server gave.
#[derive(Debug)]
pub(crate) struct Found {
    name: &'static str,
    /// By group, batch and repetition.
    cells: Vec<[Vec<Cell>; BATCHES.len()]>,
    latencies: Vec<Latency>,
}

impl Found {
    fn new(name: &'static str) -> Self {
        Self { name, cells: GROUPS.iter().map(|_| Default::default()).collect(), latencies: Vec::new() }
    }

    async fn group<L: log::Log>(&mut self, log: &L, at: usize, plan: Plan) -> Result<()> {
        let cells = measure_group(log, GROUPS[at], plan.duration / PART).await;
        let cells = cells.with_context(|| format!("{}: {}", self.name, GROUPS[at]))?;
        for (all, cell) in self.cells[at].iter_mut().zip(cells) {
            all.push(cell);
        }
        Ok(())
    }

    async fn latency<L: log::Log>(&mut self, log: &L, plan: Plan) -> Result<()> {
        let found = latency(log, plan.duration / PART).await;
        self.latencies.push(found.with_context(|| format!("{}: latency", self.name))?);
        Ok(())
    }
}

/// Measures.
pub(crate) async fn measure(plan: Plan) -> Result<Report> {
    let pollux = Pollux::start()?;
    let (redis, nats) = (Redis::start().await?, JetStream::start().await?);
    let rabbit = RabbitMq::start().await?;
    let durability = durability(nats.as_ref());
    let mut found = vec![Found::new("Pollux"), Found::new("Redis"), Found::new("JetStream")];
    let mut backlogs = Backlogs::default();
    for _ in 0..plan.repetitions {
        for at in 0..GROUPS.len() {
            found[0].group(&pollux, at, plan).await?;
            if let Some(redis) = &redis {
                found[1].group(redis, at, plan).await?;
            }
            if let Some(nats) = &nats {
                found[2].group(nats, at, plan).await?;
            }
        }
        found[0].latency(&pollux, plan).await?;
        if let Some(redis) = &redis {
            found[1].latency(redis, plan).await?;
        }
        if let Some(nats) = &nats {
            found[2].latency(nats, plan).await?;
        }
        backlogs.measure(&pollux, rabbit.as_ref()).await?;
    }
    let mut report = Report::new("events", durability);
    found.retain(|one| !one.latencies.is_empty());
    table::tell(&mut report, &found);
    backlogs.tell(&mut report);
    if redis.is_none() {
        report.note("SKIPPED: Redis is not installed; Debian's package is redis-server. P8 needs it");
    }
    if nats.is_none() {
        report.note("SKIPPED: nats-server is not installed; Debian's package is nats-server");
    }
    if rabbit.is_none() {
        report.note("SKIPPED: RabbitMQ is not installed; Debian's package is rabbitmq-server. P9 needs it");
    }
    Ok(report)
}

fn durability(nats: Option<&JetStream>) -> &'static str {
    const SYNCED: &str = "Pollux: fdatasync before acceptance; Redis: appendfsync always; JetStream: sync_interval always; \
                          RabbitMQ: only read";
    const LAZY: &str = "Pollux: fdatasync before acceptance; Redis: appendfsync always; JetStream: NO fsync before \
                        acceptance (every two minutes: this nats-server is older than 2.10, which has sync_interval \
                        always); RabbitMQ: only read";
    if nats.is_some_and(|nats| !nats.syncs()) { LAZY } else { SYNCED }
}
