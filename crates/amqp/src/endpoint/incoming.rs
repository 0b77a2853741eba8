//! Messages from the peer: transfers become deliveries, deliveries are settled (part 2, sections 2.6.12 and 2.6.14).

use bytes::{Bytes, BytesMut};

use super::event::{Delivery, DeliveryId, Event, LinkId};
use super::io::{Fault, Io};
use super::link::{End, Partial, Receiving, State as LinkState};
use super::serial::Serial;
use super::session::Session;
use crate::performative::{DeliveryState, Disposition, Error, Role, Transfer, condition};

/// How many times the longest message a delivery may have before its link is detached.
const ENDLESS: u64 = 16;
/// Longest delivery tag, in bytes (part 2, section 2.8.7).
pub(super) const MAX_TAG: usize = 32;

/// Deliveries in a row that we settled alike; written as one disposition.
#[derive(Debug)]
pub(super) struct Settling {
    first: Serial,
    last: Serial,
    state: DeliveryState,
}

impl Session {
    pub(super) fn on_transfer(
        &mut self,
        io: &mut Io,
        transfer: Transfer,
        payload: Bytes,
    ) -> Result<(), Fault> {
        let Some(window) = self.incoming_window.checked_sub(1) else {
            let text = "the session's incoming-window is used up: wait for a flow";
            return Err(Fault::Session(Error::new(condition::SESSION_WINDOW_VIOLATION, text)));
        };
        self.incoming_window = window;
        self.next_incoming_id.take();
        io.replenish |= window <= io.limits.incoming_window / 2;
        let handle = self.local_handle(transfer.handle)?;
        let Some(link) = self.links.get_mut(usize::from(handle)).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        if matches!(link.state, LinkState::Leaving | LinkState::Refused) {
            return Ok(());
        }
        let End::Receiving(receiving) = &mut link.end else {
            let text = "a transfer on a link where the peer is the receiver";
            return Err(Fault::Link(handle, Error::new(condition::NOT_ALLOWED, text)));
        };
        let id = link.id;
        if let Some((delivery, error)) = receiving.take(io, id, transfer, payload)? {
            self.settle(io, id, delivery, DeliveryState::rejected(error));
        }
        Ok(())
    }

    /// Settles a delivery; false when it is not, or no longer, to be settled.
    pub(super) fn settle(&mut self, io: &mut Io, link: LinkId, id: DeliveryId, state: DeliveryState) -> bool {
        let Some(link) = self.link_mut(link) else { return false };
        let End::Receiving(receiving) = &mut link.end else { return false };
        if link.state != LinkState::Attached || !receiving.remove(id) {
            return false;
        }
        match &mut self.settling {
            Some(settling) if settling.last.plus(1) == id && settling.state == state => settling.last = id,
            _ => {
                self.flush_settling(io);
                self.settling = Some(Settling { first: id, last: id, state });
                io.settling = true;
            }
        }
        true
    }

    /// Writes the disposition that has been gathered.
    pub(super) fn flush_settling(&mut self, io: &mut Io) {
        let Some(Settling { first, last, state }) = self.settling.take() else { return };
        let disposition = Disposition {
            role: Role::Receiver,
            first: first.0,
            last: Some(last.0),
            settled: true,
            state: Some(state),
            batchable: false,
        };
        io.write(self.id.channel, &disposition);
    }

    /// The peer settles what it sent.
    pub(super) fn on_sender_disposition(&mut self, disposition: &Disposition) {
        if !disposition.settled {
            return;
        }
        let first = Serial(disposition.first);
        let last = Serial(disposition.last.unwrap_or(disposition.first));
        for link in self.links.iter_mut().flatten() {
            if let End::Receiving(receiving) = &mut link.end {
                receiving.forget(first, last);
            }
        }
    }
}

/// A delivery that is to be rejected, and why.
type Rejection = Option<(Serial, Error)>;

impl Receiving {
    fn take(
        &mut self,
        io: &mut Io,
        link: LinkId,
        transfer: Transfer,
        payload: Bytes,
    ) -> Result<Rejection, Fault> {
        match self.partial.take() {
            Some(partial) => self.go_on(io, link, partial, &transfer, &payload),
            None => {
                let first = self.check_first(io, &transfer);
                let id = first.map_err(|error| Fault::Link(link.handle, error))?;
                self.begin(io, link, id, transfer, payload)
            }
        }
    }

    /// The first transfer of a delivery, which is the only one of most.
    fn begin(
        &mut self,
        io: &mut Io,
        link: LinkId,
        id: Serial,
        transfer: Transfer,
        payload: Bytes,
    ) -> Result<Rejection, Fault> {
        self.delivery_count.take();
        self.credit = self.credit.saturating_sub(1);
        self.last_delivery = Some(id);
        if transfer.aborted {
            return Ok(None);
        }
        let tag = transfer.delivery_tag.unwrap_or_default();
        let message_format = transfer.message_format.unwrap_or(0);
        let settled = transfer.settled.unwrap_or(false);
        if transfer.more {
            grow_partial(io, payload.len())?;
            // Copied: a slice would keep all that was read from the socket with it. The tag is, for the same reason.
            let (tag, payload) = (Bytes::copy_from_slice(&tag), BytesMut::from(&payload[..]));
            let dropped = 0;
            let partial = Partial { id, tag, message_format, settled, payload, dropped };
            return self.keep(io, link, partial);
        }
        if payload.len() as u64 > self.max_message_size {
            return self.reject(link, id, settled, payload.len()).map(Some);
        }
        self.deliver(io, Delivery { link, id, tag, message_format, settled, payload });
        Ok(None)
    }

