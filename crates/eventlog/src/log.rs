//! The contract of an event log: [`EventLog`], the nouns it speaks of, and its errors.
//!
//! Backends live beside it ([`crate::segment`]); consumer groups, checkpoints and leases live in the store.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pollux_model::Timestamp;

/// Most partitions a stream may have (Azure: "Quotas and limits", Event Hubs standard tier).
pub const MAX_PARTITIONS: u32 = 32;
/// Longest partition key in bytes. Azure allows 128 characters; UTF-8 takes at most four bytes for each.
pub const MAX_PARTITION_KEY_BYTES: usize = 512;
/// How many of a partition's newest keyed records an [`IdempotencyKey`] is compared with, at least.
pub const IDEMPOTENCY_WINDOW: usize = 10_000;

/// The name of a stream: `<namespace>/<event hub>`.
///
/// Both parts are 1 to 256 characters of `A-Z a-z 0-9 . _ -` and begin with a letter or digit (Azure article
/// "Naming rules and restrictions", `Microsoft.EventHub`). Compared byte by byte: callers that take names without
/// regard to case lower them first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

/// The text is no [`StreamName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a stream name: expected `<namespace>/<event hub>`, each 1 to 256 characters of A-Z a-z 0-9 . _ -, \
     the first a letter or digit"
)]
pub struct InvalidStreamName(pub String);

impl StreamName {
    /// Checks `<namespace>/<event hub>`.
    ///
    /// # Errors
    /// [`InvalidStreamName`] when the text breaks the rules above.
    pub fn new(name: &str) -> Result<Self, InvalidStreamName> {
        match name.split_once('/') {
            Some((namespace, hub)) if is_name_part(namespace) && is_name_part(hub) => {
                Ok(Self(name.to_owned()))
            }
            _ => Err(InvalidStreamName(name.to_owned())),
        }
    }

    /// The whole name, `<namespace>/<event hub>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the slash.
    #[must_use]
    pub fn event_hub(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, hub)| hub)
    }
}

fn is_name_part(part: &str) -> bool {
    (1..=256).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && part.as_bytes()[0].is_ascii_alphanumeric()
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for StreamName {
    type Err = InvalidStreamName;

    fn from_str(name: &str) -> Result<Self, InvalidStreamName> {
        Self::new(name)
    }
}

/// How many partitions a stream has and how long it keeps records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// 1 to [`MAX_PARTITIONS`]. May grow later, never shrink.
    pub partitions: u32,
    /// What [`EventLog::trim`] keeps.
    pub retention: Retention,
}

/// What a partition keeps: records younger than `time`, and of those, the newest `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this go.
    pub time: Duration,
    /// Per partition, in stored bytes; `None`: no bound. The newest `bytes` are kept in any case; a backend that
    /// removes in units (segments) may keep up to one unit more.
    pub bytes: Option<u64>,
}

/// Sixteen bytes that name one record for good, chosen by the producer (an outbox row's id, for instance).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

/// A record to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Kept beside the payload, at most [`MAX_PARTITION_KEY_BYTES`]. The caller has already chosen the partition.
    pub partition_key: Option<Box<str>>,
    /// Opaque here; by convention the AMQP message sections that `pollux-amqp` writes.
    pub payload: Bytes,
    /// Set where the append may be retried.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// From 0, dense within the partition: no number is skipped, none is used twice.
    pub sequence_number: i64,
    /// Stable and strictly growing within the partition; neither dense nor comparable between partitions.
    pub offset: i64,
    /// Strictly growing within the partition, in microseconds.
    pub enqueued_time: Timestamp,
    /// As given in [`NewRecord`].
    pub partition_key: Option<Box<str>>,
    /// As given in [`NewRecord`].
    pub payload: Bytes,
}

impl Record {
    /// Where the record stands.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            sequence_number: self.sequence_number,
            offset: self.offset,
            enqueued_time: self.enqueued_time,
        }
    }
}

/// Where a record stands in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// See [`Record::sequence_number`].
    pub sequence_number: i64,
    /// See [`Record::offset`].
    pub offset: i64,
    /// See [`Record::enqueued_time`].
    pub enqueued_time: Timestamp,
}

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest record that is still there.
    Earliest,
    /// After the newest record there is at the moment of the call. A read from here is therefore always empty: a
    /// consumer that wants what comes next asks [`EventLog::partition`] once and goes on by sequence number.
    Latest,
    /// The record with this sequence number (`inclusive`) or the one after it.
    Sequence {
        /// May lie before the oldest (the read begins at the oldest) or after the newest (the read is empty).
        number: i64,
        /// Whether the record with exactly this number is wanted.
        inclusive: bool,
    },
    /// The first record whose offset is `>= offset` (`inclusive`) or `> offset`. -1, exclusive, is the beginning.
    Offset {
        /// Need not be the offset of a record.
        offset: i64,
        /// Whether a record with exactly this offset is wanted.
        inclusive: bool,
    },
    /// The first record enqueued strictly after this moment.
    Enqueued {
        /// The moment.
        after: Timestamp,
    },
}

