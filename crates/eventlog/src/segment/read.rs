//! Reads: from memory on the caller's thread where possible, from disk on a blocking thread where not.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::commit::max_frame;
use super::file::{Mark, Segment};
use super::partition::{Partition, View};
use super::scan::{Scanner, Step};
use crate::log::{LogError, ReadFrom, ReadLimit, Record};
use crate::span::{Meter, Start};

/// How much a cold read fetches at least (as far as there is so much): one reader far behind goes to the disk once
/// for several of its calls.
const FETCH: u64 = 512 * 1024;
/// How often a cold read starts again because trim removed the file under it.
const ATTEMPTS: usize = 8;

impl Partition {
    /// See [`crate::EventLog::read`].
    pub(crate) async fn read(
        self: &Arc<Self>,
        from: &ReadFrom,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let start = {
            let view = self.view.read();
            let Some(start) = resolve(from, &view) else { return Ok(Vec::new()) };
            if limit.records == 0 || is_past(start, &view) {
                return Ok(Vec::new());
            }
            if let Some(records) = view.cache.read(start, view.begin(), limit) {
                return Ok(records);
            }
            start
        };
        if let Some(records) = self.ahead.lock().take(start, limit) {
            return Ok(records);
        }
        let partition = Arc::clone(self);
        tokio::task::spawn_blocking(move || partition.read_cold(start, limit))
            .await
            .map_err(|error| LogError::Unavailable(format!("the read was cut off: {error}")))?
    }

    fn read_cold(&self, start: Start, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        for _ in 0..ATTEMPTS {
            match self.fetch(start, limit) {
                Ok(mut fetched) => {
                    let mut meter = Meter::new(limit);
                    let mut out = Vec::new();
                    while fetched.front().is_some_and(|record| meter.admit(record)) {
                        out.extend(fetched.pop_front());
                    }
                    self.ahead.lock().keep(fetched);
                    return Ok(out);
                }
                Err(Fetch::Trimmed) => {}
                Err(Fetch::Failed(error)) => return Err(error),
            }
        }
        Err(LogError::Unavailable("the records were removed while they were read".to_owned()))
    }

    /// Reads records from `start` on until there is enough for the limit and some more, or no more.
    fn fetch(&self, start: Start, limit: ReadLimit) -> Result<VecDeque<Record>, Fetch> {
        let range = self.segments_from(start);
        let mut out = VecDeque::new();
        let (mut fetched, mut bytes) = (0, 0);
        for (segment, end) in range {
            let file =
                self.shared.disk.open(&segment.path).map_err(|error| self.classify(&segment, &error))?;
            let at = segment.file_position(segment.floor(start));
            let limit_frame = max_frame(self.shared.options.max_record_bytes);
            let mut scanner = Scanner::new(&*file, at, segment.file_position(end), limit_frame);
            loop {
                let at = scanner.at();
                let offset = segment.offset_at(at);
                let what = match scanner.step().map_err(|error| self.classify(&segment, &error))? {
                    Step::Frame(frame) => {
                        segment.note(Mark { sequence: frame.sequence, offset, enqueued: frame.enqueued });
                        let record = frame.into_record(offset);
                        if !start.is_after(&record) {
                            // Counted as stored, so that empty payloads do not go on for ever.
                            fetched += scanner.at() - at;
                            bytes += record.payload.len();
                            out.push_back(record);
                        }
                        if fetched >= FETCH && (bytes >= limit.bytes || out.len() >= limit.records) {
                            return Ok(out);
                        }
                        continue;
                    }
                    Step::End => break,
                    Step::Blank => "zeroes where a record should be",
                    Step::Bad(what) => what,
                };
                let file = segment.path.display().to_string();
                return Err(Fetch::Failed(LogError::Corrupt { file, at, what: what.to_owned() }));
            }
        }
        Ok(out)
    }

    /// The segments that hold `start` and what follows, each with the offset of its durable end.
    fn segments_from(&self, start: Start) -> Vec<(Arc<Segment>, i64)> {
        let view = self.view.read();
        let after = view.segments.partition_point(|segment| match start {
            Start::Sequence(number) => segment.header.first_sequence <= number,
            Start::Offset(offset) => segment.header.base_offset <= offset,
            Start::After(moment) => segment.header.previous_enqueued <= moment.as_micros(),
        });
        // Enough segments for any one fetch; the reader comes back for more.
        let first = after.saturating_sub(1);
        (first..view.segments.len())
            .take(64)
            .map(|at| (Arc::clone(&view.segments[at]), view.end_of(at)))
            .collect()
    }

    /// A file that cannot be read because trim removed it is no failure.
    fn classify(&self, segment: &Segment, error: &io::Error) -> Fetch {
        let gone = error.kind() == io::ErrorKind::NotFound
            && segment.header.first_sequence < self.view.read().begin();
        if gone {
            return Fetch::Trimmed;
        }
        Fetch::Failed(LogError::Unavailable(format!("cannot read {}: {error}", segment.path.display())))
    }
}

/// Why a fetch ended early.
enum Fetch {
    Trimmed,
    Failed(LogError),
}

/// Brings the start down to one of three kinds; `None`: nothing there can be after it.
fn resolve(from: &ReadFrom, view: &View) -> Option<Start> {
    let begin = view.begin();
    match *from {
        ReadFrom::Earliest => Some(Start::Sequence(begin)),
        ReadFrom::Latest => None,
        ReadFrom::Sequence { number, inclusive } => {
            let first = if inclusive { number } else { number.checked_add(1)? };
            Some(Start::Sequence(first.max(begin)))
        }
        ReadFrom::Offset { offset, inclusive } => {
            Some(Start::Offset(if inclusive { offset } else { offset.checked_add(1)? }))
        }
        ReadFrom::Enqueued { after } => Some(Start::After(after)),
    }
}

/// Whether no durable record can match: spares the reader at the end any look at the disk.
fn is_past(start: Start, view: &View) -> bool {
    let tip = view.tip;
    if view.begin() == tip.next_sequence {
        return true;
    }
    match start {
        Start::Sequence(number) => number >= tip.next_sequence,
        Start::Offset(offset) => offset > tip.last_offset,
        Start::After(moment) => moment.as_micros() >= tip.last_enqueued,
    }
}
