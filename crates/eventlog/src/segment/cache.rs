//! Records in memory: the newest of a partition, and what cold reads fetched beyond what was asked for.

use std::collections::VecDeque;

use crate::log::{ReadLimit, Record};
use crate::span::{Meter, Start};

/// The newest records of a partition, without a gap up to its end, bounded in bytes.
#[derive(Debug)]
pub(crate) struct TailCache {
    records: VecDeque<Record>,
    bytes: usize,
    limit: usize,
}

impl TailCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, limit }
    }

    /// Adds what was just stored and drops the oldest beyond the bound.
    pub(crate) fn extend(&mut self, records: Vec<Record>) {
        self.bytes += records.iter().map(footprint).sum::<usize>();
        self.records.extend(records);
        while self.bytes > self.limit {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= footprint(&oldest);
        }
    }

    /// Forgets what lies before this sequence number.
    pub(crate) fn drop_before(&mut self, sequence: i64) {
        while self.records.front().is_some_and(|record| record.sequence_number < sequence) {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= footprint(&oldest);
            }
        }
    }

    /// The answer to a read, if it begins within the cache. `begin`: the partition's oldest sequence number.
    pub(crate) fn read(&self, start: Start, begin: i64, limit: ReadLimit) -> Option<Vec<Record>> {
        let first = self.records.front()?;
        let whole = first.sequence_number == begin;
        let covered = match start {
            Start::Sequence(number) => number >= first.sequence_number,
            Start::Offset(offset) => offset >= first.offset,
            Start::After(moment) => moment >= first.enqueued_time,
        };
        if !whole && !covered {
            return None;
        }
        let from = self.records.partition_point(|record| start.is_after(record));
        let mut meter = Meter::new(limit);
        Some(self.records.range(from..).take_while(|record| meter.admit(record)).cloned().collect())
    }
}

/// What a record costs in memory.
fn footprint(record: &Record) -> usize {
    size_of::<Record>() + record.payload.len() + record.partition_key.as_ref().map_or(0, |key| key.len())
}

/// What cold reads fetched beyond their limit, for the reader that comes back for it: one entry per reader, few.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    runs: VecDeque<VecDeque<Record>>,
}

/// Readers far behind that each partition serves without reading chunks twice.
const RUNS: usize = 4;

impl ReadAhead {
    /// Keeps records that follow an answer.
    pub(crate) fn keep(&mut self, run: VecDeque<Record>) {
        if run.is_empty() {
            return;
        }
        if self.runs.len() == RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    /// The answer to a read that goes on where an earlier one stopped.
    pub(crate) fn take(&mut self, start: Start, limit: ReadLimit) -> Option<Vec<Record>> {
        let Start::Sequence(number) = start else { return None };
        let at = self.runs.iter().position(|run| run.front().is_some_and(|r| r.sequence_number == number))?;
        let mut run = self.runs.remove(at)?;
        let mut meter = Meter::new(limit);
        let mut out = Vec::new();
        while run.front().is_some_and(|record| meter.admit(record)) {
            out.extend(run.pop_front());
        }
        self.keep(run);
        Some(out)
    }
}