/// How much one read may return. A read returns at least one record where there is one, even if `bytes` is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most records.
    pub records: usize,
    /// Most bytes of payload, all records together.
    pub bytes: usize,
}

/// A partition as its consumers see it (Event Hubs' `com.microsoft:partition` management reply).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The oldest record there is, or, in an empty partition, the number the next record will get.
    pub begin_sequence_number: i64,
    /// The newest record ever stored, trimmed or not; -1 before the first.
    pub last_sequence_number: i64,
    /// Its offset; -1 before the first.
    pub last_offset: i64,
    /// Its time; [`Timestamp::NEVER`] before the first.
    pub last_enqueued_time: Timestamp,
    /// Whether there is no record to read.
    pub is_empty: bool,
}

/// What [`EventLog::trim`] removed, all streams together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Records.
    pub records: u64,
    /// Stored bytes.
    pub bytes: u64,
}

/// Why a call failed: one variant per thing the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Create the stream first, or answer "not found".
    #[error("there is no stream `{0}`")]
    UnknownStream(StreamName),
    /// Ask for a partition below `count`.
    #[error("stream `{stream}` has no partition {partition}: it has {count}, counted from 0")]
    UnknownPartition {
        /// The stream that exists.
        stream: StreamName,
        /// The partition that does not.
        partition: u32,
        /// How many there are.
        count: u32,
    },
    /// The configuration is refused as a whole; nothing was changed.
    #[error("{0}")]
    InvalidConfig(String),
    /// A record, its key or a call is over the bound; nothing of the call was stored.
    #[error("{what} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// "the record", "the partition key" or "the call".
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Too much is waiting to be stored; nothing of the call was stored. Try again when earlier calls are answered.
    #[error("too many appends are waiting on this partition")]
    Busy,
    /// The disk or the server behind the log failed or is gone. An append that ends so MAY be stored later or not
    /// at all: retry with the same idempotency key, or hand the failure on.
    #[error("the event log is unavailable: {0}")]
    Unavailable(String),
    /// Stored data is damaged. No retry helps; an operator must look at the named place.
    #[error("stored events are damaged at byte {at} of {file}: {what}")]
    Corrupt {
        /// The file (or the backend's name for the place).
        file: String,
        /// Byte position in it.
        at: u64,
        /// What was found.
        what: String,
    },
}

/// A set of streams, each of 1 to 32 partitions, each an append-only sequence of records.
///
/// ```text
///                     begin                    last          appends go here
///                       v                       v            v
///  sequence   . . . .   4     5     6     7     8     (next: 9)
///  offset     . . . .  412   530   648   790   901           strictly growing, with gaps
///  enqueued   . . . .  t4  < t5  < t6  < t7  < t8            strictly growing, in µs
///             \_____/   \___________________________/
///             trimmed    readable: durable, and the same on every read
/// ```
///
/// **Durable.** When [`append`](Self::append) returns `Ok`, its records are on disk (fdatasync has returned) or
/// acknowledged by a majority of servers that have them on disk. They are there after a crash of the process or
/// machine until [`trim`](Self::trim) or [`delete`](Self::delete) removes them. A record MUST NOT be readable
/// before it is durable: no consumer acts on an event that a crash can take back.
///
/// **Ordered.** Records of one call stand next to each other in the order given. Two calls on one partition are
/// stored in the order in which their futures were first polled; this holds for calls in flight at once, so a
/// producer MAY pipeline. When a pipelined call fails, later ones MAY still have been stored. Between partitions
/// there is no order.
///
/// **Atomic.** The records of one call are stored all or none, also across a crash. (Duplicates by key do not
/// count as records of the call.)
///
/// **Idempotent.** A record whose key equals that of one of the partition's last [`IDEMPOTENCY_WINDOW`] keyed
/// records is not stored again; its answer is the original's [`Position`]. This holds within one call, between
/// calls and across restarts. A call that was cut off between storing and answering is therefore safe to retry,
/// as long as it goes to the same partition. The payload is not compared. The key of a trimmed record MAY be
/// forgotten.
///
/// **Bounded.** A producer is held back by waiting for its answers: it SHOULD bound what it has in flight. What is
/// beyond the backend's own bound is refused at once with [`LogError::Busy`], not queued.
///
/// **Stable.** Sequence number, offset and time of a record never change; numbers go on from where they were
/// after trimming, restart, and an empty partition.
///
/// **Readers** never hold back writers or each other. A reader that falls behind trimming goes on at the oldest
/// record left: it sees the gap in the sequence numbers.
///
/// **Cancellation.** Dropping a future of `append` leaves it open whether the records are stored (see
/// idempotency). Dropping the others has no effect on the log, except that `create`, `delete` and `trim` MAY run on
/// to their end.
///
/// Errors: every call MAY return [`LogError::Unavailable`]; those that name a stream return
/// [`LogError::UnknownStream`] or [`LogError::UnknownPartition`]. A backend SHOULD recover from a full disk by
/// itself; it MUST NOT treat a failed fdatasync as if it could be repeated.
#[async_trait]
pub trait EventLog: Send + Sync + fmt::Debug {
    /// Makes the stream, or adopts a changed retention and a greater number of partitions. Creating what is there
    /// already is no error.
    ///
    /// Errors: [`LogError::InvalidConfig`] for 0 or more than [`MAX_PARTITIONS`] partitions or fewer than there are.
    async fn create(&self, stream: &StreamName, config: &StreamConfig) -> Result<(), LogError>;

