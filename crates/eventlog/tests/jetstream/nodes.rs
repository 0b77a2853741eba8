//! The suite against JetStream, and what two nodes on one server owe each other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pollux_eventlog::suite::{Backend, MAX_RECORD, cases};
use pollux_eventlog::{
    EventLog, JetStreamLog, JetStreamOptions, LogError, ReadFrom, Retention, StreamConfig,
};
use pollux_model::{SystemClock, Timestamp};
use pollux_testkit::Nats;

use crate::common::{ALL, check_calls, config, connect, keyed, read_all, record, stream};

#[derive(Debug)]
struct OnServer {
    url: String,
    options: JetStreamOptions,
}

#[async_trait]
impl Backend for OnServer {
    async fn open(&self) -> Arc<dyn EventLog> {
        let log = JetStreamLog::connect(&self.url, self.options.clone(), Arc::new(SystemClock)).await;
        Arc::new(log.expect("connect"))
    }
}

async fn run_suite(options: &JetStreamOptions) {
    let Some(nats) = Nats::start().await else { return };
    run_suite_on(&nats.url(), options).await;
}

async fn run_suite_on(url: &str, options: &JetStreamOptions) {
    let mut failed = Vec::new();
    for (number, (name, case)) in cases().into_iter().enumerate() {
        let options = JetStreamOptions { prefix: format!("case-{number}"), ..options.clone() };
        // A task of its own: a case that panics does not hide the others.
        let backend = Arc::new(OnServer { url: url.to_owned(), options });
        if tokio::spawn(case(backend)).await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "these cases failed: {failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite_with_a_cache() {
    run_suite(&JetStreamOptions { max_record_bytes: MAX_RECORD, ..JetStreamOptions::default() }).await;
}

#[tokio::test]
async fn suite_with_hardly_any_memory() {
    let options = JetStreamOptions {
        max_record_bytes: MAX_RECORD,
        tail_cache_bytes: 0,
        read_ahead_bytes: 2000,
        ..JetStreamOptions::default()
    };
    run_suite(&options).await;
}

/// Against a server or cluster that is there already: `POLLUX_TEST_JETSTREAM=nats://…`, and how many copies of each
/// stream in `POLLUX_TEST_JETSTREAM_REPLICAS`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite_on_a_given_server() {
    let Some(url) = std::env::var_os("POLLUX_TEST_JETSTREAM") else { return };
    let replicas = std::env::var_os("POLLUX_TEST_JETSTREAM_REPLICAS");
    let replicas = replicas.map_or(1, |text| text.to_str().unwrap().parse().unwrap());
    let options = JetStreamOptions { max_record_bytes: MAX_RECORD, replicas, ..JetStreamOptions::default() };
    run_suite_on(url.to_str().unwrap(), &options).await;
}

/// What a deletion that was cut off has left, trim removes; what the catalog knows nothing of, it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leftovers_of_a_deletion_are_swept_and_nothing_else() {
    let Some(nats) = Nats::start().await else { return };
    let log = connect(&nats).await;
    log.create(&stream(), &config()).await.unwrap();
    log.append(&stream(), 0, vec![record("kept")]).await.unwrap();
    log.delete(&stream()).await.unwrap();
    log.create(&stream(), &config()).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    for name in ["test-log-ns-hub_one-00000000000000aa-0", "test-log-other-hub-00000000000000bb-0"] {
        let config = format!(
            "{{\"name\":\"{name}\",\"subjects\":[\"test.log.x.y.{}.0\"],\"storage\":\"file\"}}",
            name.len()
        );
        client.request(format!("$JS.API.STREAM.CREATE.{name}"), config.into()).await.unwrap();
    }
    assert_eq!(nats_streams(&nats).await, 4);
    log.trim(Timestamp::NEVER).await.unwrap();
    assert_eq!(nats_streams(&nats).await, 3, "the catalog, the live one, the foreign one");
    log.append(&stream(), 0, vec![record("new")]).await.unwrap();
}

