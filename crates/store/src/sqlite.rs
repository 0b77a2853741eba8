//! The SQLite backend: one file, one writer thread, readers beside it.
//!
//! ```text
//!   commit ──▶ bounded queue ──▶ writer thread: BEGIN; a savepoint per batch …; COMMIT (fdatasync) ──▶ all are answered
//!                                                    └─ beside it a thread copies the log into the database
//!   read one row ──▶ a reader connection, on the caller's own thread (a few microseconds)
//!   read a list  ──▶ a reader connection, on a blocking thread
//! ```
//!
//! The file is in WAL mode, so readers never wait for the writer and see what was committed when they start. Nothing
//! here knows a rule: a batch's expectations are compared, its rows are written.

mod activity;
mod bulk;
mod checkpoint;
mod configurations;
mod connection;
mod devices;
mod enrollments;
mod failure;
mod functions;
mod history;
mod jobs;
mod leases;
mod lock;
mod messages;
mod migrate;
mod models;
mod modules;
mod outbox;
mod portable;
mod readers;
mod registrations;
mod relationships;
mod resources;
mod rows;
mod scheduled_jobs;
mod secrets;
mod twins;
mod write;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use pollux_model::event::OutboxEntry;

use crate::batch::Batch;
use crate::error::{CommitError, StoreError};
use crate::observer::Observer;
use crate::prepared::Prepared;
use crate::store::Store;
use checkpoint::{Checkpointer, Lengths};
use readers::Readers;
use writer::Writer;

pub use failure::OpenError;

/// Bounds of a [`SqliteStore`].
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Connections that read single rows on the caller's thread; more than the runtime has threads are of no use.
    pub point_readers: usize,
    /// Connections that read lists on blocking threads.
    pub list_readers: usize,
    /// Batches that may wait for the writer; those who come later wait to enter.
    pub queue: usize,
    /// Batches that are committed together at most.
    pub group: usize,
}

impl Default for SqliteOptions {
    /// Point readers as many as the machine has processors (4 to 64), 4 list readers, 1024 batches queued, 512 in one
    /// commit.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(4, usize::from);
        Self { point_readers: processors.clamp(4, 64), list_readers: 4, queue: 1024, group: 512 }
    }
}

/// All state of a deployment in one SQLite file. Dropping it finishes what is queued and closes the file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the file, or makes it (mode 0600), and brings its schema up to date. The folder must exist. The file is
    /// locked against other processes while the store lives. Blocks for some milliseconds.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed in a file that is in use, foreign or from a newer version.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let lock = Arc::new(lock::FileLock::take(path)?);
        connection::create_file(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let failed = |error: rusqlite::Error| OpenError::from_sqlite(path, &error);
        let mut connection = connection::writer(path).map_err(failed)?;
        migrate::migrate(path, &mut connection)?;
        // The first reader is opened here, so that a file that cannot be read is told at once.
        let readers =
            Readers::new(path, options.point_readers, options.list_readers, &lock).map_err(failed)?;
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let checkpointer = Checkpointer::start(path, &mut connection, Lengths::default()).map_err(io)?;
        let writer =
            Writer::start(connection, checkpointer, options.queue, options.group, lock).map_err(io)?;
        Ok(Self { path: path.to_owned(), writer, readers })
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if batch.writes.is_empty() {
            return Ok(());
        }
        // Documents are written out here, on the caller's thread: the writer's time is what all callers share.
        let batch = Prepared::new(batch)?;
        self.writer.commit(batch).await
    }

    /// The process has the file alone, so it sees every commit.
    fn observe(&self, observer: Weak<dyn Observer>) -> bool {
        self.writer.observe(observer);
        true
    }

    /// One: a single process has the file, and its one relay keeps up with the one writer.
    fn outbox_shards(&self) -> u32 {
        1
    }

    async fn outbox(&self, shard: u32, limit: usize) -> Result<Vec<(i64, OutboxEntry)>, StoreError> {
        if shard != 0 {
            return Ok(Vec::new());
        }
        self.readers.list(move |connection| outbox::oldest(connection, limit)).await
    }

    async fn outbox_done(&self, rows: &[i64]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.writer.outbox_done(rows.to_vec()).await
    }

    async fn outbox_changed(&self, shard: u32) {
        if shard != 0 {
            // Nothing is ever added to it.
            std::future::pending::<()>().await;
        }
        self.writer.outbox_changed().await;
    }

    async fn healthy(&self) -> Result<(), StoreError> {
        self.writer.healthy().await
    }
}
