//! The bytes of a segment file, format version 1. What this version wrote must be read for ever
//! (`tests/golden/v1`). All integers are little-endian.
//!
//! ```text
//! file    = header record* zero*                     (zeroes: space written ahead, in the newest segment only)
//! header  = magic "PLXSEG\r\n" | version u32 | crc u32 | first sequence i64 | base offset i64
//!         | previous enqueued i64 | previous offset i64 | keyed before i64 | 8 zero bytes          (64 bytes)
//!           crc: CRC32C of the header with these four bytes left out
//! record  = crc u32 | length u32 | sequence i64 | enqueued i64 | batch index u32 | call remaining u32
//!         | flags u8 | zero u8 | key length u16 | idempotency key [16]? | partition key | payload
//!           crc: CRC32C of everything after it; length: bytes after the length field
//! ```
//!
//! `batch index` counts the records written before this one by the same fdatasync; `call remaining` those of the
//! same append that follow. The first tells a torn batch from damage, the second where an append begins.

use bytes::{BufMut, Bytes, BytesMut};
use pollux_model::Timestamp;

use crate::log::{IdempotencyKey, NewRecord, Position, Record};

/// Length of a file's header.
pub(crate) const HEADER_LEN: u64 = 64;
/// The version this build writes; it reads this one and all before it.
pub(crate) const VERSION: u32 = 1;
/// Length of a record's fixed part.
pub(crate) const FRAME_LEN: usize = 36;

const MAGIC: [u8; 8] = *b"PLXSEG\r\n";
const PREFIX_LEN: usize = 8;
const HAS_PARTITION_KEY: u8 = 1;
const HAS_IDEMPOTENCY_KEY: u8 = 2;

/// What stands at the head of a segment file: all that must be known of the records before it, which may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Sequence number of the segment's first record.
    pub(crate) first_sequence: i64,
    /// Offset of the segment's first record.
    pub(crate) base_offset: i64,
    /// Time of the record before, in microseconds; [`Timestamp::NEVER`] if there was none.
    pub(crate) previous_enqueued: i64,
    /// Offset of the record before; -1 if there was none.
    pub(crate) previous_offset: i64,
    /// How many records with an idempotency key the partition had before this segment.
    pub(crate) keyed_before: i64,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Magic,
    Version(u32),
    Checksum,
}

impl Header {
    /// The header of a partition's very first segment.
    pub(crate) const FIRST: Self = Self {
        first_sequence: 0,
        base_offset: 0,
        previous_enqueued: Timestamp::NEVER.as_micros(),
        previous_offset: -1,
        keyed_before: 0,
    };

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut out = [0; HEADER_LEN as usize];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let fields = [
            self.first_sequence,
            self.base_offset,
            self.previous_enqueued,
            self.previous_offset,
            self.keyed_before,
        ];
        for (field, place) in fields.iter().zip(out[16..56].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let crc = header_crc(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_LEN as usize]) -> Result<Self, BadHeader> {
        if bytes[..8] != MAGIC {
            return Err(BadHeader::Magic);
        }
        let version = u32_at(bytes, 8);
        if version == 0 || version > VERSION {
            return Err(BadHeader::Version(version));
        }
        if u32_at(bytes, 12) != header_crc(bytes) {
            return Err(BadHeader::Checksum);
        }
        Ok(Self {
            first_sequence: i64_at(bytes, 16),
            base_offset: i64_at(bytes, 24),
            previous_enqueued: i64_at(bytes, 32),
            previous_offset: i64_at(bytes, 40),
            keyed_before: i64_at(bytes, 48),
        })
    }
}

fn header_crc(bytes: &[u8; HEADER_LEN as usize]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// Where a new record stands in its batch and call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) sequence: i64,
    pub(crate) enqueued: i64,
    pub(crate) batch_index: u32,
    pub(crate) call_remaining: u32,
}

/// Bytes the record will take in the file.
pub(crate) fn encoded_len(record: &NewRecord) -> usize {
    FRAME_LEN
        + record.idempotency_key.map_or(0, |key| key.0.len())
        + record.partition_key.as_ref().map_or(0, |key| key.len())
        + record.payload.len()
}

