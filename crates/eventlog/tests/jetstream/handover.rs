//! Several nodes that append to one partition: one becomes its writer, the others hand their appends over.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use pollux_eventlog::{EventLog, JetStreamLog, JetStreamOptions, LogError, ReadFrom};
use pollux_model::SystemClock;
use pollux_testkit::{Nats, NatsOptions};
use tokio::time::Instant;

use crate::common::{ALL, check_calls, config, keyed, options, read_all, record, stream};

pub(crate) async fn open(url: &str) -> Arc<JetStreamLog> {
    Arc::new(JetStreamLog::connect(url, options(), Arc::new(SystemClock)).await.unwrap())
}

pub(crate) async fn append(log: &JetStreamLog, text: &str) -> i64 {
    log.append(&stream(), 0, vec![record(text)]).await.unwrap()[0].sequence_number
}

pub(crate) fn dynamic(log: &Arc<JetStreamLog>) -> Arc<dyn EventLog> {
    Arc::clone(log) as Arc<dyn EventLog>
}

/// Lets the nodes meet at the partition; the one all others hand over to, and those.
///
/// Two that append in turn overtake each other: whoever appends knows nothing of what the other stored in between.
pub(crate) async fn settle(mut nodes: Vec<Arc<JetStreamLog>>) -> (Arc<JetStreamLog>, Vec<Arc<JetStreamLog>>) {
    // On a busy machine they may need more than one round to agree.
    for _ in 0..100 {
        let before: Vec<_> = nodes.iter().map(|log| log.handed_over()).collect();
        for log in &nodes {
            append(log, "hello").await;
        }
        let handed: Vec<_> =
            nodes.iter().zip(before).map(|(log, before)| log.handed_over() > before).collect();
        if handed.iter().filter(|handed| !**handed).count() == 1 {
            let writer = handed.iter().position(|handed| !handed).unwrap();
            let writer = nodes.remove(writer);
            return (writer, nodes);
        }
    }
    panic!("no node became the writer of all");
}

/// A writer and a node that hands over to it.
pub(crate) async fn pair(url: &str) -> (Arc<JetStreamLog>, Arc<JetStreamLog>) {
    let nodes = vec![open(url).await, open(url).await];
    nodes[0].create(&stream(), &config()).await.unwrap();
    let (writer, mut others) = settle(nodes).await;
    (writer, others.remove(0))
}

