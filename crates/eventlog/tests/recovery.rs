//! What the segment log finds after a crash: torn tails, damage, copies taken while it was writing, old formats.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pollux_eventlog::{
    EventLog, IdempotencyKey, LogError, NewRecord, OpenError, Position, ReadFrom, ReadLimit, Record,
    Retention, SegmentLog, SegmentOptions, StreamConfig, StreamName,
};
use pollux_model::{ManualClock, SystemClock, Timestamp};
use proptest::prelude::*;

const HEADER: usize = 64;
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn stream() -> StreamName {
    StreamName::new("ns/hub").unwrap()
}

fn config() -> StreamConfig {
    StreamConfig { partitions: 1, retention: Retention { time: Duration::from_secs(86_400), bytes: None } }
}

fn options(segment_bytes: u64) -> SegmentOptions {
    SegmentOptions { segment_bytes, ..SegmentOptions::default() }
}

fn try_open(folder: &Path) -> Result<SegmentLog, OpenError> {
    SegmentLog::open(folder, options(4096), Arc::new(SystemClock))
}

fn record(payload: Vec<u8>) -> NewRecord {
    NewRecord { partition_key: Some("device".into()), payload: payload.into(), idempotency_key: None }
}

async fn read_all(log: &SegmentLog) -> Vec<Record> {
    log.read(&stream(), 0, &ReadFrom::Earliest, ALL).await.unwrap()
}

fn partition_folder(folder: &Path) -> PathBuf {
    folder.join("streams/ns/hub/00000")
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(partition_folder(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if let Err(error) = fs::copy(&path, &target) {
            // A half-made segment may get its name between the listing and now. It held nothing then.
            let renamed = error.kind() == std::io::ErrorKind::NotFound && path.extension().unwrap() == "new";
            assert!(renamed, "{}: {error}", path.display());
        }
    }
}

/// A log with each call stored by its own fdatasync; the file positions where each call ends.
async fn build(folder: &Path, calls: &[Vec<usize>]) -> Vec<usize> {
    let log = try_open(folder).unwrap();
    log.create(&stream(), &config()).await.unwrap();
    let mut ends = Vec::new();
    let mut at = HEADER;
    for sizes in calls {
        let records: Vec<_> = sizes.iter().map(|size| record(vec![7; *size])).collect();
        at += records.iter().map(|r| 36 + "device".len() + r.payload.len()).sum::<usize>();
        log.append(&stream(), 0, records).await.unwrap();
        ends.push(at);
    }
    ends
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever part of the last call reached the disk: the calls before it are there, of it all or nothing, and
    /// the log goes on.
    #[test]
    fn a_torn_tail_is_cut_off(
        calls in prop::collection::vec(prop::collection::vec(0_usize..200, 1..4), 2..6),
        cut in 0.0_f64..1.0,
        garbage in prop_oneof![Just(0_u8), any::<u8>()],
        junk in 0_usize..100,
    ) {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let ends = build(folder.path(), &calls).await;
            let (start, end) = (ends[ends.len() - 2], ends[ends.len() - 1]);
            let cut = start + ((end - start) as f64 * cut) as usize;
            let path = segments(folder.path()).remove(0);
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(cut);
            bytes.resize(cut + junk, garbage);
            fs::write(&path, bytes).unwrap();

            let log = try_open(folder.path()).unwrap();
            let kept: usize = calls[..calls.len() - 1].iter().map(Vec::len).sum();
            let records = read_all(&log).await;
            prop_assert_eq!(records.len(), kept);
            let position = log.append(&stream(), 0, vec![record(vec![9; 30])]).await.unwrap()[0];
            prop_assert_eq!(position.sequence_number, kept as i64);
            drop(log);
            prop_assert_eq!(read_all(&try_open(folder.path()).unwrap()).await.len(), kept + 1);
            Ok(())
        })?;
    }

    /// A flipped bit anywhere: in the last call it looks like a torn write and takes that call; before it the log
    /// refuses to open and says where. Never is a changed record handed out.
    #[test]
    fn a_flipped_bit_is_found(at in 0.0_f64..1.0, bit in 0_u8..8) {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let calls = vec![vec![50], vec![0, 120], vec![30], vec![80, 10]];
            let ends = build(folder.path(), &calls).await;
            let path = segments(folder.path()).remove(0);
            let mut bytes = fs::read(&path).unwrap();
            let at = (ends[3] as f64 * at) as usize;
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            match try_open(folder.path()) {
                Ok(log) => {
                    prop_assert!(at >= ends[2], "a flip at {} went unseen", at);
                    prop_assert_eq!(read_all(&log).await.len(), 4);
                }
                Err(OpenError::Corrupt { file, at: found, .. }) => {
                    prop_assert!(at < ends[2] && file == path && found <= at as u64, "{} {}", at, found);
                }
                Err(OpenError::Version { .. }) => prop_assert!((8..12).contains(&at)),
                Err(other) => prop_assert!(false, "{}", other),
            }
            Ok(())
        })?;
    }
}