/// Appends one record. The caller has checked that key and payload are within bounds.
pub(crate) fn encode_record(out: &mut BytesMut, record: &NewRecord, place: Place) {
    let start = out.len();
    let key = record.partition_key.as_deref().unwrap_or_default();
    let mut flags = 0;
    if record.partition_key.is_some() {
        flags |= HAS_PARTITION_KEY;
    }
    if record.idempotency_key.is_some() {
        flags |= HAS_IDEMPOTENCY_KEY;
    }
    out.put_u32_le(0);
    out.put_u32_le(
        u32::try_from(encoded_len(record) - PREFIX_LEN).expect("records are bounded far below 4 GiB"),
    );
    out.put_i64_le(place.sequence);
    out.put_i64_le(place.enqueued);
    out.put_u32_le(place.batch_index);
    out.put_u32_le(place.call_remaining);
    out.put_u8(flags);
    out.put_u8(0);
    out.put_u16_le(u16::try_from(key.len()).expect("partition keys are bounded far below 64 KiB"));
    if let Some(key) = record.idempotency_key {
        out.put_slice(&key.0);
    }
    out.put_slice(key.as_bytes());
    out.put_slice(&record.payload);
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// A record as it stands in a file.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) sequence: i64,
    pub(crate) enqueued: i64,
    pub(crate) batch_index: u32,
    pub(crate) call_remaining: u32,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) partition_key: Option<Box<str>>,
    pub(crate) payload: Bytes,
    /// Bytes in the file.
    pub(crate) length: usize,
}

impl Frame {
    pub(crate) fn position(&self, offset: i64) -> Position {
        Position {
            sequence_number: self.sequence,
            offset,
            enqueued_time: Timestamp::from_micros(self.enqueued),
        }
    }

    pub(crate) fn into_record(self, offset: i64) -> Record {
        Record {
            sequence_number: self.sequence,
            offset,
            enqueued_time: Timestamp::from_micros(self.enqueued),
            partition_key: self.partition_key,
            payload: self.payload,
        }
    }
}

/// What stands at the head of some bytes.
#[derive(Debug)]
pub(crate) enum Decoded {
    Frame(Frame),
    /// A length of zero: nothing was written here.
    Blank,
    /// The record goes on: so many bytes are needed in all.
    Need(usize),
    Bad(&'static str),
}

/// Reads one record. `max` bounds its length in the file, so that a damaged length asks for no more memory.
pub(crate) fn decode_record(bytes: &Bytes, max: usize) -> Decoded {
    if bytes.len() < PREFIX_LEN {
        return Decoded::Need(PREFIX_LEN);
    }
    let length = u32_at(bytes, 4) as usize;
    if length == 0 {
        return Decoded::Blank;
    }
    let total = length.saturating_add(PREFIX_LEN);
    if total < FRAME_LEN || total > max {
        return Decoded::Bad("the record's length is impossible");
    }
    if bytes.len() < total {
        return Decoded::Need(total);
    }
    if u32_at(bytes, 0) != crc32c::crc32c(&bytes[4..total]) {
        return Decoded::Bad("the record's checksum does not match");
    }
    decode_body(bytes, total)
        .map_or(Decoded::Bad("the record's fields contradict each other"), Decoded::Frame)
}

fn decode_body(bytes: &Bytes, total: usize) -> Option<Frame> {
    let flags = bytes[32];
    let key_len = usize::from(u16::from_le_bytes([bytes[34], bytes[35]]));
    let mut at = FRAME_LEN;
    let mut idempotency_key = None;
    if flags & HAS_IDEMPOTENCY_KEY != 0 {
        let end = at + 16;
        idempotency_key = Some(IdempotencyKey(bytes.get(at..end.min(total))?.try_into().ok()?));
        at = end;
    }
    let payload_at = at + key_len;
    if payload_at > total {
        return None;
    }
    let partition_key = match flags & HAS_PARTITION_KEY {
        0 => None,
        _ => Some(std::str::from_utf8(&bytes[at..payload_at]).ok()?.into()),
    };
    Some(Frame {
        sequence: i64_at(bytes, 8),
        enqueued: i64_at(bytes, 16),
        batch_index: u32_at(bytes, 24),
        call_remaining: u32_at(bytes, 28),
        idempotency_key,
        partition_key,
        payload: bytes.slice(payload_at..total),
        length: total,
    })
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(field)
}
