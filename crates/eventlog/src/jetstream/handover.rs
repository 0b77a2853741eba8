//! Handing appends over: of several nodes that append to a partition, one becomes its writer.
//!
//! ```text
//! this node: inbox -> frame refused, the other's was there -> hello -> all groups of calls from then on
//!                                                               |          |  ^ positions, and who stored them
//! the writer:                                                   here       v  |
//!                                                                inbox -> its own frames
//! ```
//!
//! Correctness stays with the expected last sequence: who the writer is, is a hint. A node whose frame was overtaken
//! by one that precedes it ([`Tag::precedes`]) hands its calls to that one, which may hand them on in turn; each hand-
//! over goes to one that precedes, so there are no circles. The hint is dropped when the other node has gone, does
//! not answer, or says that it has not taken the calls; then this node appends itself, and is overtaken again where
//! somebody else is at it.
//!
//! Nothing is stored twice: after a hand-over a node appends the calls itself only if they certainly were not taken.
//! Where that cannot be known the callers are told [`LogError::Unavailable`], as they are of an uncertain publish; a
//! key counts wherever it comes from, for every writer knows all that is stored.
//!
//! Order is kept as in `lane`, whose step this is: one group of a partition is under way at a time, whether it is
//! handed over or published.
//!
//! Readers here see what was acknowledged without further ado: they ask the stream's leader, and who waits for records
//! is told by the writer's notice.

pub(crate) mod exchange;
mod message;
pub(crate) mod serve;

use std::time::Duration;

use tokio::time::Instant;

use self::message::{Refusal, Reply, Request};
use super::lane::{Call, Work};
use super::names::Place;
use super::partition::Partition;
use super::tag::Tag;
use super::wire::Failure;
use crate::log::{LogError, Position};

/// How long a node may take to say that it is there, before it is handed anything.
const HELLO: Duration = Duration::from_secs(1);
/// How long nothing is handed to a node that has gone or has not taken what it was handed.
const SHUN: Duration = Duration::from_secs(2);
/// And to one that was silent.
const SHUN_SILENT: Duration = Duration::from_secs(30);

/// Who writes the partition, as far as this node knows.
#[derive(Debug, Default)]
pub(crate) struct Hint {
    life: u64,
    /// A node that precedes this one; `None`: this node appends itself.
    writer: Option<Tag>,
    /// Whether it has said that it is there.
    greeted: bool,
    shunned: Option<(Tag, Instant)>,
}

impl Hint {
    /// Who it is in this life of the stream, and whether it has said that it is there.
    fn writer(&self, life: u64) -> Option<(Tag, bool)> {
        Some((self.writer?, self.greeted)).filter(|_| self.life == life)
    }

    /// Takes in that this node has stored a frame.
    fn learn(&mut self, life: u64, writer: Tag, now: Instant) {
        let shunned = self.shunned.is_some_and(|(tag, until)| tag == writer && now < until);
        if !shunned && self.writer(life).is_none_or(|(known, _)| known != writer) {
            *self = Self { life, writer: Some(writer), greeted: false, shunned: self.shunned };
        }
    }

    fn greeted(&mut self, writer: Tag) {
        self.greeted |= self.writer == Some(writer);
    }

    /// From now on this node appends itself, and for a time hands that one nothing.
    fn forget(&mut self, writer: Tag, until: Instant) {
        self.writer = self.writer.filter(|known| *known != writer);
        self.shunned = Some((writer, until));
    }
}

/// What became of calls that were handed over.
enum Handed {
    /// They are stored; by whom, at last.
    Stored(Vec<Position>, Tag),
    /// Certainly not taken.
    NotTaken,
    /// What their callers are told; the flag: whether the other node is still taken for the writer.
    Failed(LogError, bool),
}

impl Partition {
    /// A frame of this node was overtaken by one of `by`.
    pub(crate) fn overtaken_by(&self, life: u64, place: &Place, by: Tag) {
        if by.precedes(self.shared.exchange.own(), &place.js_stream) {
            self.hint.lock().learn(life, by, Instant::now());
        }
    }

    /// Whoever stores this node's appends.
    pub(crate) fn writer_tag(&self) -> Tag {
        self.hint.lock().writer.unwrap_or(self.shared.exchange.own())
    }