/// Appends `<task> <number>` until it is acknowledged, as a producer with an outbox does; its first position.
async fn insist(log: &JetStreamLog, task: u8, number: u8) -> i64 {
    loop {
        let records = (0..3).map(|n| keyed(&format!("{task} {number} {n}"), [task, number, n])).collect();
        match log.append(&stream(), 0, records).await {
            Ok(positions) => return positions[0].sequence_number,
            Err(LogError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn texts(log: &Arc<JetStreamLog>) -> Vec<String> {
    let records = read_all(&dynamic(log), ReadFrom::Earliest).await;
    records.iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handed_over_is_seen_where_it_was_appended() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let (before, writer_before) = (handing.handed_over(), writer.handed_over());
    let begun = handing.partition(&stream(), 0).await.unwrap();
    for round in 1..=50 {
        let position = handing.append(&stream(), 0, vec![record(format!("{round}"))]).await.unwrap()[0];
        assert_eq!(position.sequence_number, begun.last_sequence_number + round);
        let from = ReadFrom::Sequence { number: position.sequence_number, inclusive: true };
        let (read, name) = (handing.read(&stream(), 0, &from, ALL).await.unwrap(), stream());
        assert_eq!((read.len(), read[0].position()), (1, position));
        assert_eq!(read[0].payload, format!("{round}"));
        handing.wait(&name, 0, position.sequence_number - 1).await.unwrap();
        let info = handing.partition(&name, 0).await.unwrap();
        assert_eq!(
            (info.last_sequence_number, info.last_offset),
            (position.sequence_number, position.offset)
        );
        assert_eq!(info.last_enqueued_time, position.enqueued_time);
        // The writer's own come in between.
        if round % 10 == 0 {
            assert_eq!(writer.read(&stream(), 0, &from, ALL).await.unwrap().len(), 1);
        }
    }
    assert_eq!(handing.handed_over(), before + 50, "each was handed over");
    assert_eq!(writer.handed_over(), writer_before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_is_woken_by_what_is_handed_over() {
    let Some(nats) = Nats::start().await else { return };
    let (_writer, handing) = pair(&nats.url()).await;
    for _ in 0..10 {
        let last = handing.partition(&stream(), 0).await.unwrap().last_sequence_number;
        let waiter = tokio::spawn({
            let log = Arc::clone(&handing);
            async move { log.wait(&stream(), 0, last).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(append(&handing, "news").await, last + 1);
        waiter.await.unwrap().unwrap();
    }
}

/// Callers on so many nodes append at once.
async fn at_once(nodes: usize) {
    let Some(nats) = Nats::start().await else { return };
    let mut logs = Vec::new();
    for _ in 0..nodes {
        logs.push(open(&nats.url()).await);
    }
    logs[0].create(&stream(), &config()).await.unwrap();
    let (writer, others) = settle(logs).await;
    let (from, before) = (append(&writer, "begin").await + 1, writer.handed_over());
    let logs: Vec<_> = others.into_iter().chain([writer]).collect();
    let mut tasks = Vec::new();
    for task in 0..12 {
        let log = Arc::clone(&logs[task % nodes]);
        tasks.push(tokio::spawn(async move {
            let mut stored = Vec::new();
            for number in 0..40 {
                let name = format!("{task} {number}");
                let records = (0..3).map(|n| record(format!("{name} {n}"))).collect();
                let positions = log.append(&stream(), 0, records).await.unwrap();
                stored.push((name, positions));
            }
            stored
        }));
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        let stored = task.await.unwrap();
        assert!(stored.windows(2).all(|pair| pair[0].1[2].sequence_number < pair[1].1[0].sequence_number));
        acknowledged.extend(stored);
    }
    for log in &logs {
        let records = read_all(&dynamic(log), ReadFrom::Sequence { number: from, inclusive: true }).await;
        assert_eq!(records.len(), 12 * 40 * 3, "everything once");
        for (name, positions) in &acknowledged {
            for (n, position) in positions.iter().enumerate() {
                let at = &records[usize::try_from(position.sequence_number - from).unwrap()];
                assert_eq!(
                    (at.payload.as_ref(), at.position()),
                    (format!("{name} {n}").as_bytes(), *position)
                );
            }
        }
    }
    for handing in &logs[..nodes - 1] {
        assert!(handing.handed_over() > 1);
    }
    assert_eq!(logs[nodes - 1].handed_over(), before, "the writer remains");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_at_once() {
    at_once(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_at_once() {
    at_once(3).await;
}

/// The writer's log is closed while the others hand over to it: they go on among themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_leaves() {
    let Some(nats) = Nats::start().await else { return };
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(open(&nats.url()).await);
    }
    nodes[0].create(&stream(), &config()).await.unwrap();
    let (writer, others) = settle(nodes).await;
    let from = append(&writer, "begin").await + 1;
    go_on(&others, from, move || drop(writer)).await;
    let (_writer, others) = settle(others).await;
    assert_eq!(others.len(), 1, "another one is the writer");
}

/// The writer's process ends at once, with what it had been handed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_dies() {
    let Some(nats) = Nats::start().await else { return };
    let mut nodes = Vec::new();
    let mut processes = Vec::new();
    for _ in 0..3 {
        let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let process = process.unwrap();
        let url = nats.url();
        nodes.push(process.spawn(async move { open(&url).await }).await.unwrap());
        processes.push(process);
    }
    nodes[0].create(&stream(), &config()).await.unwrap();
    let all = nodes.clone();
    let (writer, others) = settle(nodes).await;
    let from = append(&writer, "begin").await + 1;
    let dying = all.iter().position(|log| Arc::ptr_eq(log, &writer)).unwrap();
    drop(all);
    let dying = processes.remove(dying);
    go_on(&others, from, move || dying.shutdown_background()).await;
    drop((writer, others));
    processes.into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
}

/// Producers at two nodes append while `cut` happens to the writer; what they had acknowledged is there, once.
async fn go_on(nodes: &[Arc<JetStreamLog>], from: i64, cut: impl FnOnce()) {
    let (told, mut done) = tokio::sync::mpsc::channel(1000);
    let mut tasks = Vec::new();
    for task in 0..8_u8 {
        let (log, told) = (Arc::clone(&nodes[usize::from(task) % nodes.len()]), told.clone());
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..60_u8 {
                acknowledged.push((insist(&log, task, number).await, format!("{task} {number} 0")));
                told.send(()).await.unwrap();
            }
            acknowledged
        }));
    }
    for _ in 0..100 {
        done.recv().await.unwrap();
    }
    cut();
    for _ in 100..8 * 60 {
        done.recv().await.unwrap();
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        let stored = task.await.unwrap();
        assert!(stored.is_sorted());
        acknowledged.extend(stored);
    }
    for log in nodes {
        let records = read_all(&dynamic(log), ReadFrom::Sequence { number: from, inclusive: true }).await;
        assert_eq!(records.len(), 8 * 60 * 3, "every call once");
        for (at, text) in &acknowledged {
            assert_eq!(records[usize::try_from(*at - from).unwrap()].payload, *text);
        }
        let mut renumbered = records.clone();
        renumbered.iter_mut().for_each(|record| record.sequence_number -= from);
        check_calls(&renumbered);
    }
}

/// Calls in flight at once are stored in order, whoever stores them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_calls_keep_their_order_when_the_writer_leaves() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let (name, mut writer) = (stream(), Some(writer));
    let (mut calls, mut next, mut last, mut refused) = (FuturesOrdered::new(), 0, -1, HashSet::new());
    while next < 600 || !calls.is_empty() {
        while next < 600 && calls.len() < 40 {
            let mut call = handing.append(&name, 0, vec![record(format!("call {next}"))]);
            // Its first poll is what counts.
            let polled = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context)));
            assert!(polled.await.is_pending());
            let number = next;
            calls.push_back(async move { (number, call.await) });
            next += 1;
        }
        match calls.next().await.unwrap() {
            (_, Ok(positions)) => {
                assert!(positions[0].sequence_number > last, "in order");
                last = positions[0].sequence_number;
            }
            (number, Err(LogError::Unavailable(_))) => drop(refused.insert(number)),
            (_, Err(error)) => panic!("{error}"),
        }
        if next > 300 {
            drop(writer.take());
        }
    }
    assert!(refused.is_empty(), "a writer that leaves in good order leaves nothing open: {refused:?}");
    let stored: Vec<_> = texts(&handing).await.into_iter().filter(|text| text.starts_with("call")).collect();
    assert_eq!(stored, (0..600).map(|number| format!("call {number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_found_again_whichever_way_it_comes() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let name = stream();
    let mut originals = Vec::new();
    for number in 0..20 {
        let log = if number % 2 == 0 { &handing } else { &writer };
        originals.push(log.append(&name, 0, vec![keyed("first", [1, 2, number])]).await.unwrap()[0]);
    }
    let late = open(&nats.url()).await;
    for log in [&writer, &handing, &late] {
        for (number, original) in (0..).zip(&originals) {
            // Between others, and twice.
            let records = vec![record("x"), keyed("again", [1, 2, number]), keyed("again", [1, 2, number])];
            let positions = log.append(&name, 0, records).await.unwrap();
            assert_eq!(positions[1..], [*original, *original]);
            assert!(positions[0].sequence_number > original.sequence_number);
        }
    }
    let count = handing.handed_over();
    assert_eq!(handing.append(&name, 0, vec![keyed("only", [1, 2, 3])]).await.unwrap(), [originals[3]]);
    assert_eq!(handing.handed_over(), count + 1);
    // By itself again.
    drop((writer, late));
    for (number, original) in (0..).zip(&originals) {
        let again = loop {
            match handing.append(&name, 0, vec![keyed("again", [1, 2, number])]).await {
                Err(LogError::Unavailable(_)) => {}
                answer => break answer.unwrap(),
            }
        };
        assert_eq!(again, [*original]);
    }
    assert_eq!(texts(&handing).await.iter().filter(|text| *text == "first").count(), 20);
    assert!(!texts(&handing).await.iter().any(|text| text == "again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_made_again_begins_anew() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    for round in 0..6 {
        let by = if round % 2 == 0 { &handing } else { &writer };
        by.delete(&stream()).await.unwrap();
        if round % 3 == 0 {
            for log in [&writer, &handing] {
                let gone = log.append(&stream(), 0, vec![record("gone")]).await;
                assert_eq!(gone, Err(LogError::UnknownStream(stream())));
            }
        }
        by.create(&stream(), &config()).await.unwrap();
        let old = handing.handed_over() + writer.handed_over();
        let mut next = 0;
        for _ in 0..5 {
            for log in [&handing, &writer] {
                let stored = log.append(&stream(), 0, vec![keyed("new", [9, 9, next])]).await.unwrap();
                assert_eq!(stored[0].sequence_number, i64::from(next));
                next += 1;
            }
        }
        assert!(handing.handed_over() + writer.handed_over() > old, "whoever comes first in this life");
        assert_eq!(texts(&writer).await, ["new"; 10]);
        assert_eq!(texts(&handing).await, ["new"; 10]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_append_is_handed_over() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let (largest, before) = (handing.max_call_bytes() - 8, handing.handed_over());
    let stored = handing.append(&stream(), 0, vec![record(vec![b'x'; largest])]).await.unwrap();
    assert_eq!(handing.handed_over(), before + 1);
    let from = ReadFrom::Sequence { number: stored[0].sequence_number, inclusive: true };
    assert_eq!(writer.read(&stream(), 0, &from, ALL).await.unwrap()[0].payload.len(), largest);
    // And very many that are very small.
    let many = handing.append(&stream(), 0, (0..60_000).map(|_| record("")).collect()).await.unwrap();
    assert!(many.windows(2).all(|pair| pair[0].sequence_number + 1 == pair[1].sequence_number));
    assert_eq!(many[0].sequence_number, stored[0].sequence_number + 1);
}

/// Where the account has no rights but those that are documented.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_are_documented_are_enough() {
    let rights = r#"authorization { users: [ { user: u, password: p, permissions: {
        publish: ["test.>", "$KV.test-catalog.>", "$JS.API.>"],
        subscribe: ["test.>", "$KV.test-catalog.>", "_INBOX.>"] } } ] }"#;
    let some = NatsOptions { config: rights.to_owned(), ..NatsOptions::default() };
    let Some(nats) = Nats::start_with(some).await else { return };
    let (writer, handing) = pair(&format!("nats://u:p@127.0.0.1:{}", nats.port())).await;
    assert!(handing.handed_over() > 0, "they reach each other");
    append(&writer, "end").await;
}

/// A frame whose node has gone makes nobody wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_handed_to_a_node_that_has_gone() {
    let Some(nats) = Nats::start().await else { return };
    let stays = open(&nats.url()).await;
    stays.create(&stream(), &config()).await.unwrap();
    for round in 0..8 {
        let goes = open(&nats.url()).await;
        assert_eq!(append(&stays, "stays").await, 2 * round);
        assert_eq!(append(&goes, "goes").await, 2 * round + 1);
        drop(goes);
    }
    let begun = Instant::now();
    assert_eq!(append(&stays, "stays").await, 16);
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_with_options_of_its_own_hands_over_as_well() {
    let Some(nats) = Nats::start().await else { return };
    let narrow = JetStreamOptions { queue_bytes: 1, tail_cache_bytes: 0, ..options() };
    let mut nodes = Vec::new();
    for options in [narrow, options()] {
        let log = JetStreamLog::connect(&nats.url(), options, Arc::new(SystemClock)).await.unwrap();
        nodes.push(Arc::new(log));
    }
    nodes[0].create(&stream(), &config()).await.unwrap();
    let (_writer, others) = settle(nodes).await;
    for _ in 0..10 {
        append(&others[0], "one at a time").await;
    }
}
