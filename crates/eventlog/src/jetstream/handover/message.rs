//! What nodes say to each other when one hands appends over. Never stored. All integers are little-endian.
//!
//! ```text
//! request = stream length u16 | place length u16 | partition u32 | milliseconds left u32
//!         | stream | place (the JetStream stream's name, which tells the incarnation) | frame (see `frame`)
//!           the frame's id tells who asks; of its header nothing else is looked at. An empty request is a hello.
//! reply   = writer's tag [8] | outcome u8 | body
//!           outcome 0: body = (sequence i64, offset i64, enqueued i64)*, one for each record
//!           outcome 1: body = JSON, a `Refusal`
//! ```

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pollux_model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::super::frame::{Builder, Frame, FrameId, Tip};
use super::super::names::Place;
use super::super::tag::{TAG_LEN, Tag};
use crate::log::{LogError, NewRecord, Position, StreamName};

const FIXED: usize = 12;
const REPLY_FIXED: usize = TAG_LEN + 1;
const POSITION_LEN: usize = 24;
const STORED: u8 = 0;
const REFUSED: u8 = 1;

/// Bytes of the answer for so many records.
pub(super) fn answer_len(records: usize) -> usize {
    REPLY_FIXED + records * POSITION_LEN
}

/// A request while it is put together.
pub(super) struct Request<'a> {
    stream: &'a StreamName,
    partition: u32,
    place: &'a Place,
    deadline: Instant,
    records: Builder,
    id: FrameId,
}

impl<'a> Request<'a> {
    pub(super) fn new(stream: &'a StreamName, partition: u32, place: &'a Place, deadline: Instant) -> Self {
        let records = Builder::new(Tip::START, Timestamp::NEVER);
        Self { stream, partition, place, deadline, records, id: FrameId::default() }
    }

    pub(super) fn push(&mut self, record: &NewRecord) {
        self.records.push(record);
    }

    /// Whose id this is, asks.
    pub(super) fn signed(self, id: FrameId) -> Self {
        Self { id, ..self }
    }

    pub(super) fn encode(self) -> Bytes {
        let (stream, place) = (self.stream.as_str().as_bytes(), self.place.js_stream.as_bytes());
        let frame = self.records.finish(self.id).raw();
        let left = self.deadline.saturating_duration_since(Instant::now()).as_millis();
        let mut out = BytesMut::with_capacity(FIXED + stream.len() + place.len() + frame.len());
        // Both names are far shorter than their length's type could say.
        out.put_u16_le(u16::try_from(stream.len()).unwrap_or(u16::MAX));
        out.put_u16_le(u16::try_from(place.len()).unwrap_or(u16::MAX));
        out.put_u32_le(self.partition);
        out.put_u32_le(u32::try_from(left).unwrap_or(u32::MAX));
        out.put_slice(stream);
        out.put_slice(place);
        out.put_slice(&frame);
        out.freeze()
    }
}

/// A request that has come.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: Tag,
    pub(super) stream: StreamName,
    pub(super) partition: u32,
    /// The JetStream stream's name.
    pub(super) place: String,
    pub(super) milliseconds: u32,
    pub(super) records: Vec<NewRecord>,
}

impl Asked {
    /// Reads a request; the error says what is wrong with it.
    pub(super) fn decode(mut raw: Bytes) -> Result<Self, &'static str> {
        if raw.len() < FIXED {
            return Err("too short");
        }
        let (stream_len, place_len) = (usize::from(raw.get_u16_le()), usize::from(raw.get_u16_le()));
        let (partition, milliseconds) = (raw.get_u32_le(), raw.get_u32_le());
        if raw.len() < stream_len + place_len {
            return Err("too short for its names");
        }
        let (stream, place) = (raw.split_to(stream_len), raw.split_to(place_len));
        let stream = std::str::from_utf8(&stream).ok().and_then(|name| StreamName::new(name).ok());
        let stream = stream.ok_or("no stream's name")?;
        let place = String::from_utf8(place.to_vec()).map_err(|_| "no place's name")?;
        let frame: Arc<Frame> = Frame::decode(0, raw).map_err(|(_, what)| what)?;
        let records: Option<Vec<_>> = (0..frame.len()).map(|index| frame.new_record(index)).collect();
        let records = records.filter(|records| !records.is_empty()).ok_or("no records to append")?;
        Ok(Self { from: Tag::of(&frame.head.id), stream, partition, place, milliseconds, records })
    }
}

/// Why handed calls are not stored, or not known to be.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// Certainly not, and never will be by this request: whoever asked may append them itself.
    NotTaken(String),
    /// Nor here: too much is waiting.
    Busy,
    UnknownStream,
    Corrupt {
        file: String,
        at: u64,
        what: String,
    },
    Unavailable(String),
}

