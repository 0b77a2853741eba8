//! The event log of one machine: segment files, one folder for each partition.
//!
//! ```text
//! <folder>/lock                                     held (flock) while the log is open
//!          streams/<namespace>/<event hub>/stream.json
//!                                          00000/00000000000000000000.seg     named by first sequence number
//!                                                00000000000000131072.seg
//!                                          00001/…
//!          trash/                                   what is being deleted; emptied at open
//! ```
//!
//! An append goes into its partition's inbox; one of a few writer threads (`lane`) turns all that waits into one
//! write and one fdatasync (`commit`). The newest records stay in memory, where consumers that keep up find them
//! (`cache`); others read the files on blocking threads (`read`). The bytes are described in `format`, what
//! happens at start in `recover`.

mod cache;
mod catalog;
mod commit;
pub mod disk;
mod file;
mod format;
mod import;

mod lane;
mod partition;
mod read;
mod recover;
mod scan;
mod trim;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use pollux_model::{Clock, Timestamp};
use tokio::sync::oneshot;

use self::catalog::Stream;
use self::disk::{Disk, SystemDisk};
use self::lane::Lane;
use self::partition::{Call, Partition, Shared};
use crate::log::{
    EventLog, LogError, MAX_PARTITION_KEY_BYTES, NewRecord, PartitionInfo, Position, ReadFrom, ReadLimit,
    Record, StreamConfig, StreamName, Trimmed,
};

/// Idempotency keys a [`SegmentLog`] remembers per partition unless told otherwise: more than the contract asks.
pub const SEGMENT_KEYS: usize = 100_000;

/// Sizes and bounds of a [`SegmentLog`]. All may differ from one start to the next, except that records already
/// stored must not be larger than `max_record_bytes`.
#[derive(Clone, Debug)]
pub struct SegmentOptions {
    /// A segment file is closed when the next append would make it longer. It is the unit of retention.
    pub segment_bytes: u64,
    /// Largest payload of one record.
    pub max_record_bytes: usize,
    /// Largest append, all its records together as stored.
    pub max_call_bytes: usize,
    /// Newest records kept in memory, bytes per partition.
    pub tail_cache_bytes: usize,
    /// Appends waiting for the disk, bytes per partition; beyond it they are refused ([`LogError::Busy`]).
    pub queue_bytes: usize,
    /// Bytes between two entries of a segment's index in memory.
    pub index_interval: usize,
    /// Writer threads, at least 1. More help where the disk is slow and many partitions are written to.
    pub writers: usize,
    /// Idempotency keys remembered per partition (about 120 bytes of memory each).
    pub idempotency_window: usize,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            // Event Hubs' 1 MiB event, with room for annotations added on the way.
            max_record_bytes: 1024 * 1024 + 64 * 1024,
            max_call_bytes: 8 * 1024 * 1024,
            tail_cache_bytes: 1024 * 1024,
            queue_bytes: 16 * 1024 * 1024,
            index_interval: 32 * 1024,
            writers: 4,
            idempotency_window: SEGMENT_KEYS,
        }
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Stop the other process, or give this one another folder.
    #[error("the event log in {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// Written by a newer Pollux: use that one.
    #[error("{} has format version {version}, this program reads up to {}", .file.display(), format::VERSION)]
    Version {
        /// The file.
        file: PathBuf,
        /// What it says.
        version: u32,
    },
    /// Stored data is damaged. Restore the file from a backup, or move the partition's folder away.
    #[error("stored events are damaged at byte {at} of {}: {what}", .file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Byte position in it.
        at: u64,
        /// What was found.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An [`EventLog`] in a folder. Dropping it stores what waits, ends the writer threads and frees the folder.
#[derive(Debug)]
pub struct SegmentLog {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    shared: Arc<Shared>,
    lanes: Vec<Arc<Lane>>,
    streams: RwLock<BTreeMap<StreamName, Arc<Stream>>>,
    /// One create or delete at a time. Held during I/O, on blocking threads only.
    changes: Mutex<()>,
    _lock: File,
}

impl SegmentLog {
    /// Opens the log in a folder, which is made if it is not there. Recovers every partition; blocks meanwhile.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then, apart from torn tails that were cut off.
    pub fn open(folder: &Path, options: SegmentOptions, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_on(folder, options, clock, Arc::new(SystemDisk))
    }

