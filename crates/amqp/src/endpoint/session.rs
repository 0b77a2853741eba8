//! One session: its windows, its handles, and the flows on it (part 2, section 2.5).
//!
//! Attach and detach are in [`super::attach`], messages in [`super::incoming`] and [`super::outgoing`].

use super::event::{Event, LinkId, SessionId};
use super::incoming::Settling;
use super::io::{Fault, Io};
use super::link::{End, Link, State as LinkState};
use super::outgoing::{Pending, Unsettled};
use super::serial::Serial;
use crate::performative::{Begin, Error, Flow, condition};

/// Transfers we say we can send; no peer holds us to it.
const OUTGOING_WINDOW: u32 = i32::MAX as u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// We began it; the peer's begin is due.
    Beginning,
    Mapped,
    /// We ended it; the peer's end is due, and all else is ignored.
    Ending,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) state: State,
    pub(super) remote_channel: Option<u16>,
    /// Highest handle the peer takes.
    pub(super) handle_max: u32,
    /// By our handle.
    pub(super) links: Vec<Option<Box<Link>>>,
    /// The peer's handles to ours.
    pub(super) handles: Vec<Option<u16>>,

    pub(super) next_incoming_id: Serial,
    pub(super) incoming_window: u32,
    pub(super) settling: Option<Settling>,

    pub(super) next_outgoing_id: Serial,
    pub(super) remote_window: u32,
    pub(super) next_delivery_id: Serial,
    pub(super) unsettled: Unsettled,
    pub(super) pending: Option<Pending>,
    /// The driver was told that the window is closed.
    pub(super) window_wanted: bool,
}

impl Session {
    pub(super) fn new(id: SessionId, state: State, io: &Io) -> Self {
        Self {
            id,
            state,
            remote_channel: None,
            handle_max: 0,
            links: Vec::new(),
            handles: Vec::new(),
            next_incoming_id: Serial(0),
            incoming_window: io.limits.incoming_window,
            settling: None,
            next_outgoing_id: Serial(0),
            remote_window: 0,
            next_delivery_id: Serial(0),
            unsettled: Unsettled::default(),
            pending: None,
            window_wanted: false,
        }
    }

    /// Takes in the peer's begin.
    pub(super) fn learn(&mut self, begin: &Begin, remote_channel: u16) {
        self.remote_channel = Some(remote_channel);
        self.handle_max = begin.handle_max;
        self.next_incoming_id = Serial(begin.next_outgoing_id);
        self.remote_window = begin.incoming_window;
    }

    /// Our begin; with `answers`, the channel of the begin it answers.
    pub(super) fn write_begin(&self, io: &mut Io, answers: Option<u16>) {
        let begin = Begin {
            remote_channel: answers,
            next_outgoing_id: self.next_outgoing_id.0,
            incoming_window: self.incoming_window,
            outgoing_window: OUTGOING_WINDOW,
            handle_max: u32::from(io.limits.max_links.max(1)) - 1,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: crate::composite::Fields::default(),
        };
        io.write(self.id.channel, &begin);
    }

