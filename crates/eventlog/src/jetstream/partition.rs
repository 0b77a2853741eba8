//! A partition as this node knows it, and how it finds out what it does not know.
//!
//! What is known of a partition belongs to one life of its stream: a stream that was deleted and made again has
//! another incarnation, and everything known of the old one is dropped.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use pollux_model::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::catalog::{Catalog, unavailable};
use super::frame::{Frame, Tip};
use super::handover::Hint;
use super::handover::exchange::Exchange;
use super::lane::{Inbox, Writer};
use super::memory::Memory;
use super::names::Place;
use super::wire::{Failure, State, Wire};
use super::{JetStreamOptions, wait};
use crate::log::{LogError, PartitionInfo, StreamName};

/// When frames of others are fewer than these, they are read one by one rather than only the newest.
pub(crate) const FEW: u64 = 32;
/// Before the server is asked once more.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// How often a read begins again because frames were removed under it.
pub(crate) const ATTEMPTS: usize = 8;

/// What all partitions of a log share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) wire: Wire,
    pub(crate) catalog: Catalog,
    pub(crate) options: JetStreamOptions,
    pub(crate) clock: Arc<dyn pollux_model::Clock>,
    pub(crate) frame_ids: super::tag::FrameIds,
    pub(crate) exchange: Exchange,
}

/// What is known of a partition. Frames, not records: those are cut out when they are read.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Counts the lives this node has seen; what is known of another one is worth nothing.
    pub(crate) life: u64,
    pub(crate) place: Arc<Place>,
    /// JetStream sequence of the oldest frame.
    pub(crate) first: u64,
    /// Of the newest; 0: there never was one.
    pub(crate) last: u64,
    pub(crate) tip: Tip,
    /// When the server was last asked for all this.
    pub(crate) asked: Instant,
    /// Bytes of a message, on average.
    pub(crate) average: u64,
    /// The oldest frame, where it has been looked at.
    pub(crate) oldest: Option<Mark>,
}

/// What retention and numbering need to know of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) js: u64,
    pub(crate) base_sequence: i64,
    pub(crate) bytes_before: u64,
    pub(crate) last_enqueued: i64,
}

impl Mark {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            js: frame.js,
            base_sequence: frame.head.base_sequence,
            bytes_before: frame.head.bytes_before,
            last_enqueued: frame.last_enqueued(),
        }
    }
}

/// Held for moments only.
#[derive(Debug)]
pub(crate) struct View {
    life: u64,
    place: Option<Arc<Place>>,
    pub(crate) known: Option<Known>,
    pub(crate) memory: Memory,
}

/// What waiting readers watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) life: u64,
    /// The newest sequence number known; -1 before the first.
    pub(crate) last: i64,
}

/// Why a frame could not be had.
pub(crate) enum Fetch {
    /// It was removed, or the stream is another by now: look again.
    Missing,
    Failed(LogError),
}

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) stream: StreamName,
    pub(crate) number: u32,
    pub(crate) shared: Arc<Shared>,
    pub(crate) view: Mutex<View>,
    pub(crate) signal: watch::Sender<Signal>,
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) writer: tokio::sync::Mutex<Writer>,
    pub(crate) following: wait::Following,
    /// Who writes the partition: held for moments only.
    pub(crate) hint: Mutex<Hint>,
    /// One question at a time: who waits for it takes its answer.
    asking: tokio::sync::Mutex<()>,
}

