//! What a node remembers of a partition's frames: the newest ones, what slow readers will want next, and where they
//! stopped. All bounded; nothing here is needed for correctness.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pollux_model::Timestamp;

use super::frame::Frame;
use crate::log::{ReadLimit, Record};
use crate::span::{Meter, Start};

/// Readers whose place in the JetStream stream is remembered.
const CURSORS: usize = 64;

impl Frame {
    /// The first record that does not lie before the start; the number of records if all do.
    pub(crate) fn index_of(&self, start: Start) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_before(middle, start) { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn is_before(&self, index: usize, start: Start) -> bool {
        match start {
            Start::Sequence(number) => self.position(index).sequence_number < number,
            Start::Offset(offset) => self.offset(index) < offset,
            Start::After(moment) => Timestamp::from_micros(self.enqueued(index)) <= moment,
        }
    }

    /// Whether nothing before this frame can be what the start asks for.
    pub(crate) fn covers(&self, start: Start) -> bool {
        match start {
            Start::Sequence(number) => self.head.base_sequence <= number,
            Start::Offset(offset) => self.head.base_offset <= offset,
            Start::After(moment) => self.head.first_enqueued <= moment.as_micros(),
        }
    }

    /// Adds the frame's records from the start on; whether there is room for more.
    pub(crate) fn collect(&self, start: Start, meter: &mut Meter, out: &mut Vec<Record>) -> bool {
        for index in self.index_of(start)..self.len() {
            let record = self.record(index);
            if !meter.admit(&record) {
                return false;
            }
            out.push(record);
        }
        true
    }
}

/// Frames in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The newest frames, without a gap up to the partition's last.
    tail: VecDeque<Arc<Frame>>,
    tail_bytes: usize,
    tail_limit: usize,
    /// Older frames that were read, oldest reading first.
    ahead: HashMap<u64, Arc<Frame>>,
    order: VecDeque<u64>,
    ahead_bytes: usize,
    ahead_limit: usize,
    /// Sequence numbers at which reads ended, and the frame that holds them.
    cursors: VecDeque<(i64, u64)>,
}

impl Memory {
    pub(crate) fn new(tail_limit: usize, ahead_limit: usize) -> Self {
        Self {
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_limit,
            ahead: HashMap::new(),
            order: VecDeque::new(),
            ahead_bytes: 0,
            ahead_limit,
            cursors: VecDeque::new(),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.tail_limit, self.ahead_limit);
    }

    /// The partition's new last frame.
    pub(crate) fn push(&mut self, frame: &Arc<Frame>) {
        if self.tail.back().is_some_and(|last| last.js + 1 != frame.js) {
            self.tail.clear();
            self.tail_bytes = 0;
        }
        self.tail_bytes += frame.footprint();
        self.tail.push_back(Arc::clone(frame));
        while self.tail_bytes > self.tail_limit {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.footprint();
        }
    }

    /// A frame that was read.
    pub(crate) fn keep(&mut self, frame: &Arc<Frame>) {
        if self.get(frame.js).is_some() {
            return;
        }
        self.ahead_bytes += frame.footprint();
        self.ahead.insert(frame.js, Arc::clone(frame));
        self.order.push_back(frame.js);
        while self.ahead_bytes > self.ahead_limit {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(oldest) = self.ahead.remove(&oldest) {
                self.ahead_bytes -= oldest.footprint();
            }
        }
    }

    /// Everything before this JetStream sequence was removed.
    pub(crate) fn drop_before(&mut self, first: u64) {
        while self.tail.front().is_some_and(|frame| frame.js < first) {
            if let Some(frame) = self.tail.pop_front() {
                self.tail_bytes -= frame.footprint();
            }
        }
        let bytes = &mut self.ahead_bytes;
        self.ahead.retain(|js, frame| {
            if *js < first {
                *bytes -= frame.footprint();
            }
            *js >= first
        });
        self.order.retain(|js| *js >= first);
        self.cursors.retain(|(_, js)| *js >= first);
    }

    pub(crate) fn get(&self, js: u64) -> Option<Arc<Frame>> {
        let front = self.tail.front().map_or(u64::MAX, |frame| frame.js);
        let at = js.checked_sub(front).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.tail.get(at)).or_else(|| self.ahead.get(&js)).cloned()
    }

    /// Where a read that begins with this number finds it, if another read ended there.
    pub(crate) fn cursor(&self, sequence: i64) -> Option<u64> {
        self.cursors.iter().find(|(next, _)| *next == sequence).map(|(_, js)| *js)
    }

    /// A read ended before this number, which frame `js` (or the one after it) holds.
    pub(crate) fn set_cursor(&mut self, sequence: i64, js: u64) {
        self.cursors.retain(|(next, _)| *next != sequence);
        if self.cursors.len() == CURSORS {
            self.cursors.pop_front();
        }
        self.cursors.push_back((sequence, js));
    }

    /// The answer to a read that begins within the newest frames. `first`: the partition's oldest frame.
    pub(crate) fn read_tail(&self, start: Start, first: u64, limit: ReadLimit) -> Option<Vec<Record>> {
        let oldest = self.tail.front()?;
        if oldest.js != first && !oldest.covers(start) {
            return None;
        }
        let from = self.tail.partition_point(|frame| frame.index_of(start) == frame.len());
        let mut meter = Meter::new(limit);
        let mut out = Vec::new();
        for frame in self.tail.range(from..) {
            if !frame.collect(start, &mut meter, &mut out) {
                break;
            }
        }
        Some(out)
    }
}
