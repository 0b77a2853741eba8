//! Reading: two pools of connections.
//!
//! One row costs a few microseconds, less than handing the work to another thread and back; so it is read on the
//! caller's own thread. Lists go to blocking threads. In WAL mode neither waits for the writer. Each read outside a
//! transaction sees the newest commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection;
use super::lock::FileLock;
use crate::error::StoreError;

/// All connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    points: Arc<Pool>,
    lists: Arc<Pool>,
}

impl Readers {
    /// Opens the first connection; the others are opened when they are needed.
    pub(super) fn new(
        path: &Path,
        points: usize,
        lists: usize,
        lock: &Arc<FileLock>,
    ) -> rusqlite::Result<Self> {
        let first = connection::reader(path)?;
        let pool = |size: usize, idle: Vec<Connection>| {
            Arc::new(Pool {
                path: path.to_owned(),
                permits: Arc::new(Semaphore::new(size.max(1))),
                idle: Mutex::new(idle),
                _lock: Arc::clone(lock),
            })
        };
        Ok(Self { points: pool(points, vec![first]), lists: pool(lists, Vec::new()) })
    }

    /// Reads a row, or a handful of small ones, on this thread.
    pub(super) async fn point<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let lease = Pool::lease(&self.points).await?;
        read(lease.connection())
    }

    /// Reads much, on a blocking thread.
    pub(super) async fn list<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lease = Pool::lease(&self.lists).await?;
        tokio::task::spawn_blocking(move || read(lease.connection()))
            .await
            .map_err(|error| StoreError::Unavailable(format!("a read was broken off: {error}")))?
    }
}

/// Connections to one file, at most as many as there are permits.
#[derive(Debug)]
struct Pool {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// A read on a blocking thread may outlive the store.
    _lock: Arc<FileLock>,
}

impl Pool {
    async fn lease(pool: &Arc<Self>) -> Result<Lease, StoreError> {
        let permit = Arc::clone(&pool.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        let idle = pool.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::reader(&pool.path)?,
        };
        Ok(Lease { connection: Some(connection), pool: Arc::clone(pool), _permit: permit })
    }
}

/// A connection that goes back to its pool; its permit is given back after it.
#[derive(Debug)]
struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a lease has its connection until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.idle.lock().extend(self.connection.take());
    }
}
