//! The body of a JetStream message, format version 1. What this version wrote must be read for ever
//! (`tests/golden/jetstream_v1`). All integers are little-endian.
//!
//! ```text
//! frame  = header record*
//! header = magic "PLXJ" | version u8 | flags u8 | 2 zero bytes | crc u32 | records u32
//!        | id [16] | base sequence i64 | base offset i64 | first enqueued i64
//!        | offset before i64 | enqueued before i64 | bytes before u64 | keyed before u64          (88 bytes)
//!          crc: CRC32C of everything but these four bytes
//!          flags: 1: every record says its offset and time itself (imported records)
//! record = flags u8 | zero u8 | partition key length u16 | payload length u32
//!        | idempotency key [16]? | (offset i64, enqueued i64)? | partition key | payload
//!          flags: 1: has a partition key; 2: has an idempotency key
//! ```
//!
//! Record `i` has sequence number `base sequence + i`; unless it says otherwise, time `first enqueued + i` and, as
//! offset, `base offset` + the bytes of the records before it. A frame without records only carries the numbers on:
//! its base is the next record's. The `… before` fields describe what precedes the frame: the newest record's
//! offset and time, the bytes of all records ever, and the JetStream sequence of the newest frame with a keyed
//! record (0: none). So the newest frame alone tells how to go on.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use pollux_model::Timestamp;

use crate::log::{IdempotencyKey, NewRecord, Position, Record};

/// Length of the header.
pub(crate) const HEADER_LEN: usize = 88;
const MAGIC: [u8; 4] = *b"PLXJ";
const VERSION: u8 = 1;
const EXPLICIT: u8 = 1;
const RECORD_LEN: usize = 8;
const HAS_PARTITION_KEY: u8 = 1;
const HAS_IDEMPOTENCY_KEY: u8 = 2;
const CRC: std::ops::Range<usize> = 8..12;

/// The end of a partition: everything the next frame depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) next_sequence: i64,
    pub(crate) next_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) last_enqueued: i64,
    /// Bytes of all records ever stored.
    pub(crate) bytes: u64,
    /// JetStream sequence of the newest frame with a keyed record; 0: none.
    pub(crate) keyed: u64,
}

impl Tip {
    /// The end of a partition that never had a frame.
    pub(crate) const START: Self = Self {
        next_sequence: 0,
        next_offset: 0,
        last_offset: -1,
        last_enqueued: Timestamp::NEVER.as_micros(),
        bytes: 0,
        keyed: 0,
    };
}

/// What makes a frame recognizable to the process that wrote it.
pub(crate) type FrameId = [u8; 16];

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: FrameId,
    pub(crate) base_sequence: i64,
    pub(crate) base_offset: i64,
    pub(crate) first_enqueued: i64,
    pub(crate) offset_before: i64,
    pub(crate) enqueued_before: i64,
    pub(crate) bytes_before: u64,
    pub(crate) keyed_before: u64,
    explicit: bool,
}

/// A stored frame. Records are cut out of it when they are asked for.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Its JetStream sequence.
    pub(crate) js: u64,
    pub(crate) head: Head,
    raw: Bytes,
    /// Where each record begins in `raw`.
    starts: Vec<u32>,
    keyed: bool,
}

