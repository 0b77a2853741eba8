//! The state machine of one connection, from its first byte to its last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::types::{Publish as CodecPublish, QoS as CodecQoS};
use rmqtt_codec::v3::Packet;

use crate::encode;
use crate::event::{ConnectRefusal, Event, PacketId, Publish, QoS, Violation};
use crate::frame::{self, Header};
use crate::limits::Limits;
use crate::outbox::{Outbound, Outbox, PublishError};
use crate::topic;

/// Queues that grew beyond this many places are given back once they are empty, for the sake of idle connections.
const KEPT_CAPACITY: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but a CONNECT will do.
    AwaitConnect,
    /// The driver decides about the CONNECT; nothing more is read meanwhile.
    Deciding,
    Open,
    Closed,
}

/// A QoS 1 message from the client that it wants acknowledged.
#[derive(Debug)]
struct Pending {
    packet_id: PacketId,
    acked: bool,
    bytes: usize,
}

/// One MQTT 3.1.1 connection, seen from the server.
///
/// `now` is the time since any fixed moment, the same for all calls and never running backwards.
/// About 230 bytes; its queues and its output take memory only while something is in them.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    state: State,
    /// What the CONNECT asked for, in seconds.
    keep_alive: u16,
    /// When the connection started or the last packet came.
    last_received: Duration,
    events: VecDeque<Event>,
    /// In order of receipt: PUBACKs leave in this order (MQTT-4.6.0-2).
    pending: VecDeque<Pending>,
    /// SUBSCRIBEs and UNSUBSCRIBEs that wait for their answer.
    requests: Vec<PacketId>,
    /// Topic and payload bytes of QoS 0 messages in `events` and of `pending`.
    bytes_in: usize,
    outbox: Outbox,
    output: BytesMut,
}

const _: () = assert!(size_of::<Connection>() <= 256, "ten thousand idle connections are meant to be cheap");

impl Connection {
    /// A connection that starts now and waits for its CONNECT.
    #[must_use]
    pub fn new(limits: Arc<Limits>, now: Duration) -> Self {
        Self {
            limits,
            state: State::AwaitConnect,
            keep_alive: 0,
            last_received: now,
            events: VecDeque::new(),
            pending: VecDeque::new(),
            requests: Vec::new(),
            bytes_in: 0,
            outbox: Outbox::default(),
            output: BytesMut::new(),
        }
    }