    /// The attached or attaching link of an id that is still good.
    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        if self.state != State::Mapped {
            return None;
        }
        let link = self.links.get_mut(usize::from(id.handle))?.as_deref_mut()?;
        (link.id == id).then_some(link)
    }

    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        let link = self.links.get(usize::from(id.handle))?.as_deref()?;
        (link.id == id && self.state == State::Mapped).then_some(link)
    }

    /// Our handle for one of the peer's.
    pub(super) fn local_handle(&self, remote: u32) -> Result<u16, Fault> {
        let index = usize::try_from(remote).unwrap_or(usize::MAX);
        self.handles.get(index).copied().flatten().ok_or_else(|| {
            Fault::Session(Error::new(
                condition::SESSION_UNATTACHED_HANDLE,
                format!("no link is attached with handle {remote}: attach it first"),
            ))
        })
    }

    pub(super) fn on_flow(&mut self, io: &mut Io, flow: Flow) -> Result<(), Fault> {
        self.next_incoming_id = Serial(flow.next_outgoing_id);
        let seen = Serial(flow.next_incoming_id.unwrap_or(0));
        self.remote_window = flow.incoming_window.saturating_sub(self.next_outgoing_id.since(seen));
        self.send_pending(io);
        self.tell_window(io);
        let Some(remote) = flow.handle else {
            if flow.echo {
                self.write_flow(io, None);
            }
            return Ok(());
        };
        let handle = self.local_handle(remote)?;
        self.on_link_flow(io, handle, flow);
        Ok(())
    }

    fn on_link_flow(&mut self, io: &mut Io, handle: u16, flow: Flow) {
        let Some(link) = self.links.get_mut(usize::from(handle)).and_then(Option::as_deref_mut) else {
            return;
        };
        if !matches!(link.state, LinkState::Attached | LinkState::Asked) {
            return;
        }
        match &mut link.end {
            End::Sending(sending) => {
                if let Some(credit) = flow.link_credit {
                    sending.learn_credit(flow.delivery_count, credit, flow.drain);
                }
                // Before the driver has agreed to the link it is not told; it is when it agrees.
                if link.state == LinkState::Attached {
                    let (credit, drain) = (sending.credit, sending.drain);
                    io.emit(Event::Credit { link: link.id, credit, drain, properties: flow.properties });
                }
            }
            End::Receiving(receiving) => {
                if receiving.learn_count(flow.delivery_count) {
                    io.emit(Event::Drained(link.id));
                }
            }
        }
        if flow.echo && link.state == LinkState::Attached {
            self.write_flow(io, Some(handle));
        }
    }

    /// Tells the driver that it can send again, if it had been told that it cannot.
    pub(super) fn tell_window(&mut self, io: &mut Io) {
        if self.window_wanted && self.remote_window > 0 && self.pending.is_none() {
            self.window_wanted = false;
            io.emit(Event::WindowOpened(self.id));
        }
    }

    /// Opens our window again when half of it is used up. Called when all that was read is handled: whatever the peer had
    /// sent by then, it sent before it could hear of more.
    pub(super) fn replenish(&mut self, io: &mut Io) {
        let window = io.limits.incoming_window;
        if self.state == State::Mapped && self.incoming_window <= window / 2 {
            self.incoming_window = window;
            self.write_flow(io, None);
        }
    }

    /// Our flow, with the state of one link or of none.
    pub(super) fn write_flow(&self, io: &mut Io, handle: Option<u16>) {
        let mut flow = Flow {
            next_incoming_id: Some(self.next_incoming_id.0),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id.0,
            outgoing_window: OUTGOING_WINDOW,
            ..Flow::default()
        };
        if let Some(link) = handle.and_then(|handle| self.links.get(usize::from(handle))?.as_deref()) {
            flow.handle = Some(link.id.handle.into());
            let (count, credit, drain) = match &link.end {
                End::Sending(sending) => (sending.delivery_count, sending.credit, sending.drain),
                End::Receiving(receiving) => (receiving.delivery_count, receiving.credit, receiving.draining),
            };
            (flow.delivery_count, flow.link_credit, flow.drain) = (Some(count.0), Some(credit), drain);
        }
        io.write(self.id.channel, &flow);
    }

    /// Drops all links and deliveries; returns how many bytes of incomplete messages went with them.
    pub(super) fn release(&mut self) -> usize {
        let links = std::mem::take(&mut self.links);
        self.handles = Vec::new();
        self.unsettled = Unsettled::default();
        (self.pending, self.settling) = (None, None);
        let partial = links.iter().flatten().filter_map(|link| match &link.end {
            End::Receiving(receiving) => receiving.partial.as_ref(),
            End::Sending(_) => None,
        });
        partial.map(|partial| partial.payload.len()).sum()
    }
}
