//! Records and numbers that come from another log, and whether the log is well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_model::Timestamp;

use super::{Backend, append, config, keyed, numbers, open, read_all, record, stream, texts};
use crate::log::{EventLog, LogError, Position, ReadFrom, Record};

fn foreign(number: i64) -> Record {
    Record {
        sequence_number: number,
        offset: 5000 + number * 300,
        enqueued_time: Timestamp::from_secs(1_700_000_000 + number * 10),
        partition_key: (number % 2 == 0).then(|| format!("key {number}").into()),
        payload: Bytes::from(format!("{number}")),
    }
}

async fn check(log: &Arc<dyn EventLog>, range: std::ops::Range<i64>) {
    let records = read_all(log, 0, ReadFrom::Earliest).await;
    assert_eq!(numbers(&records), range.clone().collect::<Vec<_>>());
    for (number, record) in range.zip(&records) {
        let given = foreign(number);
        assert_eq!(record.enqueued_time, given.enqueued_time);
        assert_eq!((&record.partition_key, &record.payload), (&given.partition_key, &given.payload));
    }
    for pair in records.windows(2) {
        assert!(pair[0].offset < pair[1].offset);
    }
}

pub(super) async fn a_log_that_works_is_healthy(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    append(&log, 0, vec![record("x")]).await;
    log.healthy().await.expect("healthy");
}

pub(super) async fn imported_records_stay_what_they_were(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    log.import(&stream(), 0, Vec::new()).await.expect("import");
    log.import(&stream(), 0, (40..60).map(foreign).collect()).await.expect("import");
    // Cut off and repeated, then further.
    log.import(&stream(), 0, (50..80).map(foreign).collect()).await.expect("import");
    check(&log, 40..80).await;
    drop(log);
    let log = backend.open().await;
    check(&log, 40..80).await;
    let info = log.partition(&stream(), 0).await.expect("partition");
    assert_eq!((info.begin_sequence_number, info.last_sequence_number), (40, 79));
    for number in 40..80 {
        let moment = foreign(number).enqueued_time.minus(Duration::from_micros(1));
        let got = read_all(&log, 0, ReadFrom::Enqueued { after: moment }).await;
        assert_eq!(numbers(&got), (number..80).collect::<Vec<_>>());
    }
    let next = append(&log, 0, vec![keyed("80", 1)]).await[0];
    assert_eq!(next.sequence_number, 80);
    assert!(next.offset > info.last_offset && next.enqueued_time > info.last_enqueued_time);
    assert_eq!(append(&log, 0, vec![keyed("80", 1)]).await, [next]);
}

pub(super) async fn imports_that_do_not_fit_are_refused(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    log.import(&stream(), 0, vec![foreign(3), foreign(4)]).await.expect("import");
    let early = Record { enqueued_time: foreign(4).enqueued_time, ..foreign(5) };
    for bad in [vec![foreign(6)], vec![foreign(5), foreign(7)], vec![early]] {
        let answer = log.import(&stream(), 0, bad).await;
        assert!(matches!(answer, Err(LogError::InvalidConfig(_))), "{answer:?}");
    }
    let answer = log.begin_after(&stream(), 0, foreign(9).position()).await;
    assert!(matches!(answer, Err(LogError::InvalidConfig(_))), "{answer:?}");
    check(&log, 3..5).await;
}

pub(super) async fn an_empty_partition_goes_on_elsewhere(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    let last =
        Position { sequence_number: 41, offset: 9000, enqueued_time: Timestamp::from_secs(1_700_000_000) };
    for _ in 0..2 {
        log.begin_after(&stream(), 0, last).await.expect("begin_after");
    }
    drop(log);
    let log = backend.open().await;
    log.begin_after(&stream(), 0, last).await.expect("begin_after");
    let info = log.partition(&stream(), 0).await.expect("partition");
    assert!(info.is_empty);
    assert_eq!((info.begin_sequence_number, info.last_sequence_number), (42, 41));
    assert_eq!((info.last_offset, info.last_enqueued_time), (last.offset, last.enqueued_time));
    assert!(read_all(&log, 0, ReadFrom::Earliest).await.is_empty());
    let next = append(&log, 0, vec![record("42")]).await[0];
    assert_eq!(next.sequence_number, 42);
    assert!(next.offset > last.offset && next.enqueued_time > last.enqueued_time);
    assert_eq!(texts(&read_all(&log, 0, ReadFrom::Earliest).await), ["42"]);
    assert_eq!(append(&log, 1, vec![record("0")]).await[0].sequence_number, 0);
    assert_eq!(log.streams().await.expect("streams"), [(stream(), config(2))]);
}
