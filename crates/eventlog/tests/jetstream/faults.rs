//! What the JetStream log does when the server goes away, and when it goes away itself.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pollux_eventlog::{EventLog, JetStreamLog, JetStreamOptions, LogError, ReadFrom};
use pollux_model::SystemClock;
use pollux_testkit::Nats;
use tokio::time::Instant;

use crate::common::{ALL, check_calls, config, connect, keyed, read_all, record, stream};

const URL: &str = "POLLUX_TEST_NATS";

async fn impatient(nats: &Nats) -> Arc<dyn EventLog> {
    let options = JetStreamOptions { timeout: Duration::from_millis(1500), ..crate::common::options() };
    Arc::new(JetStreamLog::connect(&nats.url(), options, Arc::new(SystemClock)).await.unwrap())
}

/// Appends the call `<task> <number>` until it is acknowledged, as a producer with an outbox does.
async fn insist(log: &Arc<dyn EventLog>, task: u8, number: u8, refused: &AtomicUsize) -> i64 {
    loop {
        let records = (0..3).map(|n| keyed(&format!("{task} {number} {n}"), [task, number, n])).collect();
        match log.append(&stream(), 0, records).await {
            Ok(positions) => return positions[0].sequence_number,
            Err(LogError::Unavailable(_)) => drop(refused.fetch_add(1, Ordering::SeqCst)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_servers_death() {
    let Some(mut nats) = Nats::start().await else { return };
    let nodes = [impatient(&nats).await, impatient(&nats).await];
    nodes[0].create(&stream(), &config()).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for task in 0..8_u8 {
        let (log, done, refused) =
            (Arc::clone(&nodes[usize::from(task) % 2]), Arc::clone(&done), Arc::clone(&refused));
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..250_u8 {
                let at = insist(&log, task, number, &refused).await;
                acknowledged.push((at, format!("{task} {number} 0")));
                done.fetch_add(1, Ordering::SeqCst);
            }
            acknowledged
        }));
    }
    for round in 1..=4 {
        until(|| done.load(Ordering::SeqCst) >= round * 300).await;
        nats.kill9();
        if round == 3 {
            // Long enough for calls to be answered in the outage.
            until(|| refused.load(Ordering::SeqCst) > 0).await;
        }
        nats.restart().await;
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    for log in &nodes {
        let records = read_all(log, ReadFrom::Earliest).await;
        check_calls(&records);
        assert_eq!(records.len(), 8 * 250 * 3, "every call once");
        for (at, text) in &acknowledged {
            assert_eq!(records[usize::try_from(*at).unwrap()].payload, *text, "the answer is where it is");
        }
    }
    assert!(refused.load(Ordering::SeqCst) > 0);
}

/// Against a cluster that is there already (see `suite_on_a_given_server`), while somebody kills and restarts its
/// servers one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_given_server() {
    let Some(url) = std::env::var_os("POLLUX_TEST_JETSTREAM") else { return };
    let options =
        JetStreamOptions { replicas: 3, timeout: Duration::from_secs(2), ..crate::common::options() };
    let mut nodes: Vec<Arc<dyn EventLog>> = Vec::new();
    for _ in 0..2 {
        let log = JetStreamLog::connect(url.to_str().unwrap(), options.clone(), Arc::new(SystemClock)).await;
        nodes.push(Arc::new(log.unwrap()));
    }
    nodes[0].delete(&stream()).await.unwrap();
    nodes[0].create(&stream(), &config()).await.unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for task in 0..4_u8 {
        let (log, refused) = (Arc::clone(&nodes[usize::from(task) % 2]), Arc::clone(&refused));
        tasks.push(tokio::spawn(async move {
            for number in 0..250_u8 {
                insist(&log, task, number, &refused).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for log in &nodes {
        let records = read_all(log, ReadFrom::Earliest).await;
        check_calls(&records);
        assert_eq!(records.len(), 4 * 250 * 3, "every call once");
    }
    println!("refused: {}", refused.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_in_time_and_passes() {
    let Some(mut nats) = Nats::start().await else { return };
    let log = impatient(&nats).await;
    log.create(&stream(), &config()).await.unwrap();
    log.append(&stream(), 0, vec![record("before")]).await.unwrap();
    log.healthy().await.unwrap();
    let waiter = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            // Told only if the outage comes before it is known that there is nothing yet.
            loop {
                match log.wait(&stream(), 0, 0).await {
                    Err(LogError::Unavailable(_)) => {}
                    answer => return answer,
                }
            }
        }
    });
    nats.stop().await;
    let begun = Instant::now();
    let name = stream();
    let (appended, read, partition) = tokio::join!(
        log.append(&name, 0, vec![record("lost")]),
        log.read(&name, 0, &ReadFrom::Earliest, ALL),
        log.partition(&name, 0),
    );
    assert!(matches!(appended, Err(LogError::Unavailable(_))), "{appended:?}");
    assert!(matches!(read, Err(LogError::Unavailable(_))), "{read:?}");
    assert!(matches!(partition, Err(LogError::Unavailable(_))), "{partition:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(log.healthy().await, Err(LogError::Unavailable(_))));
    nats.restart().await;
    // Recovers by itself; a waiter has waited through it.
    until_ok(&log).await;
    log.append(&stream(), 0, vec![record("after")]).await.unwrap();
    waiter.await.unwrap().unwrap();
    let texts: Vec<_> = read_all(&log, ReadFrom::Earliest).await.iter().map(|r| r.payload.clone()).collect();
    assert_eq!(
        (texts.first().unwrap().as_ref(), texts.last().unwrap().as_ref()),
        (&b"before"[..], &b"after"[..])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_append_is_stored_once() {
    let Some(nats) = Nats::start().await else { return };
    let (a, b) = (connect(&nats).await, connect(&nats).await);
    a.create(&stream(), &config()).await.unwrap();
    for number in 0..100_u8 {
        let name = stream();
        let mut call = a.append(&name, 0, vec![keyed(&format!("{number}"), [0, 0, number])]);
        // Cut off after a few polls: somewhere between queueing and the answer.
        for _ in 0..number % 4 {
            let _ = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await;
            tokio::task::yield_now().await;
        }
        drop(call);
        let log = if number % 2 == 0 { &a } else { &b };
        let stored = log.append(&name, 0, vec![keyed(&format!("{number}"), [0, 0, number])]).await.unwrap();
        assert_eq!(stored[0].sequence_number, i64::from(number));
    }
    assert_eq!(read_all(&a, ReadFrom::Earliest).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_whole_calls_and_its_retries_are_known() {
    let Some(nats) = Nats::start().await else { return };
    let log = connect(&nats).await;
    log.create(&stream(), &config()).await.unwrap();
    for lines in [1, 7, 30, 60] {
        let acknowledged = run_and_kill(&nats.url(), lines);
        let records = read_all(&log, ReadFrom::Earliest).await;
        check_calls(&records);
        let there: HashSet<_> =
            records.iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect();
        for number in acknowledged {
            assert!(there.contains(&format!("9 {number} 0")), "acknowledged and lost: {number}");
        }
    }
    // Everything again: what had been stored without an answer is not stored twice.
    for number in 0..100_u8 {
        insist(&log, 9, number, &AtomicUsize::new(0)).await;
    }
    let records = read_all(&log, ReadFrom::Earliest).await;
    check_calls(&records);
    assert_eq!(records.len(), 300);
}

/// Starts this test binary again as a child that appends, kills it after some answers; what it had acknowledged.
fn run_and_kill(url: &str, lines: usize) -> Vec<u8> {
    struct Running(Child);
    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
    let mut child = Running(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::child", "--nocapture"])
            .env(URL, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    for line in output.lines() {
        acknowledged.extend(line.unwrap().strip_prefix("ack ").and_then(|number| number.parse::<u8>().ok()));
        if acknowledged.len() >= lines {
            break;
        }
    }
    child.0.kill().unwrap();
    acknowledged
}

/// The child of the test above: started by it, it appends until it is killed; otherwise it is done at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(url) = std::env::var_os(URL) else { return };
    let options = crate::common::options();
    let log = JetStreamLog::connect(url.to_str().unwrap(), options, Arc::new(SystemClock)).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    println!();
    for number in 0..100_u8 {
        insist(&log, 9, number, &AtomicUsize::new(0)).await;
        println!("ack {number}");
    }
    std::future::pending::<()>().await;
}

/// A server that forgets a purge, or a hand that removes messages, is told apart from an empty partition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_emptied_by_hand_is_damaged_not_new() {
    let Some(nats) = Nats::start().await else { return };
    let log = connect(&nats).await;
    log.create(&stream(), &config()).await.unwrap();
    log.append(&stream(), 0, vec![record("gone")]).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let names = client.request("$JS.API.STREAM.NAMES", "{\"subject\":\"test.log.>\"}".into()).await.unwrap();
    let names: serde_json::Value = serde_json::from_slice(&names.payload).unwrap();
    let name = names["streams"][0].as_str().unwrap();
    client.request(format!("$JS.API.STREAM.PURGE.{name}"), "".into()).await.unwrap();
    let log = connect(&nats).await;
    let appended = log.append(&stream(), 0, vec![record("new")]).await;
    assert!(matches!(appended, Err(LogError::Corrupt { .. })), "{appended:?}");
}

/// Callers beyond the bound are refused at once while the server is away; those within it get their answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_busy() {
    let Some(mut nats) = Nats::start().await else { return };
    let options = JetStreamOptions { queue_bytes: 1000, ..crate::common::options() };
    let log = JetStreamLog::connect(&nats.url(), options, Arc::new(SystemClock)).await.unwrap();
    log.create(&stream(), &config()).await.unwrap();
    nats.stop().await;
    let name = stream();
    let mut calls: Vec<_> = (0..20).map(|_| log.append(&name, 0, vec![record(vec![0; 400])])).collect();
    let busy = AtomicBool::new(false);
    for call in &mut calls {
        let early = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await;
        busy.fetch_or(early == std::task::Poll::Ready(Err(LogError::Busy)), Ordering::SeqCst);
    }
    assert!(busy.load(Ordering::SeqCst));
}

async fn until(done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn until_ok(log: &Arc<dyn EventLog>) {
    let end = Instant::now() + Duration::from_secs(30);
    while log.healthy().await.is_err() {
        assert!(Instant::now() < end, "the log did not recover");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
