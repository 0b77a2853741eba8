//! A partition in memory: what readers see, and the doors to its writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use pollux_model::Timestamp;
use tokio::sync::{oneshot, watch};

use super::SegmentOptions;
use super::cache::{ReadAhead, TailCache};
use super::commit::PartitionWriter;
use super::disk::Disk;
use super::file::Segment;
use super::format::Header;
use super::lane::Lane;
use crate::log::{LogError, NewRecord, PartitionInfo, Position, StreamName};

/// What all partitions of a log share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: SegmentOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn pollux_model::Clock>,
}

/// The end of a partition: everything the next record's place depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) next_sequence: i64,
    pub(crate) next_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) last_enqueued: i64,
    /// Records with an idempotency key so far.
    pub(crate) keyed: i64,
}

impl Tip {
    /// The end of a partition whose last segment begins with this header and holds nothing yet.
    pub(crate) fn before(header: &Header) -> Self {
        Self {
            next_sequence: header.first_sequence,
            next_offset: header.base_offset,
            last_offset: header.previous_offset,
            last_enqueued: header.previous_enqueued,
            keyed: header.keyed_before,
        }
    }

    /// The header of a segment that begins here.
    pub(crate) fn header(&self) -> Header {
        Header {
            first_sequence: self.next_sequence,
            base_offset: self.next_offset,
            previous_enqueued: self.last_enqueued,
            previous_offset: self.last_offset,
            keyed_before: self.keyed,
        }
    }
}

/// What readers see: durable records only. Held for moments, never during I/O.
#[derive(Debug)]
pub(crate) struct View {
    /// Oldest first, never empty; the last one is written to.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) tip: Tip,
    pub(crate) cache: TailCache,
}

impl View {
    /// The oldest sequence number there is.
    pub(crate) fn begin(&self) -> i64 {
        self.segments.first().map_or(self.tip.next_sequence, |segment| segment.header.first_sequence)
    }

    /// The offset after the segment's last record.
    pub(crate) fn end_of(&self, at: usize) -> i64 {
        self.segments.get(at + 1).map_or(self.tip.next_offset, |next| next.header.base_offset)
    }
}

/// What waiting readers watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The newest durable sequence number; -1 before the first.
    Last(i64),
    /// The stream was deleted.
    Gone,
}

/// One append on its way to the writer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) records: Vec<NewRecord>,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Vec<Position>, LogError>>,
}

/// Appends that wait for the writer.
#[derive(Debug, Default)]
struct Inbox {
    calls: Vec<Call>,
    bytes: usize,
    /// Whether the lane has been told and has not collected yet.
    scheduled: bool,
}

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) stream: StreamName,
    pub(crate) folder: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) view: RwLock<View>,
    pub(crate) signal: watch::Sender<Signal>,
    pub(crate) ahead: Mutex<ReadAhead>,
    /// Locked by the lane's thread while it commits, and by trim and delete.
    pub(crate) writer: Mutex<PartitionWriter>,
    lane: Arc<Lane>,
    inbox: Mutex<Inbox>,
}

impl Partition {
    /// Puts a recovered or new partition together.
    pub(crate) fn new(
        stream: StreamName,
        folder: &Path,
        shared: Arc<Shared>,
        lane: Arc<Lane>,
        segments: Vec<Arc<Segment>>,
        writer: PartitionWriter,
    ) -> Self {
        let tip = writer.tip();
        let cache = TailCache::new(shared.options.tail_cache_bytes);
        Self {
            stream,
            folder: folder.to_owned(),
            shared,
            view: RwLock::new(View { segments, tip, cache }),
            signal: watch::Sender::new(Signal::Last(tip.next_sequence - 1)),
            ahead: Mutex::default(),
            writer: Mutex::new(writer),
            lane,
            inbox: Mutex::default(),
        }
    }

    /// Hands an append to the writer. Calls are stored in the order in which they come through here.
    pub(crate) fn enqueue(self: &Arc<Self>, call: Call) -> Result<(), LogError> {
        let mut inbox = self.inbox.lock();
        if !inbox.calls.is_empty() && inbox.bytes + call.bytes > self.shared.options.queue_bytes {
            return Err(LogError::Busy);
        }
        if !inbox.scheduled {
            if !self.lane.schedule(Arc::clone(self)) {
                return Err(LogError::Unavailable("the log is closed".to_owned()));
            }
            inbox.scheduled = true;
        }
        inbox.bytes += call.bytes;
        inbox.calls.push(call);
        Ok(())
    }

    /// Stores everything that waits. Runs on the lane's thread.
    pub(crate) fn commit_waiting(&self) {
        let calls = self.take_waiting();
        self.writer.lock().commit(self, calls);
    }

    /// Drops everything that waits: its callers are told that the writer has ended.
    pub(crate) fn refuse_waiting(&self) {
        drop(self.take_waiting());
    }

    fn take_waiting(&self) -> Vec<Call> {
        let mut inbox = self.inbox.lock();
        inbox.scheduled = false;
        inbox.bytes = 0;
        std::mem::take(&mut inbox.calls)
    }

    /// See [`crate::EventLog::partition`].
    pub(crate) fn info(&self) -> PartitionInfo {
        let view = self.view.read();
        PartitionInfo {
            begin_sequence_number: view.begin(),
            last_sequence_number: view.tip.next_sequence - 1,
            last_offset: view.tip.last_offset,
            last_enqueued_time: Timestamp::from_micros(view.tip.last_enqueued),
            is_empty: view.begin() == view.tip.next_sequence,
        }
    }

    /// See [`crate::EventLog::wait`].
    pub(crate) async fn wait(&self, after_sequence: i64) -> Result<(), LogError> {
        let mut signal = self.signal.subscribe();
        let seen = signal
            .wait_for(|signal| match signal {
                Signal::Last(last) => *last > after_sequence,
                Signal::Gone => true,
            })
            .await
            .map(|seen| *seen);
        match seen {
            Ok(Signal::Last(_)) => Ok(()),
            Ok(Signal::Gone) => Err(LogError::UnknownStream(self.stream.clone())),
            Err(_) => Err(LogError::Unavailable("the log is closed".to_owned())),
        }
    }

    /// Ends the partition: what waits is refused, waiting readers are told.
    pub(crate) fn retire(&self) {
        self.writer.lock().retire(&self.stream);
        self.signal.send_replace(Signal::Gone);
    }
}