    /// Hands the calls to the partition's writer; the positions of each. `None`: this node appends them itself.
    pub(crate) async fn hand_over(
        &self,
        calls: &[Call],
        deadline: Instant,
    ) -> Result<Option<Vec<Vec<Position>>>, LogError> {
        if self.hint.lock().writer.is_none() {
            return Ok(None);
        }
        let (life, place) = self.place().await?;
        let exchange = &self.shared.exchange;
        let Some((to, greeted)) = self.hint.lock().writer(life).filter(|_| exchange.is_open()) else {
            return Ok(None);
        };
        let Some(request) = self.request(&place, calls, deadline) else { return Ok(None) };
        if !greeted && let Err(failure) = exchange.hello(to, deadline.min(Instant::now() + HELLO)).await {
            tracing::debug!(partition = %place.js_stream, to = %to.hex(), %failure, "no hand-over");
            let shun = if failure == Failure::Gone { SHUN } else { SHUN_SILENT };
            return self.append_here(to, shun, deadline).await;
        }
        self.hint.lock().greeted(to);
        match self.handed(exchange.ask(to, request.encode(), deadline).await) {
            Handed::Stored(positions, by) => {
                self.stored_by(life, &place, to, by);
                divide(calls, positions).map(Some)
            }
            Handed::NotTaken => self.append_here(to, SHUN, deadline).await,
            Handed::Failed(error, still) => {
                if !still {
                    let now = Instant::now();
                    let shun = if now < deadline { SHUN } else { SHUN_SILENT };
                    self.hint.lock().forget(to, now + shun);
                }
                Err(error)
            }
        }
    }

    /// `None`: the calls are too many for one message or its answer.
    fn request<'a>(&'a self, place: &'a Place, calls: &'a [Call], deadline: Instant) -> Option<Request<'a>> {
        let records = || {
            calls.iter().flat_map(|call| match &call.work {
                Work::Append(records) => records.as_slice(),
                Work::Seal { .. } | Work::Import(_) | Work::Begin(_) => &[],
            })
        };
        let room = self.shared.max_call_bytes();
        (message::answer_len(records().count()) <= room).then(|| {
            let mut request = Request::new(&self.stream, self.number, place, deadline);
            for record in records() {
                request.push(record);
            }
            request.signed(self.shared.frame_ids.next())
        })
    }

    fn handed(&self, answer: Result<Reply, Failure>) -> Handed {
        match answer {
            Ok(Reply { by, outcome: Ok(positions) }) => Handed::Stored(positions, by),
            Ok(Reply { outcome: Err(refusal), .. }) => match refusal {
                Refusal::NotTaken(why) => {
                    tracing::debug!(stream = %self.stream, partition = self.number, why, "not taken");
                    Handed::NotTaken
                }
                Refusal::Busy => Handed::Failed(LogError::Busy, true),
                Refusal::UnknownStream => Handed::Failed(LogError::UnknownStream(self.stream.clone()), true),
                Refusal::Corrupt { file, at, what } => {
                    Handed::Failed(LogError::Corrupt { file, at, what }, false)
                }
                // Whatever keeps the other node from storing need not keep this one.
                Refusal::Unavailable(why) => Handed::Failed(LogError::Unavailable(why), false),
            },
            Err(Failure::Gone | Failure::Refused(_)) => Handed::NotTaken,
            Err(failure) => Handed::Failed(super::catalog::unavailable(&failure), false),
        }
    }

    /// The other node is no writer any more. What this node knows of the partition is out of date by now.
    async fn append_here<T>(
        &self,
        not_to: Tag,
        shun: Duration,
        deadline: Instant,
    ) -> Result<Option<T>, LogError> {
        self.hint.lock().forget(not_to, Instant::now() + shun);
        self.fresh(Instant::now(), deadline).await?;
        Ok(None)
    }

    /// Where the next group goes, when one was stored by `by`.
    fn stored_by(&self, life: u64, place: &Place, to: Tag, by: Tag) {
        self.shared.exchange.count_handed_over();
        if by != to && by.precedes(to, &place.js_stream) {
            self.hint.lock().learn(life, by, Instant::now());
        }
    }
}

/// Gives each call its positions.
fn divide(calls: &[Call], positions: Vec<Position>) -> Result<Vec<Vec<Position>>, LogError> {
    let wanted: usize = calls.iter().map(Call::records).sum();
    if positions.len() != wanted {
        let why = format!("the writer answered {} positions for {wanted} records", positions.len());
        return Err(LogError::Unavailable(why));
    }
    let mut positions = positions.into_iter();
    Ok(calls.iter().map(|call| positions.by_ref().take(call.records()).collect()).collect())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Hint, SHUN, Tag};

    #[test]
    fn a_hint_is_of_one_life_and_a_node_that_has_gone_is_left_alone_for_a_while() {
        let (mut hint, now) = (Hint::default(), Instant::now());
        let (a, b) = (Tag([1; 8]), Tag([2; 8]));
        assert_eq!(hint.writer(0), None);
        hint.learn(0, a, now);
        assert_eq!((hint.writer(0), hint.writer(1)), (Some((a, false)), None));
        hint.greeted(b);
        assert_eq!(hint.writer(0), Some((a, false)));
        hint.greeted(a);
        hint.learn(0, a, now);
        assert_eq!(hint.writer(0), Some((a, true)), "what is known already changes nothing");
        hint.learn(0, b, now);
        assert_eq!(hint.writer(0), Some((b, false)));
        hint.forget(b, now + SHUN);
        hint.learn(0, b, now);
        assert_eq!(hint.writer(0), None);
        hint.learn(1, a, now);
        assert_eq!(hint.writer(1), Some((a, false)));
        hint.learn(1, b, now + SHUN);
        assert_eq!(hint.writer(1), Some((b, false)));
    }
}
