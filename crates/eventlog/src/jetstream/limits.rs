//! How large records and calls may be.

use super::frame;
use super::partition::Shared;
use crate::log::{LogError, MAX_PARTITION_KEY_BYTES, NewRecord, Record};

/// What a message needs besides the records: the frame's header, NATS's headers; in a hand-over, the stream's names.
const MARGIN: usize = 4096;

/// The most bytes of records a frame takes.
pub(crate) fn frame_limit(max_payload: usize) -> usize {
    max_payload.saturating_sub(MARGIN)
}

impl Shared {
    /// The largest append the server takes, all its records together.
    pub(crate) fn max_call_bytes(&self) -> usize {
        frame_limit(self.wire.client.max_payload())
    }

    /// The bytes of an append, if it is none too large.
    pub(crate) fn check(&self, records: &[NewRecord]) -> Result<usize, LogError> {
        let mut total = 0;
        for record in records {
            let key_len = record.partition_key.as_ref().map_or(0, |key| key.len());
            self.check_record(record.payload.len(), key_len)?;
            total += frame::encoded_len(record);
        }
        bound("the call", total, self.max_call_bytes())
    }

    /// The bytes of records to import, if none is too large.
    pub(crate) fn check_import(&self, records: &[Record]) -> Result<usize, LogError> {
        let mut total = 0;
        for record in records {
            let key_len = record.partition_key.as_ref().map_or(0, |key| key.len());
            self.check_record(record.payload.len(), key_len)?;
            total += bound("the record", frame::imported_len(record), self.max_call_bytes())?;
        }
        Ok(total)
    }

    fn check_record(&self, payload: usize, partition_key: usize) -> Result<(), LogError> {
        let largest = self.options.max_record_bytes.min(self.max_call_bytes());
        bound("the record", payload, largest)?;
        bound("the partition key", partition_key, MAX_PARTITION_KEY_BYTES).map(drop)
    }
}

fn bound(what: &'static str, bytes: usize, limit: usize) -> Result<usize, LogError> {
    if bytes > limit { Err(LogError::TooLarge { what, bytes, limit }) } else { Ok(bytes) }
}
