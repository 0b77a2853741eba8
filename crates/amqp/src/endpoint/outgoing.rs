//! Messages to the peer: split into transfers, within credit and window; and what becomes of them.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::event::{DeliveryId, Event, LinkId, Outgoing, SendError};
use super::incoming::MAX_TAG;
use super::io::{Fault, Io};
use super::link::{End, State as LinkState};
use super::serial::Serial;
use super::session::Session;
use crate::encode;
use crate::frame::{self, FrameType};
use crate::performative::{DeliveryState, Disposition, Error, Role, SenderSettleMode, condition};

/// Bytes a frame with a transfer needs at most besides the payload: frame header 8, descriptor 3, list 3, handle 5,
/// delivery-id 5, tag 34, format 5, and one byte for each of the seven others; rounded up.
const OVERHEAD: usize = 72;

/// A delivery of which the window has left a rest.
#[derive(Debug)]
pub(super) struct Pending {
    handle: u16,
    id: Serial,
    tag: Bytes,
    message_format: u32,
    settled: bool,
    rest: Bytes,
}

/// Deliveries whose end we want to hear of, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Unsettled(VecDeque<(Serial, u16)>);

/// What the transfers of a delivery have in common.
struct Head<'a> {
    handle: u16,
    id: Serial,
    tag: &'a [u8],
    message_format: u32,
    settled: bool,
}

impl Session {
    pub(super) fn send(
        &mut self,
        io: &mut Io,
        id: LinkId,
        delivery: Outgoing<'_>,
    ) -> Result<DeliveryId, SendError> {
        let open = self.remote_window > 0 && self.pending.is_none();
        let link = self.link_mut(id).filter(|link| link.state == LinkState::Attached);
        let Some(link) = link else { return Err(SendError::NotAttached) };
        let End::Sending(sending) = &mut link.end else { return Err(SendError::NotAttached) };
        if delivery.tag.len() > MAX_TAG {
            return Err(SendError::TagTooLong);
        }
        if sending.max_message_size > 0 && delivery.payload.len() as u64 > sending.max_message_size {
            return Err(SendError::TooLarge(sending.max_message_size));
        }
        if io.output_is_full() {
            return Err(SendError::OutputFull);
        }
        if sending.credit == 0 {
            return Err(SendError::NoCredit);
        }
        if !open {
            self.window_wanted = true;
            return Err(SendError::NoWindow);
        }
        let settled = match link.snd_settle_mode {
            SenderSettleMode::Unsettled => false,
            SenderSettleMode::Settled => true,
            SenderSettleMode::Mixed => delivery.settled,
        };
        // Whose end the driver does not want to hear of is done with once it is sent, whatever the wire says.
        let kept = !settled && !delivery.settled;
        if kept && sending.unsettled >= io.limits.max_unsettled {
            return Err(SendError::TooManyUnsettled);
        }
        sending.credit -= 1;
        sending.delivery_count.take();
        sending.unsettled += usize::from(kept);
        let number = self.next_delivery_id.take();
        if kept {
            self.unsettled.0.push_back((number, id.handle));
        }
        let Outgoing { tag, message_format, payload, .. } = delivery;
        let head = Head { handle: id.handle, id: number, tag, message_format, settled };
        let rest = self.write_transfers(io, &head, payload);
        if !rest.is_empty() {
            let tag = Bytes::copy_from_slice(tag);
            let handle = id.handle;
            self.pending = Some(Pending { handle, id: number, tag, message_format, settled, rest });
        }
        Ok(number)
    }

    /// Sends what the window had left, as far as it goes now.
    pub(super) fn send_pending(&mut self, io: &mut Io) {
        let Some(mut pending) = self.pending.take() else { return };
        if self.remote_window > 0 {
            let Pending { handle, id, ref tag, message_format, settled, .. } = pending;
            let head = Head { handle, id, tag, message_format, settled };
            let rest = std::mem::take(&mut pending.rest);
            pending.rest = self.write_transfers(io, &head, rest);
        }
        if !pending.rest.is_empty() {
            self.pending = Some(pending);
        }
    }

    /// Writes transfers until the payload or the window ends; returns the rest. At least one is written.
    fn write_transfers(&mut self, io: &mut Io, head: &Head<'_>, mut payload: Bytes) -> Bytes {
        let room = io.max_frame.saturating_sub(OVERHEAD).max(1);
        loop {
            let more = payload.len() > room;
            let chunk = if more { payload.split_to(room) } else { std::mem::take(&mut payload) };
            io.output.reserve(OVERHEAD + chunk.len());
            frame::write(&mut io.output, FrameType::Amqp, self.id.channel, |out| {
                write_transfer(out, head, more);
                out.put_slice(&chunk);
            });
            io.wrote = true;
            self.next_outgoing_id.take();
            self.remote_window -= 1;
            if !more || self.remote_window == 0 {
                return payload;
            }
        }
    }