/// The largest append there can be goes through every kind of reading.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_append_is_stored_and_read() {
    let Some(nats) = Nats::start().await else { return };
    let log =
        JetStreamLog::connect(&nats.url(), crate::common::options(), Arc::new(SystemClock)).await.unwrap();
    log.create(&stream(), &config()).await.unwrap();
    let largest = log.max_call_bytes() - 8;
    log.append(&stream(), 0, vec![record(vec![b'x'; largest])]).await.unwrap();
    let beyond = log.append(&stream(), 0, vec![record(vec![b'x'; largest + 1])]).await;
    assert!(matches!(beyond, Err(LogError::TooLarge { .. })), "{beyond:?}");
    log.append(&stream(), 0, vec![record("after")]).await.unwrap();
    let other = connect(&nats).await;
    let read = read_all(&other, ReadFrom::Earliest).await;
    assert_eq!((read[0].payload.len(), read.len()), (largest, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_on_two_nodes_stand_in_one_line() {
    let Some(nats) = Nats::start().await else { return };
    let nodes = [connect(&nats).await, connect(&nats).await];
    nodes[0].create(&stream(), &config()).await.unwrap();
    let mut tasks = Vec::new();
    for task in 0..8_u8 {
        let log = Arc::clone(&nodes[usize::from(task) % 2]);
        tasks.push(tokio::spawn(async move {
            for number in 0..40_u8 {
                let records =
                    (0..3).map(|n| keyed(&format!("{task} {number} {n}"), [task, number, n])).collect();
                log.append(&stream(), 0, records).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for log in &nodes {
        let records = read_all(log, ReadFrom::Earliest).await;
        assert_eq!(records.len(), 8 * 40 * 3);
        check_calls(&records);
    }
    // A retry of everything, each through the other node.
    for task in 0..8_u8 {
        let log = &nodes[usize::from(task + 1) % 2];
        for number in 0..40_u8 {
            let records = (0..3).map(|n| keyed("again", [task, number, n])).collect();
            let positions = log.append(&stream(), 0, records).await.unwrap();
            let first =
                read_all(log, ReadFrom::Sequence { number: positions[0].sequence_number, inclusive: true })
                    .await;
            assert_eq!(first[0].payload, format!("{task} {number} 0"));
            assert_eq!(first[0].position(), positions[0]);
        }
    }
    assert_eq!(nodes[1].partition(&stream(), 0).await.unwrap().last_sequence_number, 959);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_does_the_other_sees() {
    let Some(nats) = Nats::start().await else { return };
    let (a, b) = (connect(&nats).await, connect(&nats).await);
    a.create(&stream(), &config()).await.unwrap();
    for round in 0..20_i64 {
        // A waits for what B stores.
        let waiter = tokio::spawn({
            let a = Arc::clone(&a);
            async move { a.wait(&stream(), 0, round - 1).await }
        });
        tokio::task::yield_now().await;
        let stored = b.append(&stream(), 0, vec![record(format!("{round}"))]).await.unwrap();
        assert_eq!(stored[0].sequence_number, round);
        waiter.await.unwrap().unwrap();
        let from = ReadFrom::Sequence { number: round, inclusive: true };
        assert_eq!(a.read(&stream(), 0, &from, ALL).await.unwrap()[0].payload, format!("{round}"));
        assert_eq!(a.partition(&stream(), 0).await.unwrap().last_sequence_number, round);
    }
    // Growth and retention.
    let grown =
        StreamConfig { partitions: 3, retention: Retention { time: Duration::from_secs(60), bytes: None } };
    a.create(&stream(), &grown).await.unwrap();
    b.append(&stream(), 2, vec![record("in a new partition")]).await.unwrap();
    assert_eq!(b.streams().await.unwrap(), [(stream(), grown)]);
    // Trimming.
    let last = b.partition(&stream(), 0).await.unwrap().last_enqueued_time;
    let trimmed = b.trim(last.plus(Duration::from_secs(61))).await.unwrap();
    assert_eq!(trimmed.records, 21);
    assert!(a.read(&stream(), 0, &ReadFrom::Earliest, ALL).await.unwrap().is_empty());
    assert!(a.partition(&stream(), 0).await.unwrap().is_empty);
    assert_eq!(a.append(&stream(), 0, vec![record("20")]).await.unwrap()[0].sequence_number, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_seen_by_the_other_node() {
    let Some(nats) = Nats::start().await else { return };
    let (a, b) = (connect(&nats).await, connect(&nats).await);
    for round in 0..5 {
        a.create(&stream(), &config()).await.unwrap();
        for log in [&a, &b] {
            log.append(&stream(), 0, vec![keyed("old", [1, 2, 3])]).await.unwrap();
        }
        let waiter = tokio::spawn({
            let b = Arc::clone(&b);
            async move { b.wait(&stream(), 0, 5).await }
        });
        tokio::task::yield_now().await;
        a.delete(&stream()).await.unwrap();
        if round % 2 == 0 {
            let unknown = LogError::UnknownStream(stream());
            assert_eq!(b.partition(&stream(), 0).await, Err(unknown.clone()));
            assert_eq!(b.append(&stream(), 0, vec![keyed("old", [1, 2, 3])]).await, Err(unknown.clone()));
            assert_eq!(b.read(&stream(), 0, &ReadFrom::Earliest, ALL).await, Err(unknown));
        }
        a.create(&stream(), &config()).await.unwrap();
        assert_eq!(waiter.await.unwrap(), Err(LogError::UnknownStream(stream())));
        // A new one, also for its keys.
        let stored = b.append(&stream(), 0, vec![keyed("new", [1, 2, 3])]).await.unwrap();
        assert_eq!(stored[0].sequence_number, 0);
        assert_eq!(a.append(&stream(), 0, vec![keyed("new", [1, 2, 3])]).await.unwrap(), stored);
        for log in [&a, &b] {
            assert_eq!(read_all(log, ReadFrom::Earliest).await[0].payload, "new");
        }
        b.delete(&stream()).await.unwrap();
    }
    let left = nats_streams(&nats).await;
    assert_eq!(left, 1, "only the catalog is left");
}

async fn nats_streams(nats: &Nats) -> u64 {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let answer = client.request("$JS.API.INFO", "".into()).await.unwrap();
    serde_json::from_slice::<serde_json::Value>(&answer.payload).unwrap()["streams"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_is_read_in_bounded_memory() {
    let Some(nats) = Nats::start().await else { return };
    let log = connect(&nats).await;
    log.create(&stream(), &config()).await.unwrap();
    for number in 0..500_u32 {
        let records = (0..200).map(|n| record(format!("{number} {n} {}", "x".repeat(200)))).collect();
        log.append(&stream(), 0, records).await.unwrap();
    }
    drop(log);
    let options =
        JetStreamOptions { read_ahead_bytes: 200_000, tail_cache_bytes: 100_000, ..crate::common::options() };
    let log = JetStreamLog::connect(&nats.url(), options, Arc::new(SystemClock)).await.unwrap();
    let limit = pollux_eventlog::ReadLimit { records: 1000, bytes: 150_000 };
    let mut next = 0;
    while next < 100_000 {
        let got = log
            .read(&stream(), 0, &ReadFrom::Sequence { number: next, inclusive: true }, limit)
            .await
            .unwrap();
        assert!(!got.is_empty() && got.len() <= 1000, "stuck at {next}");
        assert!(got.iter().map(|record| record.payload.len()).sum::<usize>() <= 150_000);
        for record in got {
            assert_eq!(record.sequence_number, next);
            next += 1;
        }
    }
}