impl From<LogError> for Refusal {
    /// For calls that had been taken.
    fn from(error: LogError) -> Self {
        match error {
            LogError::Busy => Self::Busy,
            LogError::UnknownStream(_) => Self::UnknownStream,
            LogError::Corrupt { file, at, what } => Self::Corrupt { file, at, what },
            LogError::Unavailable(why) => Self::Unavailable(why),
            LogError::UnknownPartition { .. } | LogError::InvalidConfig(_) | LogError::TooLarge { .. } => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// Who stores the partition's appends, as far as the answering node knows.
    pub(super) by: Tag,
    pub(super) outcome: Result<Vec<Position>, Refusal>,
}

impl Reply {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(answer_len(self.outcome.as_ref().map_or(0, Vec::len)));
        out.put_slice(&self.by.0);
        match &self.outcome {
            Ok(positions) => {
                out.put_u8(STORED);
                for position in positions {
                    out.put_i64_le(position.sequence_number);
                    out.put_i64_le(position.offset);
                    out.put_i64_le(position.enqueued_time.as_micros());
                }
            }
            Err(refusal) => {
                out.put_u8(REFUSED);
                out.put_slice(&serde_json::to_vec(refusal).unwrap_or_default());
            }
        }
        out.freeze()
    }

    /// `None`: nobody can read it.
    pub(super) fn decode(mut raw: Bytes) -> Option<Self> {
        if raw.len() < REPLY_FIXED {
            return None;
        }
        let mut by = Tag([0; TAG_LEN]);
        raw.copy_to_slice(&mut by.0);
        let outcome = match raw.get_u8() {
            STORED if raw.len().is_multiple_of(POSITION_LEN) => {
                let mut positions = Vec::with_capacity(raw.len() / POSITION_LEN);
                while raw.has_remaining() {
                    positions.push(Position {
                        sequence_number: raw.get_i64_le(),
                        offset: raw.get_i64_le(),
                        enqueued_time: Timestamp::from_micros(raw.get_i64_le()),
                    });
                }
                Ok(positions)
            }
            REFUSED => Err(serde_json::from_slice(&raw).ok()?),
            _ => return None,
        };
        Some(Self { by, outcome })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::super::super::names::Place;
    use super::{Asked, Refusal, Reply, Request, Tag};
    use crate::log::{IdempotencyKey, NewRecord, Position, StreamName};

    fn request() -> (Bytes, Vec<NewRecord>, Place) {
        let stream = StreamName::new("ns/hub.1").expect("a valid name");
        let place = Place::new("pollux", &stream, "0123456789abcdef", 3);
        let records: Vec<_> = [(None, "a", None), (Some(""), "", Some([3; 16])), (Some("ä"), "ccc", None)]
            .into_iter()
            .map(|(key, payload, id): (Option<&str>, &'static str, Option<[u8; 16]>)| NewRecord {
                partition_key: key.map(Into::into),
                payload: Bytes::from_static(payload.as_bytes()),
                idempotency_key: id.map(IdempotencyKey),
            })
            .collect();
        let mut request =
            Request::new(&stream, 3, &place, Instant::now() + std::time::Duration::from_secs(4));
        for record in &records {
            request.push(record);
        }
        (request.signed([9; 16]).encode(), records, place)
    }

    #[test]
    fn requests_come_back() {
        let (raw, records, place) = request();
        let asked = Asked::decode(raw).expect("what was written");
        assert_eq!((asked.from, asked.partition, asked.stream.as_str()), (Tag([9; 8]), 3, "ns/hub.1"));
        assert_eq!((asked.place, asked.records), (place.js_stream, records));
        assert!((3000..=4000).contains(&asked.milliseconds), "{}", asked.milliseconds);
    }

    #[test]
    fn replies_come_back() {
        let position = Position {
            sequence_number: 7,
            offset: 900,
            enqueued_time: pollux_model::Timestamp::from_micros(-3),
        };
        let corrupt = Refusal::Corrupt { file: "f".to_owned(), at: 3, what: "w".to_owned() };
        let outcomes = [
            Ok(vec![]),
            Ok(vec![position, position]),
            Err(Refusal::NotTaken("why".to_owned())),
            Err(Refusal::Busy),
            Err(Refusal::UnknownStream),
            Err(corrupt),
            Err(Refusal::Unavailable("why".to_owned())),
        ];
        for outcome in outcomes {
            let reply = Reply { by: Tag([4; 8]), outcome };
            assert_eq!(Reply::decode(reply.encode()), Some(reply));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Asked::decode(Bytes::from(raw.clone())).is_err());
            drop(Reply::decode(Bytes::from(raw)));
        }

        #[test]
        fn a_damaged_request_is_refused_or_names_another_place(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let (raw, records, place) = request();
            let mut damaged = raw.to_vec();
            let at = at.index(damaged.len());
            damaged[at] = to;
            let names = super::FIXED + "ns/hub.1".len() + place.js_stream.len();
            let same = raw == damaged;
            if let Ok(asked) = Asked::decode(Bytes::from(damaged)) {
                prop_assert!((at < names || same) && asked.records == records);
            }
            prop_assert!(Asked::decode(raw.slice(..at)).is_err());
        }
    }
}
