//! What the JetStream tests share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_eventlog::{
    EventLog, IdempotencyKey, JetStreamLog, JetStreamOptions, NewRecord, ReadFrom, ReadLimit, Record,
    Retention, StreamConfig, StreamName,
};
use pollux_model::SystemClock;
use pollux_testkit::Nats;

pub(crate) const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

pub(crate) fn stream() -> StreamName {
    StreamName::new("ns/hub.one").unwrap()
}

pub(crate) fn config() -> StreamConfig {
    StreamConfig { partitions: 1, retention: Retention { time: Duration::from_secs(86_400), bytes: None } }
}

pub(crate) fn options() -> JetStreamOptions {
    JetStreamOptions { prefix: "test".to_owned(), ..JetStreamOptions::default() }
}

pub(crate) async fn connect(nats: &Nats) -> Arc<dyn EventLog> {
    Arc::new(JetStreamLog::connect(&nats.url(), options(), Arc::new(SystemClock)).await.unwrap())
}

pub(crate) fn record(payload: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord { partition_key: None, payload: Bytes::from(payload.into()), idempotency_key: None }
}

pub(crate) fn keyed(payload: &str, key: [u8; 3]) -> NewRecord {
    let mut bytes = [7; 16];
    bytes[..3].copy_from_slice(&key);
    NewRecord { idempotency_key: Some(IdempotencyKey(bytes)), ..record(payload) }
}

pub(crate) async fn read_all(log: &Arc<dyn EventLog>, from: ReadFrom) -> Vec<Record> {
    let mut out = log.read(&stream(), 0, &from, ALL).await.unwrap();
    while let Some(last) = out.last() {
        let next = ReadFrom::Sequence { number: last.sequence_number, inclusive: false };
        let more = log.read(&stream(), 0, &next, ALL).await.unwrap();
        if more.is_empty() {
            break;
        }
        out.extend(more);
    }
    out
}

/// Numbers are dense; payloads are `<task> <number> <n>` with the n of a call next to each other, each call once.
pub(crate) fn check_calls(records: &[Record]) {
    let mut seen = std::collections::HashSet::new();
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record.sequence_number, at as i64);
    }
    for pair in records.windows(2) {
        assert!(pair[0].offset < pair[1].offset && pair[0].enqueued_time < pair[1].enqueued_time);
    }
    for call in records.chunks(3) {
        let texts: Vec<_> = call.iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect();
        let name = texts[0].strip_suffix(" 0").unwrap().to_owned();
        assert_eq!(texts, [0, 1, 2].map(|n| format!("{name} {n}")), "one call's records adjoin");
        assert!(seen.insert(name), "stored twice: {texts:?}");
    }
}
