//! The writer of a partition: appends become one write and one fdatasync, then they are seen and answered.
//!
//! ```text
//! stage (encode) -> zeroes ahead -> write -> fdatasync -> show to readers -> answer the callers
//!                        \____ failed: cut back to the last durable record, refuse the calls
//!                                              \____ failed: poisoned until the log is opened again
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pollux_model::Timestamp;

use super::disk::DiskFile;
use super::file::{Mark, Segment};
use super::format::{self, FRAME_LEN, HEADER_LEN, Place};
use super::partition::{Call, Partition, Signal, Tip};
use crate::keys::KeyWindow;
use crate::log::{IdempotencyKey, LogError, NewRecord, Position, Record, StreamName};

/// Zeroes are written ahead in steps of the file's own length, between these two bounds.
const AHEAD: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024;
/// Imported records are synced in steps of about this size.
const IMPORT_BYTES: usize = 1024 * 1024;
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// Why a commit failed.
enum Failure {
    /// Nothing of the batch is left on disk; the next one may work (a full disk).
    Undone(std::io::Error),
    /// What is on disk is in doubt.
    Doubt(std::io::Error),
}

/// Owns the partition's newest segment.
#[derive(Debug)]
pub(crate) struct PartitionWriter {
    file: Arc<dyn DiskFile>,
    segment: Arc<Segment>,
    tip: Tip,
    keys: KeyWindow,
    /// The file's length: what lies between the last record and here is zeroes.
    allocated: u64,
    /// Why nothing is stored any more.
    closed: Option<LogError>,
}

/// A batch that is being put together.
#[derive(Debug)]
struct Batch {
    tip: Tip,
    bytes: BytesMut,
    marks: Vec<Staged>,
    keys: Vec<IdempotencyKey>,
    answers: Vec<(Call, Vec<Position>)>,
}

/// A record of the batch, until the batch is frozen and its payload can be cut out of it.
#[derive(Debug)]
struct Staged {
    position: Position,
    partition_key: Option<Box<str>>,
    end: usize,
    payload_len: usize,
}

impl Batch {
    fn new(tip: Tip) -> Self {
        Self { tip, bytes: BytesMut::new(), marks: Vec::new(), keys: Vec::new(), answers: Vec::new() }
    }

    /// Encodes a record at the end, enqueued at `now` or just after the one before it.
    fn push(&mut self, record: NewRecord, now: i64, call_remaining: u32) -> Position {
        let position = Position {
            sequence_number: self.tip.next_sequence,
            offset: self.tip.next_offset,
            enqueued_time: Timestamp::from_micros(now.max(self.tip.last_enqueued + 1)),
        };
        let start = self.bytes.len();
        let place = Place {
            sequence: position.sequence_number,
            enqueued: position.enqueued_time.as_micros(),
            batch_index: u32::try_from(self.marks.len()).expect("a batch is bounded by the queue's bytes"),
            call_remaining,
        };
        format::encode_record(&mut self.bytes, &record, place);
        let length = self.bytes.len() - start;
        self.tip.next_sequence += 1;
        self.tip.next_offset += i64::try_from(length).expect("records are bounded far below 4 GiB");
        self.tip.last_offset = position.offset;
        self.tip.last_enqueued = position.enqueued_time.as_micros();
        if let Some(key) = record.idempotency_key {
            self.tip.keyed += 1;
            self.keys.push(key);
        }
        let end = self.bytes.len();
        let payload_len = record.payload.len();
        self.marks.push(Staged { position, partition_key: record.partition_key, end, payload_len });
        position
    }
}