    /// Whether [`Connection::receive`] would take another packet. False means: stop reading from the socket until
    /// events were polled, requests answered or output written, then give `receive` the bytes left over.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.state {
            State::AwaitConnect => true,
            State::Deciding | State::Closed => false,
            State::Open => !self.waits_for_us() && self.output.len() < self.limits.max_queued_out_bytes,
        }
    }

    /// Whether nothing will come or go any more. What [`Connection::poll_event`] and [`Connection::take_output`] still
    /// hold is valid; afterwards close the socket.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Takes whole packets off the front of `bytes`, as many as are there and as [`Connection::wants_read`] allows.
    /// What stays is less than one packet of [`Limits::max_packet`] bytes, plus what came behind it in the same read.
    pub fn receive(&mut self, bytes: &mut BytesMut, now: Duration) {
        while self.wants_read() {
            match self.receive_packet(bytes, now) {
                Ok(true) => {}
                Ok(false) => return,
                Err(violation) => self.fail(violation),
            }
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if let Some(Event::Publish(publish)) = &event
            && publish.packet_id.is_none()
        {
            self.bytes_in -= publish.topic.len() + publish.payload.len();
        }
        give_back(&mut self.events);
        event
    }

    /// Answers the CONNECT with yes. `session_present` is true when a session of this client was found and goes on
    /// (MQTT-3.2.2-2); then [`Connection::resume`] comes next.
    pub fn accept(&mut self, session_present: bool, now: Duration) {
        if self.state == State::Deciding {
            encode::connack(&mut self.output, session_present, 0);
            self.state = State::Open;
            self.last_received = now;
        }
    }

    /// Answers the CONNECT with no; the connection is closed once the output is written.
    pub fn refuse(&mut self, refusal: ConnectRefusal) {
        if self.state == State::Deciding {
            encode::connack(&mut self.output, false, refusal as u8);
            self.state = State::Closed;
        }
    }

    /// Acknowledges a message, after it is durable. Messages may be acknowledged in any order; the PUBACKs leave in the
    /// order in which the messages came (MQTT-4.6.0-2).
    pub fn ack_publish(&mut self, packet_id: PacketId) {
        let waiting =
            self.pending.iter_mut().find(|pending| pending.packet_id == packet_id && !pending.acked);
        let Some(waiting) = waiting else { return };
        waiting.acked = true;
        while let Some(first) = self.pending.pop_front_if(|first| first.acked) {
            self.bytes_in -= first.bytes;
            if self.state == State::Open {
                encode::puback(&mut self.output, first.packet_id);
            }
        }
        give_back(&mut self.pending);
    }

    /// Answers a SUBSCRIBE: for each filter in its order the QoS granted, or none for a refusal (0x80).
    pub fn suback(&mut self, packet_id: PacketId, granted: &[Option<QoS>]) {
        if self.answer(packet_id) {
            encode::suback(&mut self.output, packet_id, granted);
        }
    }

    /// Answers an UNSUBSCRIBE.
    pub fn unsuback(&mut self, packet_id: PacketId) {
        if self.answer(packet_id) {
            encode::unsuback(&mut self.output, packet_id);
        }
    }

    /// Sends a message to the client, or queues it behind the window. With QoS 1 the id under which
    /// [`Event::PubAck`] will name it.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing was taken then.
    pub fn publish(
        &mut self,
        topic: impl Into<ByteString>,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Result<Option<PacketId>, PublishError> {
        let (topic, payload) = (topic.into(), payload.into());
        if self.state != State::Open {
            return Err(PublishError::NotConnected);
        }
        let size = encode::publish_size(&topic, &payload);
        if topic.len() > self.limits.max_topic.min(65_535) || size > self.limits.max_packet {
            return Err(PublishError::TooLarge);
        }
        if qos == QoS::AtLeastOnce {
            return self.outbox.push(topic, payload, &self.limits, &mut self.output).map(Some);
        }
        if self.outbox.bytes() + self.output.len() + size > self.limits.max_queued_out_bytes {
            return Err(PublishError::Full);
        }
        encode::publish(&mut self.output, &topic, &payload, None, false);
        Ok(None)
    }

    /// The QoS 1 messages the client has not acknowledged, in order.
    pub fn unacked(&self) -> impl ExactSizeIterator<Item = &Outbound> {
        self.outbox.unacked()
    }

    /// Takes the unacknowledged messages out, for the next connection of a session that outlives this one.
    pub fn take_unacked(&mut self) -> Vec<Outbound> {
        self.outbox.take()
    }

    /// Sends again what an earlier connection of this session left: same ids, same order, those already sent with DUP
    /// (MQTT-4.4.0-1). Comes right after [`Connection::accept`].
    ///
    /// # Errors
    /// [`PublishError::NotConnected`] before `accept`; [`PublishError::Full`] after a `publish`, or when the messages
    /// exceed [`Limits::max_queued_out_bytes`].
    pub fn resume(&mut self, messages: Vec<Outbound>) -> Result<(), PublishError> {
        if self.state != State::Open {
            return Err(PublishError::NotConnected);
        }
        self.outbox.resume(messages, &self.limits, &mut self.output)
    }

    /// Bytes to write to the socket: everything since the last call, in one piece.
    pub fn take_output(&mut self) -> Option<Bytes> {
        if self.output.is_empty() {
            return None;
        }
        // The buffer goes with the bytes: an idle connection keeps none.
        Some(std::mem::take(&mut self.output).freeze())
    }

    /// When [`Connection::on_timeout`] wants to be called, on the scale of `now`. It moves with every packet, so a
    /// driver may also look at it only when the last one it saw has passed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        match self.state {
            State::AwaitConnect => Some(self.last_received + self.limits.connect_timeout),
            State::Open => Some(self.last_received + self.allowed_silence()),
            State::Deciding | State::Closed => None,
        }
    }

    /// Looks whether the client has been silent for too long.
    pub fn on_timeout(&mut self, now: Duration) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.state == State::AwaitConnect {
            self.fail(Violation::ConnectTimeout(self.limits.connect_timeout));
        } else if self.waits_for_us() {
            // The client may well have spoken; it is this side that does not listen. Its time starts anew.
            self.last_received = now;
        } else {
            self.fail(Violation::KeepAliveTimeout(self.allowed_silence()));
        }
    }

    /// Whether this side is at its bounds with what the client sent.
    fn waits_for_us(&self) -> bool {
        self.events.len().max(self.pending.len() + self.requests.len()) >= self.limits.max_inflight_in.max(1)
            || self.bytes_in >= self.limits.max_inflight_in_bytes
    }

    /// 1.5 times the keep-alive (MQTT-3.1.2-24), at most [`Limits::max_silence`].
    fn allowed_silence(&self) -> Duration {
        match self.keep_alive {
            0 => self.limits.max_silence,
            seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(self.limits.max_silence),
        }
    }

    /// Takes one packet; false when it is not all there.
    fn receive_packet(&mut self, bytes: &mut BytesMut, now: Duration) -> Result<bool, Violation> {
        let awaits_connect = self.state == State::AwaitConnect;
        if let Some(&first) = bytes.first()
            && awaits_connect
            && first != frame::CONNECT
        {
            return Err(Violation::NotConnect(first));
        }
        let Some(header) = Header::peek(bytes)? else { return Ok(false) };
        let max = if awaits_connect { self.limits.max_connect } else { self.limits.max_packet };
        if header.packet() > max {
            return Err(Violation::PacketTooLarge { size: header.packet(), max });
        }
        if bytes.len() < header.packet() {
            return Ok(false);
        }
        if awaits_connect {
            let connect = frame::take_connect(bytes, header, self.limits.max_topic)?;
            self.keep_alive = connect.keep_alive;
            self.state = State::Deciding;
            self.events.push_back(Event::Connect(Box::new(connect)));
        } else {
            let packet = frame::take_packet(bytes, header)?;
            self.handle(packet)?;
        }
        self.last_received = now;
        Ok(true)
    }

    fn handle(&mut self, packet: Packet) -> Result<(), Violation> {
        match packet {
            Packet::Publish(publish) => return self.handle_publish(*publish),
            Packet::PublishAck { packet_id } => {
                // An id that is not on the wire is an echo from before; there is nothing to tell.
                if self.outbox.acknowledge(packet_id, &self.limits, &mut self.output) {
                    self.events.push_back(Event::PubAck(packet_id));
                }
            }
            Packet::Subscribe { packet_id, topic_filters } => {
                self.check_filters(topic_filters.iter().map(|(filter, _)| filter))?;
                let grant = |(filter, qos)| (filter, frame::at_most_one(qos));
                let filters = topic_filters.into_iter().map(grant).collect();
                self.requests.push(packet_id);
                self.events.push_back(Event::Subscribe { packet_id, filters });
            }
            Packet::Unsubscribe { packet_id, topic_filters } => {
                self.check_filters(topic_filters.iter())?;
                self.requests.push(packet_id);
                self.events.push_back(Event::Unsubscribe { packet_id, filters: topic_filters });
            }
            Packet::PingRequest => encode::pingresp(&mut self.output),
            Packet::Disconnect => {
                self.state = State::Closed;
                self.events.push_back(Event::Disconnect);
            }
            Packet::Connect(_) => return Err(Violation::SecondConnect),
            packet @ (Packet::ConnectAck(_)
            | Packet::PublishReceived { .. }
            | Packet::PublishRelease { .. }
            | Packet::PublishComplete { .. }
            | Packet::SubscribeAck { .. }
            | Packet::UnsubscribeAck { .. }
            | Packet::PingResponse) => return Err(Violation::UnexpectedPacket(packet.packet_type() >> 4)),
        }
        Ok(())
    }

    fn handle_publish(&mut self, publish: CodecPublish) -> Result<(), Violation> {
        let CodecPublish { dup, retain, qos, topic, packet_id, payload, properties: _ } = publish;
        let qos = match qos {
            CodecQoS::AtMostOnce => QoS::AtMostOnce,
            CodecQoS::AtLeastOnce => QoS::AtLeastOnce,
            CodecQoS::ExactlyOnce => return Err(Violation::Qos2NotSupported),
        };
        topic::check_name(&topic, self.limits.max_topic)?;
        let bytes = topic.len() + payload.len();
        self.bytes_in += bytes;
        if let Some(packet_id) = packet_id {
            self.pending.push_back(Pending { packet_id, acked: false, bytes });
        }
        self.events.push_back(Event::Publish(Publish { topic, payload, qos, retain, dup, packet_id }));
        Ok(())
    }

    fn check_filters<'a>(
        &self,
        filters: impl ExactSizeIterator<Item = &'a ByteString>,
    ) -> Result<(), Violation> {
        if filters.len() > self.limits.max_filters {
            return Err(Violation::TooManyFilters(filters.len()));
        }
        filters.into_iter().try_for_each(|filter| topic::check_filter(filter, self.limits.max_topic))
    }

    /// Strikes a request off the list; false when there is nobody to answer.
    fn answer(&mut self, packet_id: PacketId) -> bool {
        let Some(index) = self.requests.iter().position(|waiting| *waiting == packet_id) else {
            return false;
        };
        self.requests.remove(index);
        self.state == State::Open
    }

    /// Closes the connection, with a CONNACK for the clients that can be told.
    fn fail(&mut self, violation: Violation) {
        match violation {
            Violation::UnsupportedProtocol(5) => {
                self.output.extend_from_slice(&encode::CONNACK_V5_UNSUPPORTED);
            }

            Violation::UnsupportedProtocol(_) => {
                encode::connack(&mut self.output, false, ConnectRefusal::UnacceptableProtocolVersion as u8);
            }
            Violation::ClientIdRequired => {
                encode::connack(&mut self.output, false, ConnectRefusal::IdentifierRejected as u8);
            }
            _ => {}
        }
        self.state = State::Closed;
        self.events.push_back(Event::Violation(violation));
    }
}

fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT_CAPACITY {
        *queue = VecDeque::new();
    }
}