impl Frame {
    /// Reads a frame; the error says what is wrong and at which byte.
    pub(crate) fn decode(js: u64, raw: Bytes) -> Result<Arc<Self>, (u64, &'static str)> {
        if raw.len() < HEADER_LEN || raw[..4] != MAGIC {
            return Err((0, "no frame of Pollux"));
        }
        if raw[4] != VERSION {
            return Err((4, "a frame of an unknown version: a newer Pollux wrote it"));
        }
        if u32_at(&raw, CRC.start) != checksum(&raw) {
            return Err((8, "the checksum does not match"));
        }
        let head = Head {
            explicit: raw[5] & EXPLICIT != 0,
            id: raw[16..32].try_into().expect("sixteen bytes"),
            base_sequence: i64_at(&raw, 32),
            base_offset: i64_at(&raw, 40),
            first_enqueued: i64_at(&raw, 48),
            offset_before: i64_at(&raw, 56),
            enqueued_before: i64_at(&raw, 64),
            bytes_before: i64_at(&raw, 72).cast_unsigned(),
            keyed_before: i64_at(&raw, 80).cast_unsigned(),
        };
        let count = u32_at(&raw, 12) as usize;
        let mut frame = Self { js, head, raw, starts: Vec::with_capacity(count.min(65_536)), keyed: false };
        let mut at = HEADER_LEN;
        for _ in 0..count {
            let end = frame.layout(at).map(|layout| layout.end);
            let Some(end) = end.filter(|end| *end <= frame.raw.len()) else {
                return Err((at as u64, "a record is cut off"));
            };
            frame.starts.push(u32::try_from(at).map_err(|_| (0, "the frame is too long"))?);
            frame.keyed |= frame.raw[at] & HAS_IDEMPOTENCY_KEY != 0;
            at = end;
        }
        if at == frame.raw.len() { Ok(Arc::new(frame)) } else { Err((at as u64, "bytes after the records")) }
    }

    /// What is sent to the server.
    pub(crate) fn raw(&self) -> Bytes {
        self.raw.clone()
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes in memory, about.
    pub(crate) fn footprint(&self) -> usize {
        size_of::<Self>() + self.raw.len() + self.starts.len() * 4
    }

    /// Bytes of the records.
    pub(crate) fn bytes(&self) -> u64 {
        (self.raw.len() - HEADER_LEN) as u64
    }

    pub(crate) fn next_sequence(&self) -> i64 {
        self.head.base_sequence + i64::try_from(self.starts.len()).expect("a frame has few records")
    }

    /// Time of the newest record there was when the frame was written.
    pub(crate) fn last_enqueued(&self) -> i64 {
        self.starts.len().checked_sub(1).map_or(self.head.enqueued_before, |last| self.enqueued(last))
    }

    /// The partition's end after this frame.
    pub(crate) fn tip(&self) -> Tip {
        let keyed = if self.keyed { self.js } else { self.head.keyed_before };
        let next_offset = match self.starts.len().checked_sub(1) {
            None => self.head.base_offset,
            // Far enough from an imported record's own offset, whatever its size.
            Some(last) if self.head.explicit => self.offset(last) + self.length(last),
            Some(_) => self.head.base_offset + self.bytes().cast_signed(),
        };
        Tip {
            next_sequence: self.next_sequence(),
            next_offset,
            last_offset: self
                .starts
                .len()
                .checked_sub(1)
                .map_or(self.head.offset_before, |last| self.offset(last)),
            last_enqueued: self.last_enqueued(),
            bytes: self.head.bytes_before + self.bytes(),
            keyed,
        }
    }

    pub(crate) fn offset(&self, index: usize) -> i64 {
        let start = self.starts[index] as usize;
        match self.layout(start).and_then(|layout| layout.explicit) {
            Some((offset, _)) => offset,
            None => self.head.base_offset + (start - HEADER_LEN) as i64,
        }
    }

    pub(crate) fn enqueued(&self, index: usize) -> i64 {
        match self.layout(self.starts[index] as usize).and_then(|layout| layout.explicit) {
            Some((_, enqueued)) => enqueued,
            None => self.head.first_enqueued + index as i64,
        }
    }

    fn length(&self, index: usize) -> i64 {
        let end = self.starts.get(index + 1).map_or(self.raw.len(), |start| *start as usize);
        (end - self.starts[index] as usize) as i64
    }

    pub(crate) fn position(&self, index: usize) -> Position {
        Position {
            sequence_number: self.head.base_sequence + index as i64,
            offset: self.offset(index),
            enqueued_time: Timestamp::from_micros(self.enqueued(index)),
        }
    }

    /// The record; its payload shares the frame's memory.
    pub(crate) fn record(&self, index: usize) -> Record {
        let layout = self.layout(self.starts[index] as usize).expect("checked when the frame was read");
        let key = layout.has_partition_key.then(|| &self.raw[layout.partition_key..layout.payload]);
        let position = self.position(index);
        Record {
            sequence_number: position.sequence_number,
            offset: position.offset,
            enqueued_time: position.enqueued_time,
            partition_key: key.map(|key| String::from_utf8_lossy(key).into()),
            payload: self.raw.slice(layout.payload..layout.end),
        }
    }

    /// The record as it was given; `None`: it was imported, or no append has such a one.
    pub(crate) fn new_record(&self, index: usize) -> Option<NewRecord> {
        let layout =
            self.layout(*self.starts.get(index)? as usize).filter(|layout| layout.explicit.is_none())?;
        let key = self.raw.get(layout.partition_key..layout.payload)?;
        let partition_key = match layout.has_partition_key {
            true => Some(std::str::from_utf8(key).ok()?.into()),
            false if key.is_empty() => None,
            false => return None,
        };
        let payload = self.raw.slice(layout.payload..layout.end);
        Some(NewRecord { partition_key, payload, idempotency_key: layout.key.map(IdempotencyKey) })
    }

    /// The keyed records and where they stand, in order.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = (IdempotencyKey, Position)> + '_ {
        let range = if self.keyed { 0..self.starts.len() } else { 0..0 };
        range.filter_map(|index| {
            let key = self.layout(self.starts[index] as usize)?.key?;
            Some((IdempotencyKey(key), self.position(index)))
        })
    }

