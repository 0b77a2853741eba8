//! What goes in and out of an endpoint, whichever session it concerns: output, events, and the bounds on both.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::event::Event;
use super::limits::Limits;
use crate::composite::Composite;
use crate::frame::{self, FrameType};
use crate::performative::Error;
use crate::sasl::SaslFrame;

/// What an event weighs besides the bytes it holds.
const EVENT_WEIGHT: usize = 64;
/// Queues that grew beyond this many places are given back once they are empty, for the sake of idle connections.
const KEPT_CAPACITY: usize = 64;

/// A rule or bound the peer broke, and what ends with it.
#[derive(Debug)]
pub(super) enum Fault {
    Connection(Error),
    Session(Error),
    /// The link with this handle of ours.
    Link(u16, Error),
}

#[derive(Debug)]
pub(super) struct Io {
    pub(super) limits: Arc<Limits>,
    pub(super) output: BytesMut,
    events: VecDeque<(Event, usize)>,
    event_bytes: usize,
    /// Bytes of the frame at hand; the first event that comes of it carries them.
    pub(super) frame_bytes: usize,
    /// Bytes of messages that are not complete.
    pub(super) partial_bytes: usize,
    /// Longest frame the peer takes, in bytes.
    pub(super) max_frame: usize,
    /// Something did not fit into a frame.
    pub(super) overflow: bool,
    /// Something was written since the flag was last cleared.
    pub(super) wrote: bool,
    /// A session's window is to be opened again.
    pub(super) replenish: bool,
    /// A session has dispositions to write.
    pub(super) settling: bool,
}

impl Io {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        let max_frame = limits.max_frame_size as usize;
        Self {
            limits,
            output: BytesMut::new(),
            events: VecDeque::new(),
            event_bytes: 0,
            frame_bytes: 0,
            partial_bytes: 0,
            max_frame,
            overflow: false,
            wrote: false,
            replenish: false,
            settling: false,
        }
    }

    /// Whether the driver has to take something before more is read.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= self.limits.max_events.max(1)
            || self.event_bytes >= self.limits.max_event_bytes
            || self.output_is_full()
    }

    pub(super) fn output_is_full(&self) -> bool {
        self.output.len() >= self.limits.max_output
    }

    pub(super) fn emit(&mut self, event: Event) {
        let bytes = std::mem::take(&mut self.frame_bytes);
        self.emit_weighing(event, bytes);
    }

    /// As [`Self::emit`], for an event that holds other bytes than those of the frame at hand.
    pub(super) fn emit_weighing(&mut self, event: Event, bytes: usize) {
        let weight = bytes + EVENT_WEIGHT;
        self.event_bytes += weight;
        self.events.push_back((event, weight));
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        let (event, weight) = self.events.pop_front()?;
        self.event_bytes -= weight;
        if self.events.is_empty() && self.events.capacity() > KEPT_CAPACITY {
            self.events = VecDeque::new();
        }
        Some(event)
    }

    pub(super) fn write<T: Composite>(&mut self, channel: u16, performative: &T) {
        let start = self.output.len();
        let size = frame::write(&mut self.output, FrameType::Amqp, channel, |out| performative.encode(out));
        self.wrote = true;
        if size > self.max_frame {
            self.output.truncate(start);
            self.overflow = true;
        }
    }

    pub(super) fn write_sasl(&mut self, sasl: &SaslFrame) {
        frame::write(&mut self.output, FrameType::Sasl, 0, |out| sasl.encode(out));
    }

    pub(super) fn write_bytes(&mut self, bytes: &[u8]) {
        self.output.put_slice(bytes);
    }

    /// An empty frame.
    pub(super) fn write_heartbeat(&mut self) {
        frame::write(&mut self.output, FrameType::Amqp, 0, |_| {});
    }
}
