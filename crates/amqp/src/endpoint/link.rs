//! One end of a link: its state, and the credit on it (part 2, section 2.6).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::event::{Attached, LinkId, LinkOptions};
use super::limits::Limits;
use super::serial::Serial;
use crate::performative::{Attach, AttachTarget, Role, SenderSettleMode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The peer attached; our answer is due.
    Asked,
    /// We attached; the peer's answer is due.
    Asking,
    /// The peer answered without a source or target; its detach comes.
    Refused,
    Attached,
    /// We detached; the peer's detach is due, and all else is ignored.
    Leaving,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) name: String,
    pub(super) state: State,
    /// The peer's handle, once it is known.
    pub(super) remote_handle: Option<u32>,
    pub(super) snd_settle_mode: SenderSettleMode,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    Sending(Sending),
    Receiving(Receiving),
}

/// The end that sends.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) delivery_count: Serial,
    pub(super) credit: u32,
    pub(super) drain: bool,
    /// How many of its deliveries the session lists as not settled.
    pub(super) unsettled: usize,
    /// In bytes; 0: no bound.
    pub(super) max_message_size: u64,
}

/// The end that receives.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    pub(super) delivery_count: Serial,
    pub(super) credit: u32,
    /// The highest count ever allowed: what the peer sent before it heard of less credit is no offence.
    pub(super) granted_until: Serial,
    pub(super) draining: bool,
    /// In the order they came, which is that of their numbers.
    pub(super) unsettled: VecDeque<Serial>,
    pub(super) last_delivery: Option<Serial>,
    pub(super) partial: Option<Partial>,
    /// In bytes.
    pub(super) max_message_size: u64,
}

/// A message of which a part has arrived.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) id: Serial,
    pub(super) tag: Bytes,
    pub(super) message_format: u32,
    pub(super) settled: bool,
    pub(super) payload: BytesMut,
    /// Bytes that are counted and not kept, once it is too long.
    pub(super) dropped: usize,
}

impl Link {
    pub(super) fn new(id: LinkId, name: String, role: Role, state: State) -> Self {
        let end = match role {
            Role::Sender => End::Sending(Sending::default()),
            Role::Receiver => End::Receiving(Receiving::default()),
        };
        Self { id, name, state, remote_handle: None, snd_settle_mode: SenderSettleMode::Mixed, end }
    }

    pub(super) fn role(&self) -> Role {
        match self.end {
            End::Sending(_) => Role::Sender,
            End::Receiving(_) => Role::Receiver,
        }
    }

    /// Takes in what the peer's attach says of the other end.
    pub(super) fn learn(&mut self, attach: &Attach) {
        self.remote_handle = Some(attach.handle);
        match &mut self.end {
            End::Sending(sending) => sending.max_message_size = attach.max_message_size.unwrap_or(0),
            End::Receiving(receiving) => {
                receiving.delivery_count = Serial(attach.initial_delivery_count.unwrap_or(0));
                receiving.granted_until = receiving.delivery_count;
            }
        }
    }

    /// Our attach for this link.
    pub(super) fn attach(&mut self, options: LinkOptions, limits: &Limits) -> Attach {
        self.snd_settle_mode = options.snd_settle_mode;
        let (initial_delivery_count, max_message_size) = match &mut self.end {
            End::Sending(sending) => (Some(sending.delivery_count.0), options.max_message_size),
            End::Receiving(receiving) => {
                let asked = options.max_message_size.filter(|size| *size > 0).unwrap_or(u64::MAX);
                receiving.max_message_size = asked.min(limits.max_message_size);
                (None, Some(receiving.max_message_size))
            }
        };
        Attach {
            name: self.name.clone(),
            handle: self.id.handle.into(),
            role: self.role(),
            snd_settle_mode: options.snd_settle_mode,
            rcv_settle_mode: options.rcv_settle_mode,
            source: options.source,
            target: options.target.map(AttachTarget::Node),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count,
            max_message_size,
            offered_capabilities: options.offered_capabilities,
            desired_capabilities: options.desired_capabilities,
            properties: options.properties,
        }
    }
}

impl Sending {
    /// Takes in a receiver's flow: it counts from what it had seen when it wrote it.
    pub(super) fn learn_credit(&mut self, delivery_count: Option<u32>, link_credit: u32, drain: bool) {
        let seen = Serial(delivery_count.unwrap_or(0));
        self.credit = link_credit.saturating_sub(self.delivery_count.since(seen));
        self.drain = drain;
    }
}

impl Receiving {
    /// Lets the peer send `credit` messages from here on.
    pub(super) fn grant(&mut self, credit: u32) {
        self.credit = credit;
        let until = self.delivery_count.plus(credit);
        if self.granted_until.is_before(until) {
            self.granted_until = until;
        }
    }

    /// Takes in a sender's flow: it may have skipped some credit. Returns whether a drain has ended with it.
    pub(super) fn learn_count(&mut self, delivery_count: Option<u32>) -> bool {
        let Some(count) = delivery_count.map(Serial) else { return false };
        let skipped = count.since(self.delivery_count);
        if self.delivery_count.is_before(count) && skipped <= self.credit {
            self.delivery_count = count;
            self.credit -= skipped;
        }
        std::mem::take(&mut self.draining) && {
            self.draining = self.credit > 0;
            !self.draining
        }
    }

    /// Forgets the deliveries from `first` to `last`.
    pub(super) fn forget(&mut self, first: Serial, last: Serial) {
        self.unsettled.retain(|id| id.is_before(first) || last.is_before(*id));
    }
}

/// What the driver is told of an attach.
pub(super) fn attached(attach: Attach, link: &Link, session: super::event::SessionId) -> Attached {
    Attached {
        session,
        link: link.id,
        name: attach.name,
        role: link.role(),
        source: attach.source,
        target: match attach.target {
            Some(AttachTarget::Node(target)) => Some(target),
            Some(AttachTarget::Coordinator) | None => None,
        },
        snd_settle_mode: attach.snd_settle_mode,
        rcv_settle_mode: attach.rcv_settle_mode,
        initial_delivery_count: attach.initial_delivery_count,
        max_message_size: attach.max_message_size,
        offered_capabilities: attach.offered_capabilities,
        desired_capabilities: attach.desired_capabilities,
        properties: attach.properties,
    }
}