    fn layout(&self, start: usize) -> Option<Layout> {
        let fixed = self.raw.get(start..start + RECORD_LEN)?;
        let flags = fixed[0];
        let partition_key_len = usize::from(u16::from_le_bytes([fixed[2], fixed[3]]));
        let payload_len = u32_at(fixed, 4) as usize;
        let mut at = start + RECORD_LEN;
        let mut key = None;
        if flags & HAS_IDEMPOTENCY_KEY != 0 {
            key = Some(self.raw.get(at..at + 16)?.try_into().ok()?);
            at += 16;
        }
        let mut explicit = None;
        if self.head.explicit {
            let places = self.raw.get(at..at + 16)?;
            explicit = Some((i64_at(places, 0), i64_at(places, 8)));
            at += 16;
        }
        Some(Layout {
            has_partition_key: flags & HAS_PARTITION_KEY != 0,
            key,
            explicit,
            partition_key: at,
            payload: at + partition_key_len,
            end: at + partition_key_len + payload_len,
        })
    }
}

/// Where a record's parts are.
struct Layout {
    has_partition_key: bool,
    key: Option<[u8; 16]>,
    explicit: Option<(i64, i64)>,
    partition_key: usize,
    payload: usize,
    end: usize,
}

/// Bytes the record will take in a frame.
pub(crate) fn encoded_len(record: &NewRecord) -> usize {
    RECORD_LEN
        + record.idempotency_key.map_or(0, |key| key.0.len())
        + record.partition_key.as_ref().map_or(0, |key| key.len())
        + record.payload.len()
}

/// Bytes an imported record will take.
pub(crate) fn imported_len(record: &Record) -> usize {
    RECORD_LEN + 16 + record.partition_key.as_ref().map_or(0, |key| key.len()) + record.payload.len()
}

/// Puts a frame together.
#[derive(Debug)]
pub(crate) struct Builder {
    out: BytesMut,
    tip: Tip,
    base_offset: i64,
    first_enqueued: i64,
    count: u32,
    explicit: bool,
    starts: Vec<u32>,
    keyed: bool,
}

impl Builder {
    /// A frame that goes on from `tip`; its first record is enqueued at `now`, or just after the one before.
    pub(crate) fn new(tip: Tip, now: Timestamp) -> Self {
        let first_enqueued = now.as_micros().max(tip.last_enqueued.saturating_add(1));
        Self::with(tip, first_enqueued, false)
    }

    /// A frame of imported records.
    pub(crate) fn imported(tip: Tip) -> Self {
        Self::with(tip, tip.last_enqueued.saturating_add(1), true)
    }

