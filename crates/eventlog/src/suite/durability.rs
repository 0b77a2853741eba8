//! What stays after reopening and what goes with retention.

use std::sync::Arc;
use std::time::Duration;

use super::{Backend, append, config, keyed, numbers, open, read_all, record, stream, texts};
use crate::log::{EventLog, ReadFrom, Retention, StreamConfig};

pub(super) async fn a_retry_after_reopening_is_answered_with_the_original(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let first = append(&log, 0, vec![keyed("a", 1)]).await;
    // Many records later, in another storage unit.
    for _ in 0..30 {
        append(&log, 0, vec![record(vec![b'x'; 1000])]).await;
    }
    let second = append(&log, 0, vec![keyed("b", 2)]).await;
    drop(log);
    let log = backend.open().await;
    assert_eq!(append(&log, 0, vec![keyed("a", 1), keyed("b", 2)]).await, vec![first[0], second[0]]);
    assert_eq!(log.partition(&stream(), 0).await.expect("partition").last_sequence_number, 31);
}

pub(super) async fn reopening_keeps_everything(backend: Arc<dyn Backend>) {
    let log = open(&backend, 3).await;
    for number in 0..60 {
        append(&log, number % 3, vec![record(format!("{number}")), record(vec![b'x'; 500])]).await;
    }
    let mut before = Vec::new();
    for partition in 0..3 {
        before.push((
            read_all(&log, partition, ReadFrom::Earliest).await,
            log.partition(&stream(), partition).await.expect("partition"),
        ));
    }
    let streams = log.streams().await.expect("streams");
    drop(log);
    let log = backend.open().await;
    assert_eq!(log.streams().await.expect("streams"), streams);
    for (partition, (records, info)) in (0..).zip(before) {
        assert_eq!(read_all(&log, partition, ReadFrom::Earliest).await, records);
        assert_eq!(log.partition(&stream(), partition).await.expect("partition"), info);
    }
    assert_eq!(append(&log, 0, vec![record("next")]).await[0].sequence_number, 40);
}

pub(super) async fn positions_go_on_after_trim_and_reopening(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let last = append(&log, 0, (0..5).map(|n| record(format!("{n}"))).collect()).await[4];
    log.trim(last.enqueued_time.plus(Duration::from_secs(90_000))).await.expect("trim");
    drop(log);
    let log = backend.open().await;
    let info = log.partition(&stream(), 0).await.expect("partition");
    assert!(info.is_empty);
    assert_eq!((info.begin_sequence_number, info.last_sequence_number), (5, 4));
    assert_eq!((info.last_offset, info.last_enqueued_time), (last.offset, last.enqueued_time));
    let next = append(&log, 0, vec![record("5")]).await[0];
    assert_eq!(next.sequence_number, 5);
    assert!(next.offset > last.offset && next.enqueued_time > last.enqueued_time);
    assert_eq!(numbers(&read_all(&log, 0, ReadFrom::Earliest).await), [5]);
}

pub(super) async fn retention_by_time_removes_what_is_old(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let old = append(&log, 0, (0..40).map(|_| record(vec![b'o'; 1000])).collect()).await[39];
    let kept = log.trim(old.enqueued_time).await.expect("trim");
    assert_eq!(kept.records, 0, "nothing is a day old yet");
    let trimmed = log.trim(old.enqueued_time.plus(Duration::from_secs(86_401))).await.expect("trim");
    assert_eq!(trimmed.records, 40);
    assert!(trimmed.bytes >= 40_000);
    assert!(read_all(&log, 0, ReadFrom::Earliest).await.is_empty());
    assert!(read_all(&log, 0, ReadFrom::Sequence { number: 0, inclusive: true }).await.is_empty());
    append(&log, 0, vec![record("new")]).await;
    assert_eq!(texts(&read_all(&log, 0, ReadFrom::Sequence { number: 3, inclusive: true }).await), ["new"]);
}

pub(super) async fn retention_by_size_keeps_the_newest(backend: Arc<dyn Backend>) {
    let log = backend.open().await;
    let bounded =
        StreamConfig { retention: Retention { bytes: Some(20_000), ..config(1).retention }, ..config(1) };
    log.create(&stream(), &bounded).await.expect("create");
    let mut last = None;
    for number in 0..200 {
        last = append(&log, 0, vec![record(format!("{number:01000}"))]).await.pop();
    }
    let moment = last.expect("records were stored").enqueued_time;
    let trimmed = log.trim(moment).await.expect("trim");
    let records = read_all(&log, 0, ReadFrom::Earliest).await;
    let info = log.partition(&stream(), 0).await.expect("partition");
    assert!(trimmed.records > 0 && records.len() >= 20, "the newest 20,000 bytes are kept");
    assert_eq!(trimmed.records + records.len() as u64, 200);
    assert_eq!(info.begin_sequence_number, records[0].sequence_number);
    assert_eq!(records.last().expect("some are kept").sequence_number, 199);
    check_gap(&log, info.begin_sequence_number).await;
}

/// A reader that was left behind goes on at the oldest record.
async fn check_gap(log: &Arc<dyn EventLog>, begin: i64) {
    for from in [
        ReadFrom::Sequence { number: 0, inclusive: false },
        ReadFrom::Offset { offset: -1, inclusive: false },
        ReadFrom::Enqueued { after: pollux_model::Timestamp::NEVER },
    ] {
        assert_eq!(read_all(log, 0, from).await[0].sequence_number, begin, "{from:?}");
    }
}