impl PartitionWriter {
    /// A writer that goes on at `tip` in the segment whose file is `allocated` bytes long.
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        segment: Arc<Segment>,
        tip: Tip,
        keys: KeyWindow,
        allocated: u64,
    ) -> Self {
        Self { file, segment, tip, keys, allocated, closed: None }
    }

    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    /// Refuses everything from now on: the stream is deleted.
    pub(crate) fn retire(&mut self, stream: &StreamName) {
        self.closed = Some(LogError::UnknownStream(stream.clone()));
    }

    /// Stores the calls in order and answers each.
    pub(crate) fn commit(&mut self, partition: &Partition, calls: Vec<Call>) {
        let mut batch = Batch::new(self.tip);
        for call in calls {
            if self.overflows(partition, batch.tip.next_offset, call.bytes) {
                self.flush(partition, std::mem::replace(&mut batch, Batch::new(self.tip)));
                if self.closed.is_none()
                    && self.tip.next_sequence > self.segment.header.first_sequence
                    && let Err(error) = self.roll(partition)
                {
                    let _ = call.reply.send(Err(error));
                    batch = Batch::new(self.tip);
                    continue;
                }
                batch = Batch::new(self.tip);
            }
            self.stage(&mut batch, partition.shared.clock.now(), call);
        }
        self.flush(partition, batch);
    }

    fn overflows(&self, partition: &Partition, at: i64, bytes: usize) -> bool {
        let end = self.segment.file_position(at) + bytes as u64;
        at > self.segment.header.base_offset && end > HEADER_LEN + partition.shared.options.segment_bytes
    }

    /// Encodes a call at the end of the batch; records whose key is known are answered with the original.
    fn stage(&mut self, batch: &mut Batch, now: Timestamp, mut call: Call) {
        let mut positions = Vec::with_capacity(call.records.len());
        let mut remaining = self.count_new(&call);
        for record in std::mem::take(&mut call.records) {
            let record_key = record.idempotency_key;
            if let Some(original) = record_key.and_then(|key| self.keys.get(key)) {
                positions.push(original);
                continue;
            }
            remaining = remaining.saturating_sub(1);
            let position = batch.push(record, now.as_micros(), remaining);
            if let Some(key) = record_key {
                self.keys.stage(key, position);
            }
            positions.push(position);
        }
        batch.answers.push((call, positions));
    }

    /// How many records of the call will be stored.
    fn count_new(&self, call: &Call) -> u32 {
        let mut seen = HashSet::new();
        let mut count = 0;
        for record in &call.records {
            if let Some(key) = record.idempotency_key {
                // Only a call of several records can repeat a key within itself.
                if self.keys.get(key).is_some() || (call.records.len() > 1 && !seen.insert(key)) {
                    continue;
                }
            }
            count += 1;
        }
        count
    }

    /// Makes the batch durable, shows it to readers, answers the callers.
    fn flush(&mut self, partition: &Partition, mut batch: Batch) {
        if batch.answers.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut batch.bytes).freeze();
        let stored = match &self.closed {
            Some(error) => Err(error.clone()),
            None if bytes.is_empty() => Ok(()),
            None => self.store(&bytes, batch.tip).map_err(|failure| self.fail(partition, failure)),
        };
        match stored {
            Ok(()) => {
                self.tip = batch.tip;
                self.keys.settle(batch.keys);
                if !bytes.is_empty() {
                    self.show(partition, &bytes, batch.marks);
                }
                for (call, positions) in batch.answers {
                    let _ = call.reply.send(Ok(positions));
                }
            }
            Err(error) => {
                self.keys.forget(batch.keys);
                for (call, _) in batch.answers {
                    let _ = call.reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn store(&mut self, bytes: &Bytes, tip: Tip) -> Result<(), Failure> {
        let at = self.segment.file_position(self.tip.next_offset);
        let end = self.segment.file_position(tip.next_offset);
        let written = self.write_ahead(end).and_then(|()| self.file.write_all_at(bytes, at));
        if let Err(error) = written {
            // Nothing was synced: cutting the file back leaves only durable records.
            return Err(match self.file.set_len(at) {
                Ok(()) => {
                    self.allocated = at;
                    Failure::Undone(error)
                }
                Err(_) => Failure::Doubt(error),
            });
        }
        self.file.sync_data().map_err(Failure::Doubt)
    }

    /// Writes zeroes beyond `end`, so that most syncs change no metadata of the file system. Real zeroes: space that
    /// is only reserved must be converted on its first write, which costs a journal commit with every fdatasync.
    fn write_ahead(&mut self, end: u64) -> std::io::Result<()> {
        if end <= self.allocated {
            return Ok(());
        }
        let goal = end + self.allocated.clamp(*AHEAD.start(), *AHEAD.end());
        let mut at = self.allocated;
        while at < goal {
            let step = (goal - at).min(ZEROES.len() as u64);
            let step_bytes = usize::try_from(step).unwrap_or(ZEROES.len());
            self.file.write_all_at(&ZEROES[..step_bytes], at)?;
            at += step;
        }
        self.allocated = goal;
        Ok(())
    }

    fn fail(&mut self, partition: &Partition, failure: Failure) -> LogError {
        let (error, poisoned) = match failure {
            Failure::Undone(error) => (error, false),
            Failure::Doubt(error) => (error, true),
        };
        let file = self.segment.path.display();
        tracing::error!(%file, %error, poisoned, stream = %partition.stream, "events could not be stored");
        if !poisoned {
            return LogError::Unavailable(format!("cannot write {file}: {error}"));
        }
        let error =
            LogError::Unavailable(format!("cannot sync {file}: {error}; restart to check what is on disk"));
        self.closed = Some(error.clone());
        error
    }

    fn show(&self, partition: &Partition, bytes: &Bytes, staged: Vec<Staged>) {
        let records: Vec<Record> = staged
            .into_iter()
            .map(|staged| Record {
                sequence_number: staged.position.sequence_number,
                offset: staged.position.offset,
                enqueued_time: staged.position.enqueued_time,
                partition_key: staged.partition_key,
                payload: bytes.slice(staged.end - staged.payload_len..staged.end),
            })
            .collect();
        for record in &records {
            self.segment.note(Mark {
                sequence: record.sequence_number,
                offset: record.offset,
                enqueued: record.enqueued_time.as_micros(),
            });
        }
        let mut view = partition.view.write();
        view.tip = self.tip;
        view.cache.extend(records);
        drop(view);
        partition.signal.send_replace(Signal::Last(self.tip.next_sequence - 1));
    }

    /// Closes the newest segment and goes on in a new one.
    pub(crate) fn roll(&mut self, partition: &Partition) -> Result<(), LogError> {
        let end = self.segment.file_position(self.tip.next_offset);
        // The zeroes written ahead go: a closed segment ends with its last record.
        if let Err(error) = self.file.set_len(end).and_then(|()| self.file.sync_data()) {
            return Err(self.fail(partition, Failure::Doubt(error)));
        }
        self.allocated = end;
        let shared = &partition.shared;
        let header = self.tip.header();
        let made = Segment::create(&*shared.disk, &partition.folder, header, shared.options.index_interval);
        let (segment, file) = made.map_err(|error| self.fail(partition, Failure::Undone(error)))?;
        self.segment = Arc::new(segment);
        self.file = file;
        self.allocated = HEADER_LEN;
        partition.view.write().segments.push(Arc::clone(&self.segment));
        Ok(())
    }

    /// Whether nothing can be stored any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Why nothing can be stored any more.
    pub(crate) fn closed(&self) -> Result<(), LogError> {
        self.closed.clone().map_or(Ok(()), Err)
    }

    /// Goes on in a segment that follows nothing: the partition never had a record.
    pub(crate) fn begin(&mut self, file: Arc<dyn DiskFile>, segment: Arc<Segment>) {
        self.tip = Tip::before(&segment.header);
        self.allocated = HEADER_LEN;
        self.file = file;
        self.segment = segment;
    }

    /// Stores records as they were elsewhere, but for their offsets. The caller has checked that they follow.
    pub(crate) fn import(&mut self, partition: &Partition, records: &[Record]) -> Result<(), LogError> {
        let mut batch = Batch::new(self.tip);
        for record in records {
            let new = NewRecord {
                partition_key: record.partition_key.clone(),
                payload: record.payload.clone(),
                idempotency_key: None,
            };
            let full = self.overflows(partition, batch.tip.next_offset, format::encoded_len(&new));
            if full || batch.bytes.len() > IMPORT_BYTES {
                self.store_import(partition, batch)?;
                if full {
                    self.roll(partition)?;
                }
                batch = Batch::new(self.tip);
            }
            batch.push(new, record.enqueued_time.as_micros(), 0);
        }
        self.store_import(partition, batch)
    }

    fn store_import(&mut self, partition: &Partition, mut batch: Batch) -> Result<(), LogError> {
        self.closed()?;
        let bytes = std::mem::take(&mut batch.bytes).freeze();
        if !bytes.is_empty() {
            self.store(&bytes, batch.tip).map_err(|failure| self.fail(partition, failure))?;
            self.tip = batch.tip;
            self.show(partition, &bytes, batch.marks);
        }
        Ok(())
    }
}

/// The longest record the log takes or believes, in bytes of the file.
pub(crate) fn max_frame(max_record_bytes: usize) -> usize {
    FRAME_LEN + 16 + crate::log::MAX_PARTITION_KEY_BYTES + max_record_bytes
}