    fn with(tip: Tip, first_enqueued: i64, explicit: bool) -> Self {
        let mut out = BytesMut::with_capacity(1024);
        out.resize(HEADER_LEN, 0);
        Self {
            out,
            tip,
            base_offset: tip.next_offset,
            first_enqueued,
            count: 0,
            explicit,
            starts: Vec::new(),
            keyed: false,
        }
    }

    /// Adds a record; its position.
    pub(crate) fn push(&mut self, record: &NewRecord) -> Position {
        let position = Position {
            sequence_number: self.tip.next_sequence + i64::from(self.count),
            offset: self.base_offset + (self.out.len() - HEADER_LEN) as i64,
            enqueued_time: Timestamp::from_micros(self.first_enqueued + i64::from(self.count)),
        };
        let key = record.idempotency_key.as_ref();
        self.write(key, None, record.partition_key.as_deref(), &record.payload);
        position
    }

    /// Adds an imported record, which stays where it was.
    pub(crate) fn push_imported(&mut self, record: &Record) {
        if self.count == 0 {
            self.base_offset = record.offset;
            self.first_enqueued = record.enqueued_time.as_micros();
        }
        let place = (record.offset, record.enqueued_time.as_micros());
        self.write(None, Some(place), record.partition_key.as_deref(), &record.payload);
    }

    fn write(
        &mut self,
        key: Option<&IdempotencyKey>,
        place: Option<(i64, i64)>,
        partition_key: Option<&str>,
        payload: &[u8],
    ) {
        let mut flags = 0;
        if partition_key.is_some() {
            flags |= HAS_PARTITION_KEY;
        }
        if key.is_some() {
            flags |= HAS_IDEMPOTENCY_KEY;
        }
        self.keyed |= key.is_some();
        self.starts.push(u32::try_from(self.out.len()).expect("frames are bounded far below 4 GiB"));
        let partition_key = partition_key.unwrap_or_default();
        self.out.put_u8(flags);
        self.out.put_u8(0);
        self.out.put_u16_le(u16::try_from(partition_key.len()).expect("partition keys are bounded"));
        self.out.put_u32_le(u32::try_from(payload.len()).expect("records are bounded far below 4 GiB"));
        if let Some(key) = key {
            self.out.put_slice(&key.0);
        }
        if let Some((offset, enqueued)) = place {
            self.out.put_i64_le(offset);
            self.out.put_i64_le(enqueued);
        }
        self.out.put_slice(partition_key.as_bytes());
        self.out.put_slice(payload);
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frame, not stored yet: its JetStream sequence is 0.
    pub(crate) fn finish(mut self, id: FrameId) -> Frame {
        if self.count == 0 {
            // Whatever the clock says: the next frame may be stamped by a slower one, and times must not fall.
            self.first_enqueued = self.tip.last_enqueued.saturating_add(1);
        }
        let (starts, keyed, tip) = (self.starts.clone(), self.keyed, self.tip);
        let head = Head {
            id,
            base_sequence: tip.next_sequence,
            base_offset: self.base_offset,
            first_enqueued: self.first_enqueued,
            offset_before: tip.last_offset,
            enqueued_before: tip.last_enqueued,
            bytes_before: tip.bytes,
            keyed_before: tip.keyed,
            explicit: self.explicit,
        };
        Frame { js: 0, head, raw: self.into_bytes(id), starts, keyed }
    }

    fn into_bytes(mut self, id: FrameId) -> Bytes {
        let head = &mut self.out;
        head[..4].copy_from_slice(&MAGIC);
        head[4] = VERSION;
        head[5] = if self.explicit { EXPLICIT } else { 0 };
        head[12..16].copy_from_slice(&self.count.to_le_bytes());
        head[16..32].copy_from_slice(&id);
        let fields = [
            self.tip.next_sequence,
            self.base_offset,
            self.first_enqueued,
            self.tip.last_offset,
            self.tip.last_enqueued,
            self.tip.bytes.cast_signed(),
            self.tip.keyed.cast_signed(),
        ];
        for (field, place) in fields.iter().zip(head[32..HEADER_LEN].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let crc = checksum(head);
        head[CRC].copy_from_slice(&crc.to_le_bytes());
        self.out.freeze()
    }
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CRC.start]), &frame[CRC.end..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
