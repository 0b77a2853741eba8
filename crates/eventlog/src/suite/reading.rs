//! Reads and waits.

use std::sync::Arc;
use std::time::Duration;

use pollux_model::Timestamp;

use super::{ALL, Backend, append, numbers, open, read_all, record, stream};
use crate::log::{EventLog, LogError, Position, ReadFrom, ReadLimit};

/// Thirty records; some of them only on disk where the backend has a cache, all of them after reopening.
async fn thirty(backend: &Arc<dyn Backend>) -> Vec<Position> {
    let log = open(backend, 1).await;
    let mut positions = Vec::new();
    for number in 0..30 {
        positions.extend(append(&log, 0, vec![record(format!("{number:0700}"))]).await);
    }
    positions
}

async fn check_starts(log: &Arc<dyn EventLog>, positions: &[Position]) {
    for (at, position) in (0_i64..).zip(positions) {
        let starts = [
            (ReadFrom::Sequence { number: at, inclusive: true }, at),
            (ReadFrom::Sequence { number: at, inclusive: false }, at + 1),
            (ReadFrom::Offset { offset: position.offset, inclusive: true }, at),
            (ReadFrom::Offset { offset: position.offset, inclusive: false }, at + 1),
            (ReadFrom::Offset { offset: position.offset - 1, inclusive: false }, at),
            (ReadFrom::Enqueued { after: position.enqueued_time }, at + 1),
            (ReadFrom::Enqueued { after: position.enqueued_time.minus(Duration::from_micros(1)) }, at),
        ];
        for (from, first) in starts {
            let got = numbers(&read_all(log, 0, from).await);
            assert_eq!(got, (first..30).collect::<Vec<_>>(), "{from:?}");
        }
    }
}

pub(super) async fn every_start_inclusive_and_exclusive(backend: Arc<dyn Backend>) {
    let positions = thirty(&backend).await;
    let log = backend.open().await;
    check_starts(&log, &positions).await;
    drop(log);
    check_starts(&backend.open().await, &positions).await;
}

pub(super) async fn starts_outside_the_range(backend: Arc<dyn Backend>) {
    let positions = thirty(&backend).await;
    let log = backend.open().await;
    let all: Vec<i64> = (0..30).collect();
    let last = positions[29];
    let whole = [
        ReadFrom::Earliest,
        ReadFrom::Sequence { number: -1, inclusive: false },
        ReadFrom::Sequence { number: i64::MIN, inclusive: true },
        ReadFrom::Offset { offset: -1, inclusive: false },
        ReadFrom::Offset { offset: i64::MIN, inclusive: true },
        ReadFrom::Enqueued { after: Timestamp::NEVER },
    ];
    for from in whole {
        assert_eq!(numbers(&read_all(&log, 0, from).await), all, "{from:?}");
    }
    let nothing = [
        ReadFrom::Latest,
        ReadFrom::Sequence { number: 30, inclusive: true },
        ReadFrom::Sequence { number: i64::MAX, inclusive: false },
        ReadFrom::Offset { offset: last.offset + 1, inclusive: true },
        ReadFrom::Offset { offset: i64::MAX, inclusive: false },
        ReadFrom::Enqueued { after: last.enqueued_time },
        ReadFrom::Enqueued { after: last.enqueued_time.plus(Duration::from_secs(1000)) },
    ];
    for from in nothing {
        assert!(read_all(&log, 0, from).await.is_empty(), "{from:?}");
    }
}

pub(super) async fn limits_of_a_read(backend: Arc<dyn Backend>) {
    thirty(&backend).await;
    let log = backend.open().await;
    for (records, bytes, expected) in
        [(7, usize::MAX, 7), (30, 2100, 3), (30, 2099, 2), (30, 0, 1), (0, 9999, 0)]
    {
        let limit = ReadLimit { records, bytes };
        let got = log.read(&stream(), 0, &ReadFrom::Earliest, limit).await.expect("read");
        assert_eq!(got.len(), expected, "{limit:?}");
    }
}

pub(super) async fn a_backlog_is_read_in_order_in_small_steps(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    for _ in 0..20 {
        append(&log, 0, (0..50).map(|_| record(vec![b'x'; 300])).collect()).await;
    }
    drop(log);
    let log = backend.open().await;
    // Two readers at once, at different speeds, while more is stored.
    let mut next = [0_i64, 0];
    for round in 0_i64.. {
        for (reader, step) in [(0, 13), (1, 37)] {
            let from = ReadFrom::Sequence { number: next[reader], inclusive: true };
            let limit = ReadLimit { records: step, bytes: usize::MAX };
            let got = log.read(&stream(), 0, &from, limit).await.expect("read");
            assert_eq!(numbers(&got), (next[reader]..next[reader] + got.len() as i64).collect::<Vec<_>>());
            next[reader] += got.len() as i64;
        }
        if round < 10 {
            append(&log, 0, vec![record("more")]).await;
        }
        if next == [1010, 1010] {
            break;
        }
        assert!(round < 1000, "the readers do not get on: {next:?}");
    }
}

pub(super) async fn wait_returns_at_once_for_what_is_there(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    append(&log, 0, vec![record("0"), record("1")]).await;
    log.wait(&stream(), 0, -1).await.expect("wait");
    log.wait(&stream(), 0, 0).await.expect("wait");
}

pub(super) async fn wait_wakes_on_append(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    append(&log, 0, vec![record("0")]).await;
    let waiter = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            log.wait(&stream(), 0, 1).await.expect("wait");
            log.read(&stream(), 0, &ReadFrom::Sequence { number: 1, inclusive: false }, ALL)
                .await
                .expect("read")
        }
    });
    append(&log, 0, vec![record("1")]).await;
    append(&log, 0, vec![record("2")]).await;
    assert_eq!(numbers(&waiter.await.expect("the waiter failed")), [2]);
}

pub(super) async fn wait_ends_when_the_stream_is_deleted(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let name = stream();
    let mut waiting = log.wait(&name, 0, -1);
    // Polled once, so that it waits before the stream goes.
    let early = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context))).await;
    assert!(early.is_pending());
    log.delete(&name).await.expect("delete");
    assert_eq!(waiting.await, Err(LogError::UnknownStream(stream())));
}
