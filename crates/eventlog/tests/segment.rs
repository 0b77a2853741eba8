//! The suite against the segment log.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pollux_eventlog::suite::{Backend, MAX_RECORD, cases};
use pollux_eventlog::{EventLog, OpenError, SegmentLog, SegmentOptions};
use pollux_model::SystemClock;

#[derive(Debug)]
struct Segments {
    folder: PathBuf,
    options: SegmentOptions,
}

#[async_trait]
impl Backend for Segments {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(SegmentLog::open(&self.folder, self.options.clone(), Arc::new(SystemClock)).expect("open"))
    }
}

fn small() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 4096,
        max_record_bytes: MAX_RECORD,
        index_interval: 512,
        ..SegmentOptions::default()
    }
}

async fn run_suite(options: &SegmentOptions) {
    let mut failed = Vec::new();
    for (name, case) in cases() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // A task of its own: a case that panics does not hide the others.
        let backend = Arc::new(Segments { folder: folder.path().to_owned(), options: options.clone() });
        if tokio::spawn(case(backend)).await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "these cases failed: {failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite_with_a_cache() {
    run_suite(&small()).await;
}

#[tokio::test]
async fn suite_without_a_cache_and_one_writer() {
    run_suite(&SegmentOptions { tail_cache_bytes: 0, writers: 1, ..small() }).await;
}

#[tokio::test]
async fn suite_with_large_segments_and_a_tiny_cache() {
    // Retention by size needs small segments; everything else must hold for any size.
    let options = SegmentOptions { segment_bytes: 40_000, tail_cache_bytes: 3000, ..small() };
    run_suite(&options).await;
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = || SegmentLog::open(folder.path(), small(), Arc::new(SystemClock));
    let first = open().expect("open");
    let second = open();
    assert!(matches!(&second, Err(OpenError::Locked(path)) if path == folder.path()), "{second:?}");
    drop(first);
    open().expect("the lock is free again");
}
