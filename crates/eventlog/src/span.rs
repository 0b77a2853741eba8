//! Where a read begins and how far it goes, for every backend alike.

use pollux_model::Timestamp;

use crate::log::{ReadLimit, Record};

/// Where a read begins, with every kind of [`crate::ReadFrom`] brought down to three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first record with at least this sequence number.
    Sequence(i64),
    /// The first record with at least this offset.
    Offset(i64),
    /// The first record enqueued after this moment.
    After(Timestamp),
}

impl Start {
    /// Whether the record lies before the start.
    pub(crate) fn is_after(&self, record: &Record) -> bool {
        match *self {
            Self::Sequence(number) => record.sequence_number < number,
            Self::Offset(offset) => record.offset < offset,
            Self::After(moment) => record.enqueued_time <= moment,
        }
    }
}

/// Counts a read down to its limit.
#[derive(Debug)]
pub(crate) struct Meter {
    left: ReadLimit,
    taken: bool,
}

impl Meter {
    pub(crate) fn new(limit: ReadLimit) -> Self {
        Self { left: limit, taken: false }
    }

    /// Whether the record still fits; the first one always does (unless no record is wanted at all).
    pub(crate) fn admit(&mut self, record: &Record) -> bool {
        let size = record.payload.len();
        if self.left.records == 0 || (self.taken && size > self.left.bytes) {
            return false;
        }
        self.taken = true;
        self.left.records -= 1;
        self.left.bytes = self.left.bytes.saturating_sub(size);
        true
    }
}