impl Partition {
    pub(crate) fn new(stream: StreamName, number: u32, shared: Arc<Shared>) -> Self {
        let memory = Memory::new(shared.options.tail_cache_bytes, shared.options.read_ahead_bytes);
        Self {
            stream,
            number,
            shared,
            view: Mutex::new(View { life: 0, place: None, known: None, memory }),
            signal: watch::Sender::new(Signal { life: 0, last: -1 }),
            inbox: Mutex::default(),
            writer: tokio::sync::Mutex::default(),
            following: wait::Following::default(),
            hint: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The partition's names, by the catalog (as this node remembers it).
    pub(crate) async fn place(&self) -> Result<(u64, Arc<Place>), LogError> {
        let found = self.shared.catalog.find(&self.stream, self.number).await;
        match found.and_then(|entry| entry.place(&self.stream, self.number)) {
            Ok(place) => Ok((self.settle(&place), place)),
            Err(error) => {
                if matches!(error, LogError::UnknownStream(_)) {
                    self.retire();
                }
                Err(error)
            }
        }
    }

    /// Makes sure that what is known belongs to this place; the life's number.
    fn settle(&self, place: &Arc<Place>) -> u64 {
        let mut view = self.view.lock();
        if view.place.as_ref() != Some(place) {
            if view.place.is_some() {
                view.life += 1;
            }
            view.place = Some(Arc::clone(place));
            view.known = None;
            view.memory.clear();
            self.signal.send_replace(Signal { life: view.life, last: -1 });
        }
        view.life
    }

    /// The stream is gone: what is known is forgotten, waiting readers are told.
    pub(crate) fn retire(&self) {
        let mut view = self.view.lock();
        if view.place.take().is_some() {
            view.life += 1;
            view.known = None;
            view.memory.clear();
            self.signal.send_replace(Signal { life: view.life, last: -1 });
        }
    }

    /// What is known without asking; asks if that is nothing.
    pub(crate) async fn known(&self, deadline: Instant) -> Result<Known, LogError> {
        self.place().await?;
        let known = self.view.lock().known.clone();
        match known {
            Some(known) => Ok(known),
            None => self.fresh(Instant::now(), deadline).await,
        }
    }

    /// What there is, as the stream's leader knew it at `since` or later.
    pub(crate) async fn fresh(&self, since: Instant, deadline: Instant) -> Result<Known, LogError> {
        loop {
            let (life, place) = self.place().await?;
            let turn = self.asking.lock().await;
            let known = self.view.lock().known.clone();
            if let Some(known) = known.filter(|known| known.life == life && known.asked >= since) {
                return Ok(known);
            }
            let asked = Instant::now();
            let failure = match self.shared.wire.state(&place.js_stream, deadline).await {
                Ok(state) => match self.learn(life, &place, state, asked, deadline).await? {
                    Some(known) => return Ok(known),
                    None => Failure::NoMessage,
                },
                Err(failure) => failure,
            };
            drop(turn);
            if failure != Failure::NoMessage && failure != Failure::Gone {
                return Err(unavailable(&failure));
            }
            // Deleted, made again, without a leader, or trimmed while it was looked at.
            self.shared.catalog.forget(&self.stream);
            if Instant::now() + PAUSE >= deadline {
                return Err(LogError::Unavailable(format!("{}: {failure}", place.js_stream)));
            }
            if self.place().await?.0 == life {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes in what the server said; `None`: it changed meanwhile.
    async fn learn(
        &self,
        life: u64,
        place: &Arc<Place>,
        state: State,
        asked: Instant,
        deadline: Instant,
    ) -> Result<Option<Known>, LogError> {
        if state.messages == 0 && state.last_seq > 0 {
            return Err(LogError::Corrupt {
                file: place.js_stream.clone(),
                at: state.last_seq,
                what: "all messages are gone, and with them the numbers: not even trimming does that"
                    .to_owned(),
            });
        }
        let before =
            self.view.lock().known.as_ref().filter(|known| known.life == life).map(|known| known.last);
        // Without readers here only the newest says what a writer must know.
        let read = self.following.waited_for();
        let from = match before {
            Some(before) if read && state.last_seq.saturating_sub(before) <= FEW => before + 1,
            _ => state.last_seq.max(1),
        };
        let missing = (from..=state.last_seq).map(|js| self.frame(life, place, js, deadline));
        let mut frames = Vec::new();
        for fetched in join_all(missing).await {
            match fetched {
                Ok(frame) => frames.push(frame),
                Err(Fetch::Missing) => return Ok(None),
                Err(Fetch::Failed(error)) => return Err(error),
            }
        }
        Ok(self.install(life, place, state, asked, &frames))
    }

    fn install(
        &self,
        life: u64,
        place: &Arc<Place>,
        state: State,
        asked: Instant,
        frames: &[Arc<Frame>],
    ) -> Option<Known> {
        let mut view = self.view.lock();
        if view.life != life || view.place.as_ref() != Some(place) {
            return None;
        }
        let known = view.known.get_or_insert_with(|| Known {
            life,
            place: Arc::clone(place),
            first: 1,
            last: 0,
            tip: Tip::START,
            asked,
            average: 0,
            oldest: None,
        });
        known.asked = known.asked.max(asked);
        known.average = state.bytes / state.messages.max(1);
        if state.first_seq > known.first {
            known.first = state.first_seq;
            view.memory.drop_before(state.first_seq);
        }
        for frame in frames {
            view.advance(frame);
        }
        self.announce(&view);
        view.known.clone()
    }

    /// A frame that was just stored, by this node or (told by it) another.
    pub(crate) fn stored(&self, life: u64, frame: &Arc<Frame>) {
        let mut view = self.view.lock();
        if view.life == life && view.known.is_some() {
            view.advance(frame);
            self.announce(&view);
        }
    }

    fn announce(&self, view: &View) {
        if let Some(known) = &view.known {
            let now = Signal { life: known.life, last: known.tip.next_sequence - 1 };
            self.signal.send_if_modified(|signal| {
                let newer = *signal != now;
                *signal = now;
                newer
            });
        }
    }

    /// A frame, from memory or from the server. Asks the leader where a replica does not have it (yet).
    pub(crate) async fn frame(
        &self,
        life: u64,
        place: &Place,
        js: u64,
        deadline: Instant,
    ) -> Result<Arc<Frame>, Fetch> {
        {
            let view = self.view.lock();
            if view.life != life {
                return Err(Fetch::Missing);
            }
            if let Some(frame) = view.memory.get(js) {
                return Ok(frame);
            }
        }
        let wire = &self.shared.wire;
        let got = match wire.get(&place.js_stream, js, deadline).await {
            Err(Failure::NoMessage | Failure::Gone) => {
                wire.get_from_leader(&place.js_stream, js, deadline).await.map(|stored| stored.data)
            }
            got => got,
        };
        let raw = got.map_err(|failure| match failure {
            Failure::NoMessage | Failure::Gone => Fetch::Missing,
            other => Fetch::Failed(unavailable(&other)),
        })?;
        Frame::decode(js, raw).map_err(|(at, what)| {
            let file = format!("message {js} of {}", place.js_stream);
            Fetch::Failed(LogError::Corrupt { file, at, what: what.to_owned() })
        })
    }

    /// The oldest frame's mark; `None`: there is no frame, or it was removed meanwhile.
    pub(crate) async fn oldest(&self, known: &Known, deadline: Instant) -> Result<Option<Mark>, Fetch> {
        if known.last == 0 {
            return Ok(None);
        }
        if let Some(mark) = known.oldest.filter(|mark| mark.js == known.first) {
            return Ok(Some(mark));
        }
        let mark = Mark::of(&*self.frame(known.life, &known.place, known.first, deadline).await?);
        let mut view = self.view.lock();
        if let Some(now) = view.known.as_mut().filter(|now| now.life == known.life) {
            now.oldest = Some(mark);
        }
        Ok(Some(mark))
    }

    /// See [`crate::EventLog::partition`].
    pub(crate) async fn info(&self) -> Result<PartitionInfo, LogError> {
        let deadline = self.shared.wire.deadline();
        for _ in 0..ATTEMPTS {
            let known = self.fresh(Instant::now(), deadline).await?;
            let begin = match self.oldest(&known, deadline).await {
                Ok(mark) => mark.map_or(known.tip.next_sequence, |mark| mark.base_sequence),
                Err(Fetch::Missing) => continue,
                Err(Fetch::Failed(error)) => return Err(error),
            };
            return Ok(PartitionInfo {
                begin_sequence_number: begin,
                last_sequence_number: known.tip.next_sequence - 1,
                last_offset: known.tip.last_offset,
                last_enqueued_time: Timestamp::from_micros(known.tip.last_enqueued),
                is_empty: begin == known.tip.next_sequence,
            });
        }
        Err(removed_meanwhile())
    }
}

impl View {
    /// Goes on to a newer frame; an older one changes nothing.
    fn advance(&mut self, frame: &Arc<Frame>) {
        let Some(known) = &mut self.known else { return };
        if frame.js > known.last {
            known.last = frame.js;
            known.tip = frame.tip();
            self.memory.push(frame);
        }
    }
}

/// Time and again, what was to be read was gone.
pub(crate) fn removed_meanwhile() -> LogError {
    LogError::Unavailable("the records were removed while they were read".to_owned())
}
