//! Messages on their way to the client: the window of those sent, the queue of those that wait.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::encode;
use crate::event::PacketId;
use crate::limits::Limits;

/// What a waiting message costs beside its topic and payload, so that empty ones are bounded too.
const OVERHEAD: usize = size_of::<Outbound>();

/// A QoS 1 message to the client that it has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Stays the same when the message is sent again (MQTT-4.4.0-1).
    pub packet_id: PacketId,
    /// A valid topic name.
    pub topic: ByteString,
    /// The message's body.
    pub payload: Bytes,
    /// Whether it was sent once: then it goes out with DUP (MQTT-3.3.1-1).
    pub sent: bool,
}

impl Outbound {
    fn cost(&self) -> usize {
        OVERHEAD + self.topic.len() + self.payload.len()
    }
}

/// Why a message to the client was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The client does not keep up: [`Limits::max_queued_out_bytes`]. Try again after a [`crate::Event::PubAck`].
    #[error("the client does not keep up with its messages")]
    Full,
    /// Longer than [`Limits::max_packet`], or a topic longer than [`Limits::max_topic`] or than 65,535 bytes.
    #[error("the message is longer than allowed")]
    TooLarge,
    /// Not accepted yet, or closed.
    #[error("the client is not connected")]
    NotConnected,
}

/// The first `sent` of `unacked` are on the wire, the others wait for the window.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    unacked: VecDeque<Outbound>,
    sent: usize,
    bytes: usize,
    last_id: u16,
}

impl Outbox {
    /// Bytes of all messages in here.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn unacked(&self) -> impl ExactSizeIterator<Item = &Outbound> {
        self.unacked.iter()
    }

    pub(crate) fn take(&mut self) -> Vec<Outbound> {
        std::mem::take(self).unacked.into()
    }

    /// Takes a message and sends it when the window allows.
    pub(crate) fn push(
        &mut self,
        topic: ByteString,
        payload: Bytes,
        limits: &Limits,
        out: &mut BytesMut,
    ) -> Result<PacketId, PublishError> {
        let packet_id = self.next_id().ok_or(PublishError::Full)?;
        let message = Outbound { packet_id, topic, payload, sent: false };
        if self.bytes + out.len() + message.cost() > limits.max_queued_out_bytes {
            return Err(PublishError::Full);
        }
        self.last_id = packet_id.get();
        self.bytes += message.cost();
        self.unacked.push_back(message);
        self.fill_window(limits, out);
        Ok(packet_id)
    }

    /// Takes back what an earlier connection of the session left, in its order and with its ids.
    pub(crate) fn resume(
        &mut self,
        messages: Vec<Outbound>,
        limits: &Limits,
        out: &mut BytesMut,
    ) -> Result<(), PublishError> {
        let bytes = messages.iter().map(Outbound::cost).sum::<usize>();
        if !self.unacked.is_empty() || bytes > limits.max_queued_out_bytes {
            return Err(PublishError::Full);
        }
        self.last_id = messages.last().map_or(self.last_id, |message| message.packet_id.get());
        self.bytes = bytes;
        self.unacked = messages.into();
        self.fill_window(limits, out);
        Ok(())
    }

    /// The client has message `packet_id`. False when no such message was sent.
    pub(crate) fn acknowledge(&mut self, packet_id: PacketId, limits: &Limits, out: &mut BytesMut) -> bool {
        let on_wire = self.unacked.iter().take(self.sent);
        let Some(index) = on_wire.enumerate().find(|(_, m)| m.packet_id == packet_id).map(|(index, _)| index)
        else {
            return false;
        };
        if let Some(message) = self.unacked.remove(index) {
            self.bytes -= message.cost();
            self.sent -= 1;
        }
        if self.unacked.is_empty() {
            // An idle connection keeps no queue.
            self.unacked = VecDeque::new();
        }
        self.fill_window(limits, out);
        true
    }

    fn fill_window(&mut self, limits: &Limits, out: &mut BytesMut) {
        while self.sent < limits.max_inflight_out.max(1) {
            let Some(message) = self.unacked.get_mut(self.sent) else { return };
            encode::publish(out, &message.topic, &message.payload, Some(message.packet_id), message.sent);
            message.sent = true;
            self.sent += 1;
        }
    }

    /// The next id that no message in here has; none when all 65,535 are taken.
    fn next_id(&self) -> Option<PacketId> {
        if self.unacked.len() >= usize::from(u16::MAX) {
            return None;
        }
        let mut candidate = self.last_id;
        loop {
            candidate = candidate.checked_add(1).unwrap_or(1);
            if self.unacked.iter().all(|message| message.packet_id.get() != candidate) {
                return PacketId::new(candidate);
            }
        }
    }
}
