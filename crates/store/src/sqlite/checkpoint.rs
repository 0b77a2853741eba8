//! Copying the write-ahead log into the database, beside the writer.
//!
//! SQLite would do it within the commit that makes the log long, and everybody would wait while pages all over a large file
//! are written and synced. Here a thread with a connection of its own copies what is there while commits go on; the writer
//! copies only what came meanwhile, between two commits, after which the log begins anew:
//!
//! ```text
//!   log  0 ──────────────── begin ──────────────────── most
//!        commits             the thread copies; commits go on; once it is done the writer copies the rest
//! ```
//!
//! What is durable does not change: a commit is in the log and synced before it is acknowledged, and a page of the log is
//! written over only after it was copied and the database synced.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection;

/// How long the log may get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    /// Pages from which on it is copied.
    pub(super) begin: u32,
    /// Pages from which on the writer waits for what is being copied.
    pub(super) most: u32,
}

impl Default for Lengths {
    /// 64 MiB, 256 MiB. In a long log pages that change often are many times, and are copied once; what is read from it
    /// after a crash is read in a part of a second.
    fn default() -> Self {
        Self { begin: 16_384, most: 65_536 }
    }
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct Checkpointer {
    lengths: Lengths,
    /// Pages in the log after the last commit.
    pages: Arc<AtomicU32>,
    /// Pages at which copying begins next.
    begin: u32,
    copying: bool,
    ask: Option<SyncSender<()>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// For this writer, which will not copy by itself any more.
    pub(super) fn start(path: &Path, writer: &mut Connection, lengths: Lengths) -> io::Result<Self> {
        let pages = Arc::new(AtomicU32::new(0));
        let noted = Arc::clone(&pages);
        let hook = move |_: &mut rusqlite::hooks::Wal, now: std::ffi::c_int| {
            noted.store(u32::try_from(now).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(io::Error::other)?;
        let own = connection::checkpointer(path).map_err(io::Error::other)?;
        let (ask, asked) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            while asked.recv().is_ok() {
                copy(&own);
                if tell.send(()).is_err() {
                    return;
                }
            }
        })?;
        let begin = lengths.begin;
        Ok(Self { lengths, pages, begin, copying: false, ask: Some(ask), done, thread: Some(thread) })
    }

    /// Called between two transactions.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if !self.copying {
            self.copying =
                pages >= self.begin && self.ask.as_ref().is_some_and(|ask| ask.try_send(()).is_ok());
        } else if self.is_copied(pages) {
            self.copying = false;
            // A reader that still looks at what was before keeps the log from beginning anew: the next time, then.
            let ended = copy(writer);
            self.begin = self.lengths.begin.saturating_add(if ended { 0 } else { pages });
        }
    }

    /// Whether the thread has copied what there was; waits for it where the log is too long.
    fn is_copied(&self, pages: u32) -> bool {
        if pages >= self.lengths.most {
            // An error: its thread is gone, and nobody is copying.
            let _ = self.done.recv();
            return true;
        }
        !matches!(self.done.try_recv(), Err(TryRecvError::Empty))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that copies the write-ahead log had panicked");
        }
    }
}

/// Copies without getting into anybody's way; whether nothing is left.
fn copy(connection: &Connection) -> bool {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], row) {
        Ok((in_log, copied)) => in_log == copied,
        Err(error) => {
            // The log stays, and with it everything that was committed.
            tracing::warn!(%error, "the write-ahead log could not be copied into the database");
            false
        }
    }
}

#[cfg(test)]
mod tests;
