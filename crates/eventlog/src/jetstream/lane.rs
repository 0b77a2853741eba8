//! The writer of a partition: what waits in its inbox becomes one frame, published under compare-and-set.
//!
//! ```text
//! inbox -> (hand over to another node: see `handover`) or
//!          stage on the newest frame -> publish (expecting that frame to be the last) -> show, answer
//!             ^                             |-- another frame came first: read it and stage again
//!             |_____________________________|-- no answer: look whether the frame is there; if not, publish again
//! ```
//!
//! One task per partition, there while something waits, with at most one frame in flight: so calls are stored in the
//! order in which they came, and the busier the partition, the larger its frames. A frame is stored at most once,
//! however often it is published: it expects one certain frame to be the last.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::MutexGuard;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::catalog::unavailable;
use super::frame::{Builder, Frame};
use super::partition::{Fetch, Known, PAUSE, Partition};
use super::tag::Tag;
use super::turns::Turns;
use super::wire::Failure;
use crate::keys::KeyWindow;
use crate::log::{IdempotencyKey, LogError, NewRecord, Position, Record};

/// Records of several calls are put into one frame up to this size.
const GROUP_BYTES: usize = 512 * 1024;
/// And up to this many.
const GROUP_RECORDS: usize = 8192;
/// The part of the time for a call after which an unanswered publish is looked into.
const TRIES: u32 = 3;

/// What is to be done in its turn.
#[derive(Debug)]
pub(crate) enum Work {
    /// Store records.
    Append(Vec<NewRecord>),
    /// Carry the numbers on in an empty frame, if this frame is still the last one.
    Seal { last: u64 },
    /// Store records as they were elsewhere.
    Import(Vec<Record>),
    /// Let a partition that never had a record begin after this one.
    Begin(Position),
}

/// One call on its way to the writer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Vec<Position>, LogError>>,
}

impl Call {
    pub(crate) fn records(&self) -> usize {
        if let Work::Append(records) = &self.work { records.len() } else { 0 }
    }
}

/// Calls that wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    calls: VecDeque<Call>,
    bytes: usize,
    running: bool,
}

/// What the writer knows beyond what readers know.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) life: u64,
    /// The keys up to frame `keys_upto`; `None`: not loaded.
    pub(crate) keys: Option<KeyWindow>,
    pub(crate) keys_upto: u64,
    turns: Turns,
}

/// How publishing a frame ended.
pub(crate) enum Outcome {
    /// It is stored, as this message.
    Stored(u64),
    /// Another frame (whose, where that is known) has its place, or the stream is another one: it never will be.
    Overtaken(Option<Tag>),
}

/// A frame that is put together, and the answers it will give.
struct Staged {
    builder: Builder,
    keys: Vec<IdempotencyKey>,
    answers: Vec<Vec<Position>>,
}

impl Partition {
    /// Hands a call to the writer. Calls are stored in the order in which they come through here.
    pub(crate) fn enqueue(self: &Arc<Self>, call: Call) -> Result<(), LogError> {
        let mut inbox = self.inbox.lock();
        if !inbox.calls.is_empty() && inbox.bytes + call.bytes > self.shared.options.queue_bytes {
            return Err(LogError::Busy);
        }
        inbox.bytes += call.bytes;
        inbox.calls.push_back(call);
        if !inbox.running {
            inbox.running = true;
            tokio::spawn(Arc::clone(self).run());
        }
        Ok(())
    }

