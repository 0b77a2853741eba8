//! Appends: order, numbering, limits, idempotency.

use std::sync::Arc;

use super::{Backend, MAX_RECORD, append, keyed, numbers, open, read_all, record, stream, texts};
use crate::log::{LogError, MAX_PARTITION_KEY_BYTES, NewRecord, ReadFrom};

pub(super) async fn numbers_are_dense_and_places_grow(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let mut positions = Vec::new();
    for round in 0..20 {
        let records = (0..=round % 3).map(|n| record(format!("{round}/{n}"))).collect();
        positions.extend(append(&log, 0, records).await);
    }
    let records = read_all(&log, 0, ReadFrom::Earliest).await;
    assert_eq!(numbers(&records), (0..i64::try_from(positions.len()).expect("few")).collect::<Vec<_>>());
    assert_eq!(records.iter().map(crate::Record::position).collect::<Vec<_>>(), positions);
    for pair in positions.windows(2) {
        assert!(pair[0].offset < pair[1].offset, "offsets grow");
        assert!(pair[0].enqueued_time < pair[1].enqueued_time, "times grow");
    }
}

pub(super) async fn concurrent_appenders_keep_their_order(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    let mut tasks = Vec::new();
    for task in 0..16_u32 {
        let log = Arc::clone(&log);
        tasks.push(tokio::spawn(async move {
            for number in 0..50 {
                append(
                    &log,
                    task % 2,
                    vec![record(format!("{task} {number} a")), record(format!("{task} {number} b"))],
                )
                .await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("an appender failed");
    }
    for partition in 0..2 {
        let records = read_all(&log, partition, ReadFrom::Earliest).await;
        assert_eq!(numbers(&records), (0..800).collect::<Vec<_>>());
        let texts = texts(&records);
        for task in (partition..16).step_by(2) {
            let own: Vec<_> = texts.iter().filter(|text| text.starts_with(&format!("{task} "))).collect();
            let expected: Vec<_> =
                (0..50).flat_map(|n| [format!("{task} {n} a"), format!("{task} {n} b")]).collect();
            assert!(own.into_iter().eq(expected.iter()), "the records of appender {task} keep their order");
        }
        for pair in texts.chunks(2) {
            assert_eq!(
                pair[0].trim_end_matches('a'),
                pair[1].trim_end_matches('b'),
                "one call's records adjoin"
            );
        }
    }
}

pub(super) async fn pipelined_appends_keep_their_order(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let name = stream();
    let mut calls: Vec<_> =
        (0..200).map(|number| log.append(&name, 0, vec![record(number.to_string())])).collect();
    // Polls every call once, in order, before waiting for any of them.
    let mut early = Vec::new();
    std::future::poll_fn(|context| {
        for (at, call) in calls.iter_mut().enumerate() {
            if let std::task::Poll::Ready(answer) = call.as_mut().poll(context) {
                early.push((at, answer));
            }
        }
        std::task::Poll::Ready(())
    })
    .await;
    for (at, answer) in early {
        assert_eq!(answer.expect("append")[0].sequence_number, i64::try_from(at).expect("few"));
        calls[at] = Box::pin(async { Ok(Vec::new()) });
    }
    for (at, call) in calls.into_iter().enumerate() {
        let positions = call.await.expect("append");
        assert!(positions.iter().all(|p| p.sequence_number == i64::try_from(at).expect("few")));
    }
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(texts(&read_all(&log, 0, ReadFrom::Earliest).await), expected);
}

pub(super) async fn everything_of_a_record_comes_back(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let key = "k".repeat(MAX_PARTITION_KEY_BYTES);
    let given = vec![
        record(Vec::new()),
        record(vec![0; MAX_RECORD]),
        NewRecord { partition_key: Some("".into()), ..record("empty key") },
        NewRecord { partition_key: Some("Gerät-1".into()), ..keyed("key", 1) },
        NewRecord { partition_key: Some(key.into()), ..record([0, 255, 13, 10]) },
    ];
    append(&log, 0, given.clone()).await;
    drop(log);
    let log = backend.open().await;
    let stored = read_all(&log, 0, ReadFrom::Earliest).await;
    assert_eq!(stored.len(), given.len());
    for (stored, given) in stored.iter().zip(&given) {
        assert_eq!((&stored.partition_key, &stored.payload), (&given.partition_key, &given.payload));
    }
}

pub(super) async fn limits_are_refused_as_a_whole(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let key = "k".repeat(MAX_PARTITION_KEY_BYTES + 1);
    let bad = [
        NewRecord { partition_key: Some(key.into()), ..record("key too long") },
        record(vec![1; MAX_RECORD + 1]),
    ];
    for bad in bad {
        let answer = log.append(&stream(), 0, vec![record("good"), bad]).await;
        assert!(matches!(answer, Err(LogError::TooLarge { .. })), "{answer:?}");
    }
    assert!(log.partition(&stream(), 0).await.expect("partition").is_empty, "nothing of the calls is stored");
    assert_eq!(append(&log, 0, vec![record("good")]).await[0].sequence_number, 0);
}

pub(super) async fn an_empty_append_stores_nothing(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    assert_eq!(append(&log, 0, Vec::new()).await, Vec::new());
    assert!(log.partition(&stream(), 0).await.expect("partition").is_empty);
}

pub(super) async fn a_retry_with_the_same_key_is_answered_with_the_original(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let first = append(&log, 0, vec![keyed("a", 1), keyed("b", 2)]).await;
    let again = append(&log, 0, vec![keyed("b", 2), keyed("c", 3), keyed("a", 1), record("d")]).await;
    assert_eq!((again[0], again[2]), (first[1], first[0]));
    assert_eq!((again[1].sequence_number, again[3].sequence_number), (2, 3));
    assert_eq!(append(&log, 0, vec![keyed("b", 2)]).await, vec![first[1]]);
    assert_eq!(texts(&read_all(&log, 0, ReadFrom::Earliest).await), ["a", "b", "c", "d"]);
    // Without a key, the same bytes are another record.
    append(&log, 0, vec![record("d")]).await;
    assert_eq!(texts(&read_all(&log, 0, ReadFrom::Earliest).await), ["a", "b", "c", "d", "d"]);
}

pub(super) async fn a_key_twice_in_one_append_is_stored_once(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let positions = append(&log, 0, vec![keyed("a", 1), keyed("a", 1), record("b")]).await;
    assert_eq!(positions[0], positions[1]);
    drop(log);
    let log = backend.open().await;
    assert_eq!(texts(&read_all(&log, 0, ReadFrom::Earliest).await), ["a", "b"]);
}

pub(super) async fn keys_count_per_partition(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    for partition in 0..2 {
        append(&log, partition, vec![keyed("a", 1)]).await;
        assert_eq!(texts(&read_all(&log, partition, ReadFrom::Earliest).await), ["a"]);
    }
}