/// Pages of one batch may reach the disk in any order: good records after a hole are no damage if they are of the
/// batch that was never synced.
#[tokio::test]
async fn a_hole_in_the_last_batch_is_torn_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let ends = build(folder.path(), &[vec![10], vec![100, 100, 100]]).await;
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[ends[0]..ends[0] + 60].fill(0);
    fs::write(&path, bytes).unwrap();
    let log = try_open(folder.path()).unwrap();
    assert_eq!(read_all(&log).await.len(), 1);
    // The rest of the old batch is gone for good, also once new records stand where it began.
    log.append(&stream(), 0, vec![record(vec![1; 100])]).await.unwrap();
    drop(log);
    assert_eq!(read_all(&try_open(folder.path()).unwrap()).await.len(), 2);
}

#[tokio::test]
async fn damage_in_an_older_segment_is_refused_or_reported() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path(), &vec![vec![1000]; 20]).await;
    let paths = segments(folder.path());
    assert!(paths.len() > 3, "the log has rolled");
    // A flipped bit: found by the first read that comes across it (opening reads only what it needs).
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[HEADER + 500] ^= 1;
    fs::write(&paths[1], &bytes).unwrap();
    let log = try_open(folder.path()).unwrap();
    let answer = log.read(&stream(), 0, &ReadFrom::Earliest, ALL).await;
    let expected = paths[1].display().to_string();
    assert!(
        matches!(&answer, Err(LogError::Corrupt { file, at: 64, .. }) if *file == expected),
        "{answer:?}"
    );
    drop(log);
    // A missing end: refused.
    fs::write(&paths[1], &bytes[..bytes.len() - 1]).unwrap();
    let refused = try_open(folder.path());
    assert!(matches!(&refused, Err(OpenError::Corrupt { file, .. }) if *file == paths[1]), "{refused:?}");
    // A missing file: refused.
    fs::remove_file(&paths[1]).unwrap();
    assert!(matches!(try_open(folder.path()), Err(OpenError::Corrupt { file, .. }) if file == paths[0]));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path(), &[vec![10]]).await;
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(try_open(folder.path()), Err(OpenError::Version { version: 2, .. })));
}