    /// Hands over what is not an append, and waits for its end.
    pub(crate) async fn perform(self: &Arc<Self>, work: Work, bytes: usize) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Call { work, bytes, deadline: self.shared.wire.deadline(), reply })?;
        answer.await.map_err(|_| ended())?.map(drop)
    }

    async fn run(self: Arc<Self>) {
        let answer_all = Ending(&self);
        let mut writer = self.writer.lock().await;
        while let Some(calls) = take(self.inbox.lock(), self.shared.wire.client.max_payload()) {
            self.store(&mut writer, calls).await;
        }
        std::mem::forget(answer_all);
    }

    /// Stores the calls as one frame and answers each.
    async fn store(&self, writer: &mut Writer, calls: Vec<Call>) {
        // The oldest call's time: it has waited already.
        let deadline = calls.iter().map(|call| call.deadline).min().unwrap_or_else(Instant::now);
        let stored = match &calls[0].work {
            Work::Append(_) => self.append(writer, &calls, deadline).await,
            Work::Seal { last } => self.seal(*last, deadline).await,
            Work::Import(records) => self.import(records, deadline).await,
            Work::Begin(position) => self.begin_after(*position, deadline).await,
        };
        match stored {
            Ok(answers) => {
                for (call, positions) in calls.into_iter().zip(answers) {
                    let _ = call.reply.send(Ok(positions));
                }
            }
            Err(error) => {
                for call in calls {
                    let _ = call.reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn append(
        &self,
        writer: &mut Writer,
        calls: &[Call],
        deadline: Instant,
    ) -> Result<Vec<Vec<Position>>, LogError> {
        let keyed = calls.iter().any(has_key);
        loop {
            if let Some(answers) = self.hand_over(calls, deadline).await? {
                return Ok(answers);
            }
            let known = self.in_turn(writer, deadline).await?;
            if keyed && !self.load_keys(writer, &known, deadline).await? {
                self.fresh(Instant::now(), deadline).await?;
                continue;
            }
            let Staged { builder, keys, answers } = self.stage(writer, &known, calls);
            if builder.is_empty() {
                // Nothing to store is the answer only if the stream is still the one whose keys these are.
                let now = self.fresh(Instant::now(), deadline).await?;
                if now.life == known.life {
                    return Ok(answers);
                }
                continue;
            }
            let frame = builder.finish(self.shared.frame_ids.next());
            let begun = Instant::now();
            let outcome = self.publish(&known, &frame, deadline).await;
            match outcome {
                Ok(Outcome::Stored(js)) => {
                    metrics::counter!("pollux_events_frames_total").increment(1);
                    self.show(&known, frame, js);
                    writer.stored(known.last, js, keys);
                    writer.turns.stored(js, begun.elapsed(), Instant::now());
                    return Ok(answers);
                }
                Ok(Outcome::Overtaken(by)) => {
                    metrics::counter!("pollux_events_frames_overtaken_total").increment(1);
                    writer.turns.overtaken(Instant::now());
                    writer.forget(keys);
                    if let Some(by) = by {
                        self.overtaken_by(known.life, &known.place, by);
                    }
                }
                Err(error) => {
                    writer.forget(keys);
                    return Err(error);
                }
            }
        }
    }

    /// What is known when it is this node's turn.
    async fn in_turn(&self, writer: &mut Writer, deadline: Instant) -> Result<Known, LogError> {
        let mut known = self.known(deadline).await?;
        writer.settle(known.life);
        if let Some(until) = writer.turns.wait(known.last, Instant::now()) {
            tokio::time::sleep_until(until.min(deadline)).await;
            // Somebody is likely to have been there: asking is cheaper than a frame that is refused.
            known = self.fresh(Instant::now(), deadline).await?;
            writer.settle(known.life);
            writer.turns.wait(known.last, Instant::now());
        }
        Ok(known)
    }

    /// Puts the calls' records into a frame; those whose key is known are answered with the original.
    fn stage(&self, writer: &mut Writer, known: &Known, calls: &[Call]) -> Staged {
        let mut builder = Builder::new(known.tip, self.shared.clock.now());
        let (mut keys, mut answers) = (Vec::new(), Vec::with_capacity(calls.len()));
        for call in calls {
            let Work::Append(records) = &call.work else { continue };
            let mut positions = Vec::with_capacity(records.len());
            for record in records {
                let original = record.idempotency_key.and_then(|key| writer.keys.as_ref()?.get(key));
                let position = original.unwrap_or_else(|| builder.push(record));
                if original.is_none()
                    && let (Some(key), Some(window)) = (record.idempotency_key, &mut writer.keys)
                {
                    window.stage(key, position);
                    keys.push(key);
                }
                positions.push(position);
            }
            answers.push(positions);
        }
        Staged { builder, keys, answers }
    }

    /// Publishes until it is certain whether the frame is stored, or the time is up.
    pub(crate) async fn publish(
        &self,
        known: &Known,
        frame: &Frame,
        deadline: Instant,
    ) -> Result<Outcome, LogError> {
        let wire = &self.shared.wire;
        loop {
            let attempt = deadline.min(Instant::now() + wire.timeout / TRIES);
            let sent = wire.publish(&known.place.subject, frame.raw(), known.last, attempt).await;
            let failure = match sent {
                Ok(js) => return Ok(Outcome::Stored(js)),
                Err(failure) => failure,
            };
            if Instant::now() >= deadline || matches!(failure, Failure::Refused(_)) {
                return Err(unavailable(&failure));
            }
            let now = self.fresh(Instant::now(), deadline).await?;
            if now.life != known.life {
                return Ok(Outcome::Overtaken(None));
            }
            if now.last > known.last {
                return self.who_came_first(known, frame, deadline).await;
            }
            if !matches!(failure, Failure::Uncertain(_)) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whose frame has the place this one was for.
    async fn who_came_first(
        &self,
        known: &Known,
        frame: &Frame,
        deadline: Instant,
    ) -> Result<Outcome, LogError> {
        let js = known.last + 1;
        match self.frame(known.life, &known.place, js, deadline).await {
            Ok(first) if first.head.id == frame.head.id => Ok(Outcome::Stored(js)),
            Ok(first) => Ok(Outcome::Overtaken(Some(Tag::of(&first.head.id)))),
            Err(Fetch::Missing) => Err(LogError::Unavailable(
                "the answer was lost, and what was stored meanwhile is trimmed already".to_owned(),
            )),
            Err(Fetch::Failed(error)) => Err(error),
        }
    }

    /// The frame is stored: readers see it, other nodes are told.
    pub(crate) fn show(&self, known: &Known, mut frame: Frame, js: u64) {
        frame.js = js;
        self.stored(known.life, &Arc::new(frame));
        self.notify(&known.place, js);
    }

    /// See [`Work::Seal`].
    async fn seal(&self, last: u64, deadline: Instant) -> Result<Vec<Vec<Position>>, LogError> {
        let known = self.known(deadline).await?;
        if known.last == last {
            let frame = Builder::new(known.tip, self.shared.clock.now()).finish(self.shared.frame_ids.next());
            if let Outcome::Stored(js) = self.publish(&known, &frame, deadline).await? {
                self.show(&known, frame, js);
            }
        }
        Ok(vec![Vec::new()])
    }
}

impl Writer {
    fn settle(&mut self, life: u64) {
        if self.life != life {
            *self = Self { life, ..Self::default() };
        }
    }

    fn stored(&mut self, before: u64, js: u64, keys: Vec<IdempotencyKey>) {
        if let Some(window) = &mut self.keys {
            window.settle(keys);
            // Otherwise frames of others in between have not been looked at yet.
            if self.keys_upto == before {
                self.keys_upto = js;
            }
        }
    }

    fn forget(&mut self, keys: Vec<IdempotencyKey>) {
        if let Some(window) = &mut self.keys {
            window.forget(keys);
        }
    }
}

/// The calls that go into the next frame; `None`: nothing waits, and the task ends.
fn take(mut inbox: MutexGuard<'_, Inbox>, max_payload: usize) -> Option<Vec<Call>> {
    let Some(first) = inbox.calls.pop_front() else {
        inbox.running = false;
        return None;
    };
    let limit = GROUP_BYTES.min(super::limits::frame_limit(max_payload));
    let (mut bytes, mut records) = (first.bytes, first.records());
    let mut calls = vec![first];
    if matches!(calls[0].work, Work::Append(_)) {
        while let Some(next) = inbox.calls.front() {
            bytes += next.bytes;
            records += next.records();
            if !matches!(next.work, Work::Append(_)) || bytes > limit || records > GROUP_RECORDS {
                break;
            }
            calls.extend(inbox.calls.pop_front());
        }
    }
    inbox.bytes -= calls.iter().map(|call| call.bytes).sum::<usize>();
    Some(calls)
}

fn has_key(call: &Call) -> bool {
    matches!(&call.work, Work::Append(records) if records.iter().any(|record| record.idempotency_key.is_some()))
}

pub(crate) fn ended() -> LogError {
    LogError::Unavailable("the writer has ended".to_owned())
}

/// Should the task be cut off, nobody waits for it for ever, and the next call starts another one.
struct Ending<'a>(&'a Partition);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut inbox = self.0.inbox.lock();
        if inbox.running {
            *inbox = Inbox::default();
        }
    }
}