    /// [`SegmentLog::open`] with segment files on a given disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(
        folder: &Path,
        options: SegmentOptions,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenError> {
        let lock = catalog::lock(folder)?;
        let lanes: Vec<_> = (0..options.writers.max(1)).map(|_| Arc::new(Lane::default())).collect();
        let shared = Arc::new(Shared { options, disk, clock });
        let streams = catalog::open_streams(folder, &shared, &lanes)?;
        let mut log = Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                shared,
                lanes,
                streams: RwLock::new(streams),
                changes: Mutex::new(()),
                _lock: lock,
            }),
            threads: Vec::new(),
        };
        for (number, lane) in log.inner.lanes.iter().enumerate() {
            let thread =
                lane.start(number).map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
            log.threads.push(thread);
        }
        Ok(log)
    }

    fn find(&self, stream: &StreamName) -> Result<Arc<Stream>, LogError> {
        let streams = self.inner.streams.read();
        streams.get(stream).map(Arc::clone).ok_or_else(|| LogError::UnknownStream(stream.clone()))
    }

    fn partition_of(&self, stream: &StreamName, partition: u32) -> Result<Arc<Partition>, LogError> {
        self.find(stream)?.partition(partition)
    }

    fn check(&self, records: &[NewRecord]) -> Result<usize, LogError> {
        let options = &self.inner.shared.options;
        let bound = |what, bytes: usize, limit: usize| {
            if bytes > limit { Err(LogError::TooLarge { what, bytes, limit }) } else { Ok(bytes) }
        };
        let mut total = 0;
        for record in records {
            bound("the record", record.payload.len(), options.max_record_bytes)?;
            let key_len = record.partition_key.as_ref().map_or(0, |key| key.len());
            bound("the partition key", key_len, MAX_PARTITION_KEY_BYTES)?;
            total += format::encoded_len(record);
        }
        bound("the call", total, options.max_call_bytes)
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        for lane in &self.inner.lanes {
            lane.close();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a writer thread of the event log had panicked");
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| LogError::Unavailable(format!("the work was cut off: {error}")))?
}

#[async_trait]
impl EventLog for SegmentLog {
    async fn create(&self, stream: &StreamName, config: &StreamConfig) -> Result<(), LogError> {
        let (inner, stream, config) = (Arc::clone(&self.inner), stream.clone(), config.clone());
        blocking(move || inner.create(&stream, &config)).await
    }

    async fn delete(&self, stream: &StreamName) -> Result<(), LogError> {
        let (inner, stream) = (Arc::clone(&self.inner), stream.clone());
        blocking(move || inner.delete(&stream)).await
    }

    async fn streams(&self) -> Result<Vec<(StreamName, StreamConfig)>, LogError> {
        let streams = self.inner.streams.read();
        Ok(streams.iter().map(|(name, stream)| (name.clone(), stream.config())).collect())
    }

    async fn append(
        &self,
        stream: &StreamName,
        partition: u32,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, LogError> {
        let partition = self.partition_of(stream, partition)?;
        let bytes = self.check(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        partition.enqueue(Call { records, bytes, reply })?;
        answer.await.map_err(|_| LogError::Unavailable("the writer has ended".to_owned()))?
    }

    async fn read(
        &self,
        stream: &StreamName,
        partition: u32,
        from: &ReadFrom,
        max: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.partition_of(stream, partition)?.read(from, max).await
    }

    async fn wait(&self, stream: &StreamName, partition: u32, after_sequence: i64) -> Result<(), LogError> {
        self.partition_of(stream, partition)?.wait(after_sequence).await
    }

    async fn partition(&self, stream: &StreamName, partition: u32) -> Result<PartitionInfo, LogError> {
        Ok(self.partition_of(stream, partition)?.info())
    }

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, LogError> {
        let streams: Vec<_> = self.inner.streams.read().values().cloned().collect();
        blocking(move || {
            let mut total = Trimmed::default();
            for stream in streams {
                let trimmed = stream.trim(now)?;
                total.records += trimmed.records;
                total.bytes += trimmed.bytes;
            }
            Ok(total)
        })
        .await
    }

    async fn healthy(&self) -> Result<(), LogError> {
        let streams = self.inner.streams.read();
        streams.values().try_for_each(|stream| stream.healthy())
    }

    async fn begin_after(&self, stream: &StreamName, partition: u32, last: Position) -> Result<(), LogError> {
        let partition = self.partition_of(stream, partition)?;
        blocking(move || partition.begin_after(last)).await
    }

    async fn import(
        &self,
        stream: &StreamName,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<(), LogError> {
        let partition = self.partition_of(stream, partition)?;
        blocking(move || partition.import(&records)).await
    }
}