/// A copy of the folder taken while the log writes is what a kill at that moment leaves. Everything acknowledged
/// before the copy began must be in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_while_writing_has_everything_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(try_open(folder.path()).unwrap());
    log.create(&stream(), &config()).await.unwrap();
    let acknowledged = Arc::new(AtomicI64::new(-1));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (log, acknowledged, stop) = (Arc::clone(&log), Arc::clone(&acknowledged), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let positions = log.append(&stream(), 0, vec![record(vec![5; 90]); 3]).await.unwrap();
                    acknowledged.fetch_max(positions[2].sequence_number, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 0..10 {
        log.wait(&stream(), 0, round * 30).await.unwrap();
        let before = acknowledged.load(Ordering::SeqCst);
        let copied = tempfile::tempdir().unwrap();
        // The newest file last would be the order of a crash; a copy is not atomic, so copy twice where it rolled.
        let names = segments(folder.path()).len();
        copy(folder.path(), copied.path());
        if segments(folder.path()).len() != names {
            continue;
        }
        let reopened = try_open(copied.path()).unwrap();
        let info = reopened.partition(&stream(), 0).await.unwrap();
        assert!(info.last_sequence_number >= before, "{info:?} misses {before}");
        assert_eq!((info.last_sequence_number + 1) % 3, 0, "calls are whole");
        assert_eq!(read_all(&reopened).await.len() as i64, info.last_sequence_number + 1);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

/// What the golden folder holds.
async fn write_golden(folder: &Path) -> Vec<Position> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
    let small = SegmentOptions { segment_bytes: 512, ..SegmentOptions::default() };
    let log = SegmentLog::open(folder, small, clock.clone()).unwrap();
    let retention = Retention { time: Duration::from_secs(86_400), bytes: Some(1 << 30) };
    log.create(&stream(), &StreamConfig { partitions: 1, retention }).await.unwrap();
    let mut positions = Vec::new();
    for call in golden_calls() {
        clock.advance(Duration::from_millis(1500));
        positions.extend(log.append(&stream(), 0, call).await.unwrap());
    }
    positions
}

fn golden_calls() -> Vec<Vec<NewRecord>> {
    let full = NewRecord {
        partition_key: Some("Gerät-1".into()),
        payload: Bytes::from_static(b"all three"),
        idempotency_key: Some(IdempotencyKey(*b"0123456789abcdef")),
    };
    let bare = NewRecord { partition_key: None, payload: Bytes::new(), idempotency_key: None };
    let keyed = NewRecord { idempotency_key: Some(IdempotencyKey([7; 16])), ..bare.clone() };
    vec![vec![full, bare], vec![record(vec![0xA5; 400])], vec![keyed, record(b"last".to_vec())]]
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Format version 1 is read for ever: the folder in `tests/golden/v1` never changes.
#[tokio::test]
async fn golden_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    copy(&golden_folder(), folder.path());
    let log = try_open(folder.path()).unwrap();
    let records = read_all(&log).await;
    let expected: Vec<_> = golden_calls().into_iter().flatten().collect();
    assert_eq!(records.len(), expected.len());
    for (record, expected) in records.iter().zip(&expected) {
        assert_eq!((&record.partition_key, &record.payload), (&expected.partition_key, &expected.payload));
    }
    let places: Vec<_> =
        records.iter().map(|r| (r.sequence_number, r.offset, r.enqueued_time.as_micros())).collect();
    assert_eq!(
        places,
        [
            (0, 0, 1_700_000_001_500_000),
            (1, 69, 1_700_000_001_500_001),
            (2, 105, 1_700_000_003_000_000),
            (3, 547, 1_700_000_004_500_000),
            (4, 599, 1_700_000_004_500_001),
        ]
    );
    // The keys are known: the retry is answered with the originals.
    let again = log.append(&stream(), 0, golden_calls().remove(0)[..1].to_vec()).await.unwrap();
    assert_eq!(again, [records[0].position()]);
}

/// What is written today is, byte for byte, version 1. When this fails, the format has changed: give it a new
/// version, a new golden folder, and keep reading this one.
#[tokio::test]
async fn version_1_is_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    write_golden(folder.path()).await;
    // Opening drops the zeroes written ahead, which are no part of the format.
    drop(try_open(folder.path()).unwrap());
    let (ours, golden) = (segments(folder.path()), segments(&golden_folder()));
    assert_eq!(ours.len(), golden.len());
    for (ours, golden) in ours.iter().zip(&golden) {
        assert_eq!(ours.file_name(), golden.file_name());
        assert_eq!(fs::read(ours).unwrap(), fs::read(golden).unwrap(), "{}", golden.display());
    }
    let config = "streams/ns/hub/stream.json";
    assert_eq!(
        fs::read(folder.path().join(config)).unwrap(),
        fs::read(golden_folder().join(config)).unwrap()
    );
}

/// Writes the golden folder of a new version, with `POLLUX_WRITE_GOLDEN=1`; otherwise it does nothing.
#[tokio::test]
async fn make_golden() {
    if std::env::var_os("POLLUX_WRITE_GOLDEN").is_none() {
        return;
    }
    assert!(!golden_folder().exists(), "golden folders never change");
    let folder = tempfile::tempdir().unwrap();
    write_golden(folder.path()).await;
    drop(try_open(folder.path()).unwrap());
    copy(&folder.path().join("streams"), &golden_folder().join("streams"));
}

/// A partition that is to begin elsewhere gets another first file; a crash at any step in between is undone or done.
#[tokio::test]
async fn a_crash_while_a_partition_is_made_to_begin_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let partition = folder.path().join("streams/ns/hub/00000");
    let open = || SegmentLog::open(folder.path(), options(4096), Arc::new(SystemClock)).unwrap();
    let log = open();
    log.create(&stream(), &config()).await.unwrap();
    drop(log);
    let zero = partition.join(format!("{:020}.seg", 0));
    let fresh = fs::read(&zero).unwrap();
    // Put aside, and no new file yet (or half of one).
    fs::rename(&zero, zero.with_extension("old")).unwrap();
    fs::write(partition.join(format!("{:020}.new", 42)), b"half").unwrap();
    let log = open();
    assert_eq!(log.partition(&stream(), 0).await.unwrap().last_sequence_number, -1);
    let last =
        Position { sequence_number: 41, offset: 9000, enqueued_time: Timestamp::from_secs(1_700_000_000) };
    log.begin_after(&stream(), 0, last).await.unwrap();
    drop(log);
    // The new file is there, the old one not yet removed.
    fs::write(zero.with_extension("old"), fresh).unwrap();
    let log = open();
    assert_eq!(log.partition(&stream(), 0).await.unwrap().last_sequence_number, 41);
    assert!(!zero.with_extension("old").exists());
}
