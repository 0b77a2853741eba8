//! What is measured of every log alike: appends, reads, latency.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::{join, try_join, try_join_all};
use tokio::time::Instant;

use super::BATCHES;
use crate::process;

/// Bytes of an event whose latency is measured.
const LATENCY_SIZE: usize = 256;

/// A server that keeps events in their order.
pub(super) trait Log {
    /// Its partition, with connections of its own.
    type Lane: Lane;
    /// A consumer that waits at the end.
    type Follower: Follower;

    /// Its process.
    fn pid(&self) -> u32;

    /// Writers and readers, one for each partition, which are empty or count from what is there.
    async fn lanes(&self, group: Group) -> Result<Vec<Self::Lane>>;

    /// A consumer of what comes next in the partition of a group of one.
    async fn follow(&self, group: Group) -> Result<Self::Follower>;

    /// Forgets what the lanes have written, where that is cheap.
    async fn clear(&self, group: Group) -> Result<()>;
}

/// A partition's writer and reader.
pub(super) trait Lane {
    /// Appends so many events at once; returns when they are accepted, which is when they are durable, if ever.
    async fn append(&mut self, batch: usize) -> Result<()>;

    /// Begins to read at the first event of this lane, `batch` at once.
    async fn rewind(&mut self, batch: usize) -> Result<()>;

    /// The next events, `most` at most and one at least; how many came.
    async fn read(&mut self, most: usize) -> Result<usize>;
}

/// A consumer that waits.
pub(super) trait Follower {
    /// Returns when the next event is here.
    async fn next(&mut self) -> Result<()>;
}

/// Bytes of an event, and partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) size: usize,
    pub(super) partitions: usize,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.partitions == 1 { "" } else { "s" };
        write!(f, "{} B, {} partition{plural}", self.size, self.partitions)
    }
}

/// What was appended or read for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    pub(super) per_second: f64,
    /// CPU-µs of the server for each event.
    pub(super) micros: f64,
}

impl Work {
    pub(super) fn of(events: usize, took: Duration, cpu: f64) -> Self {
        let events = events as f64;
        Self { per_second: events / took.as_secs_f64(), micros: cpu * 1e6 / events }
    }
}

/// One batch size of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) append: Work,
    /// From sending a batch until it is accepted, in milliseconds.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) read: Work,
}

/// Latency of an event that is alone, in milliseconds: median and 99th percentile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    pub(super) accepted: [f64; 2],
    /// From there until the consumer had it; 0 where the consumer had it first.
    pub(super) received: [f64; 2],
}

/// Appends in all batch sizes, then reads in all.
pub(super) async fn measure_group<L: Log>(log: &L, group: Group, duration: Duration) -> Result<Vec<Cell>> {
    let mut appended = Vec::new();
    let mut lanes = Vec::new();
    for batch in BATCHES {
        // What the last batch size leaves is what is read.
        log.clear(group).await?;
        lanes = log.lanes(group).await?;
        appended.push(append(log, &mut lanes, batch, duration).await?);
    }
    let counts: Vec<usize> = appended.last().map(|one| one.counts.clone()).unwrap_or_default();
    let mut cells = Vec::new();
    for (batch, appended) in BATCHES.into_iter().zip(appended) {
        let read = read(log, &mut lanes, &counts, batch, duration).await?;
        let [p50_ms, p99_ms] = quantiles(appended.took);
        cells.push(Cell { append: appended.work, p50_ms, p99_ms, read });
    }
    log.clear(group).await?;
    Ok(cells)
}

struct Appended {
    work: Work,
    /// Events in each lane.
    counts: Vec<usize>,
    /// How long each batch took.
    took: Vec<Duration>,
}

async fn append<L: Log>(
    log: &L,
    lanes: &mut [L::Lane],
    batch: usize,
    duration: Duration,
) -> Result<Appended> {
    // Links and streams are made.
    try_join_all(lanes.iter_mut().map(|lane| lane.append(1))).await?;
    let (cpu, begun) = (process::cpu_seconds(log.pid())?, Instant::now());
    let deadline = begun + duration;
    let lane = async |lane: &mut L::Lane| -> Result<Vec<Duration>> {
        let (mut took, mut now) = (Vec::new(), Instant::now());
        while now < deadline {
            lane.append(batch).await?;
            let then = Instant::now();
            took.push(then - now);
            now = then;
        }
        Ok(took)
    };
    let took = try_join_all(lanes.iter_mut().map(lane)).await?;
    let (elapsed, cpu) = (begun.elapsed(), process::cpu_seconds(log.pid())? - cpu);
    let counts = took.iter().map(|batches| batches.len() * batch + 1).collect();
    let took = took.concat();
    ensure!(!took.is_empty(), "nothing was accepted in {duration:?}");
    Ok(Appended { work: Work::of(took.len() * batch, elapsed, cpu), counts, took })
}

