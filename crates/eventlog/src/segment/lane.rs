//! Lanes: each is one thread that commits for a fixed share of the partitions.
//!
//! A partition with something to store stands in its lane's line once, however many appends wait in its inbox. While
//! the thread sits in one partition's fdatasync, the others' inboxes fill; the busier the log, the larger the
//! batches. So 64 partitions cost a few threads, and a slow disk costs latency, not throughput.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::partition::Partition;

/// The line of one writer thread. Bounded by the number of partitions: each stands in it at most once.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    line: Mutex<Line>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Arc<Partition>>,
    closed: bool,
}

impl Lane {
    /// Puts a partition into the line; false when the log is closed.
    pub(crate) fn schedule(&self, partition: Arc<Partition>) -> bool {
        let mut line = self.line.lock();
        if line.closed {
            return false;
        }
        line.waiting.push_back(partition);
        drop(line);
        self.ready.notify_one();
        true
    }

    /// Starts the lane's thread. It ends when the lane is closed and the line is empty.
    pub(crate) fn start(self: &Arc<Self>, number: usize) -> std::io::Result<JoinHandle<()>> {
        let lane = Arc::clone(self);
        std::thread::Builder::new().name(format!("eventlog-{number}")).spawn(move || {
            let _answer_all = Ending(&lane);
            while let Some(partition) = lane.next() {
                partition.commit_waiting();
            }
        })
    }

    /// No further appends; the thread stores what is in the line and ends.
    pub(crate) fn close(&self) {
        self.line.lock().closed = true;
        self.ready.notify_all();
    }

    fn next(&self) -> Option<Arc<Partition>> {
        let mut line = self.line.lock();
        loop {
            if let Some(partition) = line.waiting.pop_front() {
                return Some(partition);
            }
            if line.closed {
                return None;
            }
            self.ready.wait(&mut line);
        }
    }
}

/// However the thread ends, nobody waits for it for ever.
struct Ending<'a>(&'a Lane);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close();
        let left = std::mem::take(&mut self.0.line.lock().waiting);
        for partition in left {
            partition.refuse_waiting();
        }
    }
}