    /// Removes the stream and all its records. Waiting readers are told ([`LogError::UnknownStream`]). A stream
    /// created later under the same name is a new one and begins at 0. Deleting what is not there is no error.
    async fn delete(&self, stream: &StreamName) -> Result<(), LogError>;

    /// All streams, ordered by name.
    async fn streams(&self) -> Result<Vec<(StreamName, StreamConfig)>, LogError>;

    /// Stores records at the end of a partition and returns when they are durable: one position for each record
    /// given, in that order (for a duplicate, the original's). An empty call returns an empty answer.
    ///
    /// Errors: [`LogError::TooLarge`], [`LogError::Busy`], [`LogError::Unavailable`].
    async fn append(
        &self,
        stream: &StreamName,
        partition: u32,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, LogError>;

    /// Up to `max` records in order; empty at the end of the partition. Does not wait.
    ///
    /// Errors: [`LogError::Corrupt`].
    async fn read(
        &self,
        stream: &StreamName,
        partition: u32,
        from: &ReadFrom,
        max: ReadLimit,
    ) -> Result<Vec<Record>, LogError>;

    /// Returns when the partition has (or had) a durable record with a sequence number greater than
    /// `after_sequence`: at once where that is so already.
    ///
    /// Errors: [`LogError::UnknownStream`] also when the stream is deleted meanwhile.
    async fn wait(&self, stream: &StreamName, partition: u32, after_sequence: i64) -> Result<(), LogError>;

    /// What there is in a partition now.
    async fn partition(&self, stream: &StreamName, partition: u32) -> Result<PartitionInfo, LogError>;

    /// Applies every stream's [`Retention`] as of `now`. Call it from time to time; a read never returns what an
    /// earlier `trim` removed. MAY keep expired records that share a storage unit with younger ones; a partition
    /// whose records have all expired MUST become empty.
    async fn trim(&self, now: Timestamp) -> Result<Trimmed, LogError>;

    /// Whether appends can be expected to succeed: the disk has not failed, the server answers. For readiness probes.
    ///
    /// Errors: [`LogError::Unavailable`] with the reason.
    async fn healthy(&self) -> Result<(), LogError>;

    /// Lets a partition that never had a record begin as if `last` had been its last record and were trimmed: the
    /// next record has the sequence number after it, a greater offset and a later time. For moving an empty partition
    /// from one log to another. Repeating it is no error.
    ///
    /// Errors: [`LogError::InvalidConfig`] for a partition that has, or had, records.
    async fn begin_after(&self, stream: &StreamName, partition: u32, last: Position) -> Result<(), LogError>;

    /// Stores records of another log at the end of a partition, for moving a log. Sequence numbers and times stay as
    /// they are; offsets do where the backend can choose them, otherwise they are its own: readers that move along go
    /// on by sequence number. The first call on a partition that never had a record decides where it begins; the
    /// others go on where the one before ended. Records that are there already (by sequence number) are passed over,
    /// so a call that was cut off can be repeated. Unlike an append, a call MAY be stored in part when it fails.
    ///
    /// Errors: [`LogError::InvalidConfig`] where numbers have a gap, or times or offsets do not grow;
    /// [`LogError::TooLarge`].
    async fn import(&self, stream: &StreamName, partition: u32, records: Vec<Record>)
    -> Result<(), LogError>;
}

/// The records that are not there yet, if they fit behind `last`.
pub(crate) fn check_import(records: &[Record], last: Option<Position>) -> Result<&[Record], LogError> {
    let known = last.map_or(-1, |last| last.sequence_number);
    let rest = &records[records.partition_point(|record| record.sequence_number <= known)..];
    let mut before = last;
    for record in rest {
        let position = record.position();
        let follows = before.is_none_or(|before| {
            before.sequence_number.checked_add(1) == Some(position.sequence_number)
                && before.offset < position.offset
                && before.enqueued_time < position.enqueued_time
        });
        if !follows || position.sequence_number < 0 {
            return Err(LogError::InvalidConfig(format!(
                "the record at {position:?} does not follow the one at {before:?}"
            )));
        }
        before = Some(position);
    }
    Ok(rest)
}