    /// The peer tells what became of what we sent.
    pub(super) fn on_receiver_disposition(
        &mut self,
        io: &mut Io,
        disposition: Disposition,
    ) -> Result<(), Fault> {
        let first = Serial(disposition.first);
        let last = Serial(disposition.last.unwrap_or(disposition.first));
        if last.is_before(first) {
            let text = format!("disposition.last {last} comes before disposition.first {first}");
            return Err(Fault::Session(Error::new(condition::INVALID_FIELD, text)));
        }
        let decided = disposition.state.as_ref().is_some_and(DeliveryState::is_outcome);
        if !disposition.settled && !decided {
            return Ok(());
        }
        let found = self.unsettled.range(first, last);
        let settled: Vec<_> = self.unsettled.0.drain(found).collect();
        if !disposition.settled {
            self.settle_unheard(io, &settled, (first, last), &disposition);
        }
        self.tell_settled(io, &settled, &disposition);
        Ok(())
    }

    /// The receiver waits for us to settle. Of deliveries that the driver hears of it says when
    /// ([`super::Endpoint::confirm`]); of the others, and of those that we have forgotten, the receiver's word is enough.
    fn settle_unheard(
        &self,
        io: &mut Io,
        heard: &[(Serial, u16)],
        (first, last): (Serial, Serial),
        theirs: &Disposition,
    ) {
        // Said many times where there are many gaps: then without what may be long.
        let short =
            |state: &DeliveryState| matches!(state, DeliveryState::Accepted | DeliveryState::Released);
        let state = theirs.state.as_ref().filter(|state| heard.is_empty() || short(state));
        let mut write = |first: Serial, end: Serial| {
            if first.is_before(end) {
                let (role, settled, batchable) = (Role::Sender, true, false);
                let last = end.since(first) - 1;
                let last = (last > 0).then(|| first.plus(last).0);
                let (first, state) = (first.0, state.cloned());
                io.write(self.id.channel, &Disposition { role, first, last, settled, state, batchable });
            }
        };
        let mut from = first;
        for (id, _) in heard {
            write(from, *id);
            from = id.plus(1);
        }
        write(from, last.plus(1));
    }

    /// Settles deliveries that the receiver has decided about.
    pub(super) fn confirm(
        &self,
        io: &mut Io,
        (first, last): (DeliveryId, DeliveryId),
        state: Option<DeliveryState>,
    ) {
        let (role, settled, batchable) = (Role::Sender, true, false);
        let (first, last) = (first.0, (first != last).then_some(last.0));
        io.write(self.id.channel, &Disposition { role, first, last, settled, state, batchable });
    }

    /// One event for each run of consecutive deliveries of one link.
    fn tell_settled(&mut self, io: &mut Io, settled: &[(Serial, u16)], theirs: &Disposition) {
        let follows = |a: &(Serial, u16), b: &(Serial, u16)| a.1 == b.1 && a.0.plus(1) == b.0;
        for run in settled.chunk_by(follows) {
            let (Some((first, handle)), Some((last, _))) = (run.first(), run.last()) else { continue };
            let Some(link) = self.links.get_mut(usize::from(*handle)).and_then(Option::as_deref_mut) else {
                continue;
            };
            if let End::Sending(sending) = &mut link.end {
                sending.unsettled = sending.unsettled.saturating_sub(run.len());
            }
            let (state, waits) = (theirs.state.clone(), !theirs.settled);
            io.emit(Event::Settled { link: link.id, first: *first, last: *last, state, waits });
        }
    }

    /// Forgets the deliveries of a link that goes.
    pub(super) fn drop_deliveries(&mut self, io: &mut Io, handle: u16) {
        self.unsettled.0.retain(|(_, other)| *other != handle);
        if self.pending.as_ref().is_some_and(|pending| pending.handle == handle) {
            self.pending = None;
            self.tell_window(io);
        }
        let link = self.links.get_mut(usize::from(handle)).and_then(Option::as_deref_mut);
        if let Some(End::Receiving(receiving)) = link.map(|link| &mut link.end) {
            receiving.unsettled = VecDeque::new();
            if let Some(partial) = receiving.partial.take() {
                io.partial_bytes -= partial.payload.len();
            }
        }
    }
}

impl Unsettled {
    /// The places of the deliveries from `first` to `last`.
    fn range(&self, first: Serial, last: Serial) -> std::ops::Range<usize> {
        let start = self.0.partition_point(|(id, _)| id.is_before(first));
        let end = self.0.partition_point(|(id, _)| !last.is_before(*id));
        start..end.max(start)
    }
}

/// A transfer with all its eleven fields; see [`crate::performative::Transfer`] for their order. Written by hand: this is
/// what the server does most.
fn write_transfer(out: &mut BytesMut, head: &Head<'_>, more: bool) {
    const NULL: u8 = 0x40;
    const TRUE: u8 = 0x41;
    const FALSE: u8 = 0x42;
    out.put_slice(&[0x00, 0x53, 0x14]);
    encode::compound(out, 0xc0, 11, |out| {
        encode::uint(out, head.handle.into());
        encode::uint(out, head.id.0);
        encode::variable(out, 0xa0, head.tag);
        encode::uint(out, head.message_format);
        let flag = |flag| if flag { TRUE } else { FALSE };
        out.put_slice(&[flag(head.settled), flag(more), NULL, NULL, FALSE, FALSE, FALSE]);
    });
}