async fn read<L: Log>(
    log: &L,
    lanes: &mut [L::Lane],
    counts: &[usize],
    batch: usize,
    duration: Duration,
) -> Result<Work> {
    let (cpu, begun) = (process::cpu_seconds(log.pid())?, Instant::now());
    let deadline = begun + duration;
    let lane = async |(lane, count): (&mut L::Lane, &usize)| -> Result<usize> {
        let mut all = 0;
        while Instant::now() < deadline {
            lane.rewind(batch).await?;
            let mut left = *count;
            while left > 0 && Instant::now() < deadline {
                let came = lane.read(batch.min(left)).await?;
                left = left.saturating_sub(came);
                all += came;
            }
        }
        Ok(all)
    };
    let events = try_join_all(lanes.iter_mut().zip(counts).map(lane)).await?.into_iter().sum();
    Ok(Work::of(events, begun.elapsed(), process::cpu_seconds(log.pid())? - cpu))
}

/// One event after the other, the next when the last has arrived.
pub(super) async fn latency<L: Log>(log: &L, duration: Duration) -> Result<Latency> {
    let group = Group { size: LATENCY_SIZE, partitions: 1 };
    log.clear(group).await?;
    let mut lanes = log.lanes(group).await?;
    let lane = lanes.first_mut().expect("there is one for each partition");
    lane.append(1).await?;
    let mut follower = log.follow(group).await?;
    // The first wakes what sleeps.
    try_join(lane.append(1), follower.next()).await?;
    let (mut accepted, mut received) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + duration;
    while Instant::now() < deadline {
        let begun = Instant::now();
        let append = async { lane.append(1).await.map(|()| Instant::now()) };
        let arrive = async { follower.next().await.map(|()| Instant::now()) };
        let (append, arrive) = join(append, arrive).await;
        let (append, arrive) = (append?, arrive?);
        accepted.push(append - begun);
        received.push(arrive.saturating_duration_since(append));
    }
    log.clear(group).await?;
    Ok(Latency { accepted: quantiles(accepted), received: quantiles(received) })
}

/// Median and 99th percentile, in milliseconds; of none, not numbers.
fn quantiles(mut took: Vec<Duration>) -> [f64; 2] {
    took.sort_unstable();
    let at =
        |part: f64| took.get((took.len() as f64 * part) as usize).map_or(f64::NAN, |d| d.as_secs_f64() * 1e3);
    [at(0.5), at(0.99)]
}

#[cfg(test)]
mod tests {
    use std::cell::Cell as Counter;

    use super::*;

    /// Keeps nothing but how much there is.
    #[derive(Default)]
    struct Counted {
        appended: Counter<usize>,
        cleared: Counter<u32>,
    }

    struct Place<'c>(&'c Counted, usize);

    impl<'c> Log for &'c Counted {
        type Lane = Place<'c>;
        type Follower = Place<'c>;

        fn pid(&self) -> u32 {
            std::process::id()
        }

        async fn lanes(&self, group: Group) -> Result<Vec<Place<'c>>> {
            Ok((0..group.partitions).map(|_| Place(self, 0)).collect())
        }

        async fn follow(&self, _: Group) -> Result<Place<'c>> {
            Ok(Place(self, 0))
        }

        async fn clear(&self, _: Group) -> Result<()> {
            self.cleared.set(self.cleared.get() + 1);
            Ok(())
        }
    }

    impl Lane for Place<'_> {
        async fn append(&mut self, batch: usize) -> Result<()> {
            tokio::task::yield_now().await;
            self.0.appended.set(self.0.appended.get() + batch);
            self.1 += batch;
            Ok(())
        }

        async fn rewind(&mut self, _: usize) -> Result<()> {
            Ok(())
        }

        async fn read(&mut self, most: usize) -> Result<usize> {
            tokio::task::yield_now().await;
            assert!(most <= self.1, "no more is asked for than is there");
            Ok(most)
        }
    }

    impl Follower for Place<'_> {
        async fn next(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_batch_size_is_appended_and_read() {
        let log = Counted::default();
        let group = Group { size: 1, partitions: 2 };
        let cells = measure_group(&&log, group, Duration::from_millis(5)).await.unwrap();
        assert_eq!(cells.len(), BATCHES.len());
        assert!(cells.iter().all(|cell| cell.append.per_second > 0.0 && cell.read.per_second > 0.0));
        assert!(cells.iter().all(|cell| cell.p50_ms <= cell.p99_ms));
        assert!(log.appended.get() >= 2 * 1000 && log.cleared.get() == 4);
        let found = latency(&&log, Duration::from_millis(5)).await.unwrap();
        assert!(found.accepted[0] >= 0.0 && found.received[1] >= 0.0);
    }

    #[test]
    fn quantiles_are_of_sorted_times() {
        let took = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantiles(took), [51.0, 100.0]);
        assert!(quantiles(Vec::new())[0].is_nan());
    }

    #[test]
    fn work_is_told_by_second_and_by_event() {
        let work = Work::of(2000, Duration::from_secs(2), 0.01);
        assert_eq!(work, Work { per_second: 1000.0, micros: 5.0 });
        assert_eq!(Group { size: 256, partitions: 1 }.to_string(), "256 B, 1 partition");
    }
}
