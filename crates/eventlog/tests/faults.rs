//! The segment log on a disk that is watched and that fails on command.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use pollux_eventlog::segment::disk::{Disk, DiskFile, SystemDisk};
use pollux_eventlog::{
    EventLog, IdempotencyKey, LogError, NewRecord, ReadFrom, ReadLimit, Retention, SegmentLog,
    SegmentOptions, StreamConfig, StreamName,
};
use pollux_model::SystemClock;

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Write,
    Sync,
    SyncFolder,
    Answer,
}

/// A disk that writes down what is done and fails or stalls where it is told to.
#[derive(Debug, Default, Clone)]
struct WatchedDisk(Arc<Control>);

#[derive(Debug, Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    fail_writes: bool,
    fail_syncs: bool,
    fail_cuts: bool,
    hold_syncs: bool,
    /// Whether a sync is being held.
    held: bool,
}

impl Control {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn wait_until(&self, condition: impl Fn(&State) -> bool) {
        let mut state = self.state.lock();
        while !condition(&state) {
            self.changed.wait(&mut state);
        }
    }

    fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.lock().events)
    }
}

#[derive(Debug)]
struct WatchedFile(Arc<dyn DiskFile>, Arc<Control>);

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Disk for WatchedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(WatchedFile(SystemDisk.create(path)?, Arc::clone(&self.0))))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(WatchedFile(SystemDisk.open(path)?, Arc::clone(&self.0))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.set(|state| state.events.push(Event::SyncFolder));
        SystemDisk.sync_dir(path)
    }
}

impl DiskFile for WatchedFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.1.set(|state| state.events.push(Event::Write));
        if self.1.state.lock().fail_writes {
            // Half of it gets through: the worst a full disk does.
            self.0.write_all_at(&bytes[..bytes.len() / 2], at)?;
            return Err(broken());
        }
        self.0.write_all_at(bytes, at)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(into, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.set(|state| state.held = state.hold_syncs);
        self.1.wait_until(|state| !state.hold_syncs);
        self.1.set(|state| {
            state.held = false;
            state.events.push(Event::Sync);
        });
        if self.1.state.lock().fail_syncs {
            return Err(broken());
        }
        self.0.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.1.state.lock().fail_cuts {
            return Err(broken());
        }
        self.0.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

struct Subject {
    folder: tempfile::TempDir,
    disk: WatchedDisk,
    log: Arc<SegmentLog>,
}

fn stream() -> StreamName {
    StreamName::new("ns/hub").unwrap()
}

fn open(folder: &Path, disk: &WatchedDisk, options: SegmentOptions) -> Arc<SegmentLog> {
    Arc::new(SegmentLog::open_on(folder, options, Arc::new(SystemClock), Arc::new(disk.clone())).unwrap())
}

async fn subject(options: SegmentOptions) -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::default();
    let log = open(folder.path(), &disk, options);
    let retention = Retention { time: Duration::from_secs(86_400), bytes: None };
    log.create(&stream(), &StreamConfig { partitions: 1, retention }).await.unwrap();
    disk.0.take_events();
    Subject { folder, disk, log }
}

fn keyed(text: &'static str, key: u8) -> NewRecord {
    NewRecord {
        partition_key: None,
        payload: Bytes::from_static(text.as_bytes()),
        idempotency_key: Some(IdempotencyKey([key; 16])),
    }
}

async fn texts(log: &SegmentLog) -> Vec<String> {
    let records = log.read(&stream(), 0, &ReadFrom::Earliest, ALL).await.unwrap();
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}

#[tokio::test]
async fn fdatasync_comes_after_the_write_and_before_the_answer() {
    let subject = subject(SegmentOptions::default()).await;
    for _ in 0..3 {
        subject.log.append(&stream(), 0, vec![keyed("a", 1)]).await.unwrap();
        subject
            .log
            .append(&stream(), 0, vec![NewRecord { idempotency_key: None, ..keyed("b", 2) }])
            .await
            .unwrap();
        subject.disk.0.set(|state| state.events.push(Event::Answer));
    }
    let events = subject.disk.0.take_events();
    let answers = events.split(|event| *event == Event::Answer);
    for before in answers.filter(|events| !events.is_empty()) {
        assert!(before.contains(&Event::Write), "{before:?}");
        assert_eq!(before.last(), Some(&Event::Sync), "{before:?}");
    }
}

