//! Reading: from memory where the newest frames cover it, otherwise frame by frame from the server, many at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::frame::Frame;
use super::partition::{ATTEMPTS, Fetch, Known, Partition, removed_meanwhile};
use crate::log::{LogError, ReadFrom, ReadLimit, Record};
use crate::span::{Meter, Start};

/// How long a reader that goes on from where it was is answered from memory without asking the server whether
/// another node trimmed or deleted what it reads (it is told, but that may be lost).
const LEASE: Duration = Duration::from_secs(1);
/// Bytes of frames asked for at once.
const CHUNK_BYTES: usize = 512 * 1024;
/// Frames asked for at once.
const CHUNK_FRAMES: usize = 64;

impl Partition {
    /// See [`crate::EventLog::read`].
    pub(crate) async fn read(&self, from: &ReadFrom, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let mut asked = Instant::now();
        self.place().await?;
        let Some(start) = resolve(from) else { return Ok(Vec::new()) };
        if limit.records == 0 {
            return Ok(Vec::new());
        }
        if let Some(records) = self.read_on(start, limit) {
            return Ok(records);
        }
        let deadline = self.shared.wire.deadline();
        for _ in 0..ATTEMPTS {
            let known = self.fresh(asked, deadline).await?;
            if is_past(start, &known) {
                return Ok(Vec::new());
            }
            let remembered = {
                let view = self.view.lock();
                view.known
                    .as_ref()
                    .filter(|now| now.life == known.life)
                    .and_then(|now| view.memory.read_tail(start, now.first, limit))
            };
            if let Some(records) = remembered {
                return Ok(records);
            }
            match self.read_cold(&known, start, limit).await {
                Ok(records) => return Ok(records),
                Err(Fetch::Missing) => asked = Instant::now(),
                Err(Fetch::Failed(error)) => return Err(error),
            }
        }
        Err(removed_meanwhile())
    }

    /// The answer to a reader that keeps up, if there is something for it.
    fn read_on(&self, start: Start, limit: ReadLimit) -> Option<Vec<Record>> {
        if !matches!(start, Start::Sequence(_)) {
            return None;
        }
        let view = self.view.lock();
        let known = view.known.as_ref().filter(|known| known.asked.elapsed() < LEASE)?;
        view.memory.read_tail(start, known.first, limit).filter(|records| !records.is_empty())
    }

    async fn read_cold(&self, known: &Known, start: Start, limit: ReadLimit) -> Result<Vec<Record>, Fetch> {
        let mut js = self.locate(known, start).await?;
        let mut meter = Meter::new(limit);
        let mut out: Vec<Record> = Vec::new();
        let mut bytes = 0;
        while js <= known.last {
            // Not more frames than records are wanted: none has fewer than one (but the one that trim leaves).
            let wanted = limit.records.saturating_sub(out.len()).clamp(1, self.chunk(known));
            let end = known.last.min(js + wanted as u64 - 1);
            for frame in self.frames(known, js, end).await? {
                let more = frame.collect(start, &mut meter, &mut out);
                bytes += frame.footprint();
                if !more {
                    self.remember_cursor(known, &out, frame.js);
                    return Ok(out);
                }
            }
            js = end + 1;
            // Records without payload cost nothing by the caller's count, but memory all the same.
            if !out.is_empty() && (out.len() >= limit.records || bytes >= limit.bytes.max(CHUNK_BYTES)) {
                break;
            }
        }
        self.remember_cursor(known, &out, js);
        Ok(out)
    }

    fn remember_cursor(&self, known: &Known, out: &[Record], js: u64) {
        let mut view = self.view.lock();
        if let Some(last) = out.last()
            && view.known.as_ref().is_some_and(|now| now.life == known.life)
        {
            view.memory.set_cursor(last.sequence_number + 1, js);
        }
    }

    /// Frames that are worth asking for at once.
    pub(crate) fn chunk(&self, known: &Known) -> usize {
        let average = usize::try_from(known.average).unwrap_or(usize::MAX).max(1);
        (CHUNK_BYTES.min(self.shared.options.read_ahead_bytes) / average).clamp(1, CHUNK_FRAMES)
    }

    /// The frames from `from` to `to`, kept for readers that come back for the rest.
    async fn frames(&self, known: &Known, from: u64, to: u64) -> Result<Vec<Arc<Frame>>, Fetch> {
        let deadline = self.shared.wire.deadline();
        let wanted = (from..=to).map(|js| self.frame(known.life, &known.place, js, deadline));
        let frames = join_all(wanted).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut view = self.view.lock();
        if view.known.as_ref().is_some_and(|now| now.life == known.life) {
            for frame in &frames {
                view.memory.keep(frame);
            }
        }
        Ok(frames)
    }

    /// The newest frame that does not begin after the start (or the oldest there is).
    async fn locate(&self, known: &Known, start: Start) -> Result<u64, Fetch> {
        if let Start::Sequence(number) = start
            && let Some(js) = self.view.lock().memory.cursor(number)
            && (known.first..=known.last).contains(&js)
        {
            return Ok(js);
        }
        let deadline = self.shared.wire.deadline();
        self.search(known, |frame| frame.covers(start), deadline).await
    }

    /// The newest frame of which `holds` is true, where that is true of all older ones; the oldest if of none.
    pub(crate) async fn search(
        &self,
        known: &Known,
        holds: impl Fn(&Frame) -> bool,
        deadline: Instant,
    ) -> Result<u64, Fetch> {
        let (mut low, mut high) = (known.first, known.last);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let frame = self.frame(known.life, &known.place, middle, deadline).await?;
            if holds(&frame) { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }
}

/// Brings the start down to one of three kinds; `None`: nothing there can be after it.
fn resolve(from: &ReadFrom) -> Option<Start> {
    match *from {
        ReadFrom::Earliest => Some(Start::Sequence(i64::MIN)),
        ReadFrom::Latest => None,
        ReadFrom::Sequence { number, inclusive } => {
            Some(Start::Sequence(if inclusive { number } else { number.checked_add(1)? }))
        }
        ReadFrom::Offset { offset, inclusive } => {
            Some(Start::Offset(if inclusive { offset } else { offset.checked_add(1)? }))
        }
        ReadFrom::Enqueued { after } => Some(Start::After(after)),
    }
}

/// Whether no stored record can match.
fn is_past(start: Start, known: &Known) -> bool {
    let tip = known.tip;
    known.last == 0
        || match start {
            Start::Sequence(number) => number >= tip.next_sequence,
            Start::Offset(offset) => offset > tip.last_offset,
            Start::After(moment) => moment.as_micros() >= tip.last_enqueued,
        }
}
