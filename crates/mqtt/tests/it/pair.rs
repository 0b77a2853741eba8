//! Both ends of a connection in one value: the codec as the client, the machine as the server, and a clock by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pollux_mqtt::{ByteString, Connection, Event, Limits, PacketId};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::{Codec, Connect, Packet};
use tokio_util::codec::{Decoder, Encoder};

pub(crate) struct Pair {
    pub(crate) server: Connection,
    pub(crate) now: Duration,
    codec: Codec,
    /// What the client wrote and the server has not taken.
    pub(crate) to_server: BytesMut,
    to_client: BytesMut,
}

impl Pair {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Duration::from_secs(1000);
        Self {
            server: Connection::new(Arc::new(limits), now),
            now,
            codec: Codec::new(0),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
        }
    }

    /// Accepted already.
    pub(crate) fn open(limits: Limits) -> Self {
        let mut pair = Self::new(limits);
        pair.send(connect("device", 60));
        assert!(matches!(pair.server.poll_event(), Some(Event::Connect(_))));
        pair.server.accept(false, pair.now);
        assert!(matches!(pair.answers()[..], [Packet::ConnectAck(_)]));
        pair
    }

    pub(crate) fn send(&mut self, packet: Packet) {
        self.codec.encode(packet, &mut self.to_server).unwrap();
        self.deliver();
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.to_server.extend_from_slice(bytes);
        self.deliver();
    }

    /// Gives the server what is under way.
    pub(crate) fn deliver(&mut self) {
        self.server.receive(&mut self.to_server, self.now);
    }

    pub(crate) fn raw_answers(&mut self) -> Bytes {
        self.server.take_output().unwrap_or_default()
    }

    /// What the server wrote since the last call, in one buffer.
    pub(crate) fn answers(&mut self) -> Vec<Packet> {
        let bytes = self.raw_answers();
        self.to_client.extend_from_slice(&bytes);
        let mut packets = Vec::new();
        while let Some((packet, _)) = self.codec.decode(&mut self.to_client).unwrap() {
            packets.push(packet);
        }
        assert!(self.to_client.is_empty(), "a partial packet was sent");
        packets
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

pub(crate) fn connect(client_id: &str, keep_alive: u16) -> Packet {
    Packet::from(Connect {
        client_id: client_id.into(),
        keep_alive,
        clean_session: true,
        username: Some("host/device/?api-version=2021-04-12".into()),
        password: Some(Bytes::from_static(b"SharedAccessSignature")),
        ..Connect::default()
    })
}

pub(crate) fn publish(topic: &str, payload: &[u8], packet_id: Option<u16>) -> Packet {
    Packet::from(Publish {
        dup: false,
        retain: false,
        qos: if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
        topic: ByteString::from(topic),
        packet_id: packet_id.map(id),
        payload: Bytes::copy_from_slice(payload),
        properties: None,
    })
}

pub(crate) fn puback(packet_id: u16) -> Packet {
    Packet::PublishAck { packet_id: id(packet_id) }
}
