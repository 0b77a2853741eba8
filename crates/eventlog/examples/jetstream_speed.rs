//! How fast the JetStream log is on this machine: `cargo run --release -p pollux-eventlog --example jetstream_speed`.
//!
//! Starts a NATS server of its own; prints appends and records a second, and the CPU time of both processes.

#![expect(clippy::print_stdout, reason = "a tool for developers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pollux_eventlog::{
    EventLog, JetStreamLog, JetStreamOptions, NewRecord, ReadFrom, ReadLimit, Retention, StreamConfig,
    StreamName,
};
use pollux_model::SystemClock;
use pollux_testkit::Nats;
use tokio::time::Instant;

const SECONDS: Duration = Duration::from_secs(3);

fn name(text: &str) -> StreamName {
    StreamName::new(&format!("speed/{text}")).expect("the server is there, and nothing is wrong")
}

/// User and system seconds of a process so far.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .expect("the server is there, and nothing is wrong");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .expect("the server is there, and nothing is wrong")
        .split_whitespace()
        .collect();
    (fields[11].parse::<f64>().expect("the server is there, and nothing is wrong")
        + fields[12].parse::<f64>().expect("the server is there, and nothing is wrong"))
        / 100.0
}

async fn appends(
    nodes: &[Arc<JetStreamLog>],
    stream: &StreamName,
    callers: u32,
    partitions: u32,
) -> (u64, f64) {
    let config =
        StreamConfig { partitions, retention: Retention { time: Duration::from_secs(86_400), bytes: None } };
    nodes[0].create(stream, &config).await.expect("the server is there, and nothing is wrong");
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let log = Arc::clone(&nodes[caller as usize % nodes.len()]);
        let (done, stream) = (Arc::clone(&done), stream.clone());
        tasks.push(tokio::spawn(async move {
            let payload = Bytes::from(vec![b'x'; 256]);
            let partition = caller / 2 % partitions;
            while begun.elapsed() < SECONDS {
                let record =
                    NewRecord { partition_key: None, payload: payload.clone(), idempotency_key: None };
                log.append(&stream, partition, vec![record])
                    .await
                    .expect("the server is there, and nothing is wrong");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.expect("the server is there, and nothing is wrong");
    }
    (done.load(Ordering::Relaxed), begun.elapsed().as_secs_f64())
}

async fn backlog(log: &JetStreamLog, stream: &StreamName) -> (u64, f64) {
    let begun = Instant::now();
    let (mut next, mut count) = (0, 0);
    let limit = ReadLimit { records: 1000, bytes: 1024 * 1024 };
    loop {
        let from = ReadFrom::Sequence { number: next, inclusive: true };
        let got = log.read(stream, 0, &from, limit).await.expect("the server is there, and nothing is wrong");
        let Some(last) = got.last() else { break };
        next = last.sequence_number + 1;
        count += got.len() as u64;
    }
    (count, begun.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() {
    let Some(nats) = Nats::start().await else { return };
    let connect = || async {
        let log =
            JetStreamLog::connect(&nats.url(), JetStreamOptions::default(), Arc::new(SystemClock)).await;
        Arc::new(log.expect("the server is there, and nothing is wrong"))
    };
    let (server, own) = (nats.pid().expect("the server is there, and nothing is wrong"), std::process::id());
    let mut streams = Vec::new();
    for count in [1, 2] {
        for partitions in [1, 4] {
            for callers in [1, 16, 256] {
                let mut nodes = Vec::new();
                for _ in 0..count {
                    nodes.push(connect().await);
                }
                let stream = name(&format!("n{count}-p{partitions}-c{callers}"));
                let before = (cpu(server), cpu(own));
                let (done, seconds) = appends(&nodes, &stream, callers, partitions).await;
                let million = done as f64 / 1e6;
                println!(
                    "{count} node(s), {partitions} partition(s), {callers:3} callers: {:8.0} appends/s; CPU s per million: \
                     nats-server {:6.1}, nodes {:6.1}",
                    done as f64 / seconds,
                    (cpu(server) - before.0) / million,
                    (cpu(own) - before.1) / million,
                );
                streams.push(stream);
            }
        }
    }
    for stream in streams.iter().take(3) {
        let log = connect().await;
        let before = (cpu(server), cpu(own));
        let (count, seconds) = backlog(&log, stream).await;
        let million = count as f64 / 1e6;
        println!(
            "backlog of {}: {count} records, {:8.0} records/s; CPU s per million: nats-server {:6.1}, node {:6.1}",
            stream,
            count as f64 / seconds,
            (cpu(server) - before.0) / million,
            (cpu(own) - before.1) / million,
        );
    }
}