    /// A later transfer of a delivery.
    fn go_on(
        &mut self,
        io: &mut Io,
        link: LinkId,
        mut partial: Partial,
        transfer: &Transfer,
        payload: &Bytes,
    ) -> Result<Rejection, Fault> {
        let so_far = partial.payload.len();
        let fail = |io: &mut Io, error| {
            io.partial_bytes -= so_far;
            Err(Fault::Link(link.handle, error))
        };
        if transfer.delivery_id.is_some_and(|id| id != partial.id.0) {
            let text = format!("delivery {} is not complete: send or abort the rest of it first", partial.id);
            return fail(io, Error::new(condition::INVALID_FIELD, text));
        }
        if transfer.aborted {
            io.partial_bytes -= so_far;
            return Ok(None);
        }
        partial.settled |= transfer.settled.unwrap_or(false);
        if partial.dropped > 0 {
            partial.dropped += payload.len();
        } else {
            grow_partial(io, payload.len())?;
            partial.payload.extend_from_slice(payload);
        }
        if transfer.more {
            return self.keep(io, link, partial);
        }
        io.partial_bytes -= partial.payload.len();
        let Partial { id, tag, message_format, settled, payload, dropped } = partial;
        let size = dropped + payload.len();
        if size as u64 > self.max_message_size {
            return self.reject(link, id, settled, size).map(Some);
        }
        self.deliver(io, Delivery { link, id, tag, message_format, settled, payload: payload.freeze() });
        Ok(None)
    }

    /// Keeps what has come of a delivery until the rest comes. Of one that is too long already only the size is kept: it is
    /// rejected when it is whole, as Azure does it, unless there is no end to it.
    fn keep(&mut self, io: &mut Io, link: LinkId, mut partial: Partial) -> Result<Rejection, Fault> {
        if partial.payload.len() as u64 > self.max_message_size {
            io.partial_bytes -= partial.payload.len();
            partial.dropped = partial.payload.len();
            partial.payload = BytesMut::new();
        }
        if partial.dropped as u64 > self.max_message_size.saturating_mul(ENDLESS) {
            return Err(Fault::Link(link.handle, self.too_long(partial.dropped)));
        }
        self.partial = Some(partial);
        Ok(None)
    }

    /// Rejects a delivery for its size. Whoever has settled it already hears only of the link's end.
    fn reject(
        &mut self,
        link: LinkId,
        id: Serial,
        settled: bool,
        size: usize,
    ) -> Result<(Serial, Error), Fault> {
        let error = self.too_long(size);
        if settled {
            return Err(Fault::Link(link.handle, error));
        }
        self.unsettled.push_back(id);
        Ok((id, error))
    }

    fn too_long(&self, size: usize) -> Error {
        let text = format!(
            "The received message (size: {size} bytes) exceeds the limit ({} bytes) currently allowed on the link.",
            self.max_message_size
        );
        Error::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, text)
    }

    fn deliver(&mut self, io: &mut Io, delivery: Delivery) {
        if !delivery.settled {
            self.unsettled.push_back(delivery.id);
        }
        let bytes = delivery.payload.len();
        io.emit_weighing(Event::Delivery(delivery), bytes);
    }

    /// Whether a new delivery may begin; its number.
    fn check_first(&self, io: &Io, transfer: &Transfer) -> Result<Serial, Error> {
        let Some(id) = transfer.delivery_id.map(Serial) else {
            let text = "transfer.delivery-id is missing in the first transfer of a delivery";
            return Err(Error::new(condition::INVALID_FIELD, text));
        };
        if !self.delivery_count.is_before(self.granted_until) {
            let text = "the link's credit is used up: wait for a flow";
            return Err(Error::new(condition::LINK_TRANSFER_LIMIT_EXCEEDED, text));
        }
        if let Some(last) = self.last_delivery
            && !last.is_before(id)
        {
            let text = format!("transfer.delivery-id {id} does not come after {last}");
            return Err(Error::new(condition::INVALID_FIELD, text));
        }
        if transfer.delivery_tag.as_ref().is_some_and(|tag| tag.len() > MAX_TAG) {
            let text = "transfer.delivery-tag has more than 32 bytes";
            return Err(Error::new(condition::INVALID_FIELD, text));
        }
        if transfer.settled != Some(true) && self.unsettled.len() >= io.limits.max_unsettled {
            let text = format!("{} deliveries are not settled: settle some first", io.limits.max_unsettled);
            return Err(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        Ok(id)
    }

    /// Takes a delivery off the list of those not settled. Mostly it is the first.
    fn remove(&mut self, id: Serial) -> bool {
        let Some(front) = self.unsettled.front().copied() else { return false };
        if front == id {
            self.unsettled.pop_front();
            return true;
        }
        let distance = id.since(front);
        match self.unsettled.binary_search_by_key(&distance, |other| other.since(front)) {
            Ok(index) => self.unsettled.remove(index).is_some(),
            Err(_) => false,
        }
    }
}

fn grow_partial(io: &mut Io, bytes: usize) -> Result<(), Fault> {
    let total = io.partial_bytes + bytes;
    if total > io.limits.max_partial_bytes {
        let text = format!(
            "incomplete messages hold more than {} bytes: complete one before beginning another",
            io.limits.max_partial_bytes
        );
        return Err(Fault::Connection(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text)));
    }
    io.partial_bytes = total;
    Ok(())
}