/// While fdatasync has not returned, nothing is answered, nothing is readable, no one is woken; what comes in
/// meanwhile shares the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_seen_before_it_is_durable_and_appends_share_a_sync() {
    let subject = subject(SegmentOptions::default()).await;
    subject.disk.0.set(|state| state.hold_syncs = true);
    let (log, name) = (Arc::clone(&subject.log), stream());
    let mut first = log.append(&name, 0, vec![keyed("first", 1)]);
    let mut calls: Vec<_> = (0..50).map(|n| log.append(&name, 0, vec![keyed("later", 100 + n)])).collect();
    let mut waiting = log.wait(&name, 0, -1);
    let early = std::future::poll_fn(|context| std::task::Poll::Ready(first.as_mut().poll(context))).await;
    assert!(early.is_pending());
    subject.disk.0.wait_until(|state| state.held);
    std::future::poll_fn(|context| {
        assert!(calls.iter_mut().all(|call| call.as_mut().poll(context).is_pending()));
        assert!(waiting.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(texts(&log).await, Vec::<String>::new());
    assert!(log.partition(&name, 0).await.unwrap().is_empty);
    subject.disk.0.set(|state| state.hold_syncs = false);
    first.await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
    waiting.await.unwrap();
    assert_eq!(texts(&log).await.len(), 51);
    let syncs = subject.disk.0.take_events().iter().filter(|event| **event == Event::Sync).count();
    assert_eq!(syncs, 2, "one for the first, one for all that came meanwhile");
}

#[tokio::test]
async fn a_full_disk_refuses_the_append_and_recovers() {
    let subject = subject(SegmentOptions::default()).await;
    let log = &subject.log;
    log.append(&stream(), 0, vec![keyed("a", 1)]).await.unwrap();
    subject.disk.0.set(|state| state.fail_writes = true);
    for _ in 0..2 {
        let answer = log.append(&stream(), 0, vec![keyed("b", 2), keyed("c", 3)]).await;
        assert!(matches!(answer, Err(LogError::Unavailable(_))), "{answer:?}");
        assert_eq!(texts(log).await, ["a"]);
    }
    subject.disk.0.set(|state| state.fail_writes = false);
    // The refused keys are not taken for stored ones.
    let positions = log.append(&stream(), 0, vec![keyed("b", 2), keyed("c", 3)]).await.unwrap();
    assert_eq!((positions[0].sequence_number, positions[1].sequence_number), (1, 2));
    let Subject { folder, disk, log } = subject;
    drop(log);
    assert_eq!(texts(&open(folder.path(), &disk, SegmentOptions::default())).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_failed_fdatasync_poisons_the_partition_until_it_is_opened_again() {
    let subject = subject(SegmentOptions::default()).await;
    subject.log.append(&stream(), 0, vec![keyed("a", 1)]).await.unwrap();
    subject.disk.0.set(|state| state.fail_syncs = true);
    let answer = subject.log.append(&stream(), 0, vec![keyed("b", 2)]).await;
    assert!(matches!(answer, Err(LogError::Unavailable(_))), "{answer:?}");
    subject.disk.0.set(|state| state.fail_syncs = false);
    subject.disk.0.take_events();
    let answer = subject.log.append(&stream(), 0, vec![keyed("c", 3)]).await;
    assert!(matches!(answer, Err(LogError::Unavailable(_))), "a later sync proves nothing: {answer:?}");
    assert_eq!(subject.disk.0.take_events(), [], "the file is not touched again");
    assert_eq!(texts(&subject.log).await, ["a"]);
    let Subject { folder, disk, log } = subject;
    drop(log);
    // What the failed sync left is decided by what is on disk; the retry with the key is safe either way.
    let log = open(folder.path(), &disk, SegmentOptions::default());
    log.append(&stream(), 0, vec![keyed("b", 2)]).await.unwrap();
    assert_eq!(texts(&log).await, ["a", "b"]);
}

#[tokio::test]
async fn a_failed_write_that_cannot_be_undone_poisons_too() {
    let subject = subject(SegmentOptions::default()).await;
    subject.disk.0.set(|state| (state.fail_writes, state.fail_cuts) = (true, true));
    assert!(subject.log.append(&stream(), 0, vec![keyed("a", 1)]).await.is_err());
    subject.disk.0.set(|state| (state.fail_writes, state.fail_cuts) = (false, false));
    assert!(subject.log.append(&stream(), 0, vec![keyed("a", 1)]).await.is_err());
    let Subject { folder, disk, log } = subject;
    drop(log);
    let log = open(folder.path(), &disk, SegmentOptions::default());
    assert_eq!(log.append(&stream(), 0, vec![keyed("a", 1)]).await.unwrap()[0].sequence_number, 0);
}

#[tokio::test]
async fn a_disk_that_is_full_when_the_segment_rolls_loses_nothing() {
    let options = SegmentOptions { segment_bytes: 200, ..SegmentOptions::default() };
    let subject = subject(options.clone()).await;
    let log = &subject.log;
    log.append(&stream(), 0, vec![keyed("a", 1)]).await.unwrap();
    log.append(&stream(), 0, vec![keyed("b", 2)]).await.unwrap();
    subject.disk.0.set(|state| state.fail_writes = true);
    assert!(log.append(&stream(), 0, vec![keyed("c", 3), keyed("d", 4)]).await.is_err());
    subject.disk.0.set(|state| state.fail_writes = false);
    log.append(&stream(), 0, vec![keyed("c", 3), keyed("d", 4)]).await.unwrap();
    assert_eq!(subject.disk.0.take_events().iter().filter(|e| **e == Event::SyncFolder).count(), 1);
    let Subject { folder, disk, log } = subject;
    drop(log);
    assert_eq!(texts(&open(folder.path(), &disk, options)).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_queue_that_is_full_refuses() {
    let subject = subject(SegmentOptions { queue_bytes: 1000, ..SegmentOptions::default() }).await;
    subject.disk.0.set(|state| state.hold_syncs = true);
    let name = stream();
    let big =
        || vec![NewRecord { payload: Bytes::from(vec![0; 400]), idempotency_key: None, ..keyed("", 0) }];
    let mut calls = vec![subject.log.append(&name, 0, big())];
    let early = std::future::poll_fn(|context| std::task::Poll::Ready(calls[0].as_mut().poll(context))).await;
    assert!(early.is_pending());
    subject.disk.0.wait_until(|state| state.held);
    for _ in 0..3 {
        calls.push(subject.log.append(&name, 0, big()));
    }
    let answers = std::future::poll_fn(|context| {
        std::task::Poll::Ready(
            calls[1..].iter_mut().map(|call| call.as_mut().poll(context)).collect::<Vec<_>>(),
        )
    })
    .await;
    assert!(answers[0].is_pending() && answers[1].is_pending());
    assert_eq!(answers[2], std::task::Poll::Ready(Err(LogError::Busy)));
    subject.disk.0.set(|state| state.hold_syncs = false);
    calls.truncate(3);
    for call in calls {
        call.await.unwrap();
    }
}
