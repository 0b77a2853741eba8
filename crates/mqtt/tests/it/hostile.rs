//! Any bytes, cut anywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pollux_mqtt::{Connection, Event, Limits, PacketId, QoS};
use proptest::collection::vec;
use proptest::prelude::*;
use rmqtt_codec::types::QoS as CodecQoS;
use rmqtt_codec::v3::{Codec, Packet};
use tokio_util::codec::Encoder;

use crate::pair::{connect, id, puback, publish};

const NOW: Duration = Duration::ZERO;

fn limits() -> Arc<Limits> {
    Arc::new(Limits { max_packet: 2000, max_connect: 500, max_inflight_in: 4, ..Limits::default() })
}

/// Feeds `chunks` to a server that accepts everything and answers at once. Everything it saw. (What it writes depends
/// on the cuts: a ping is answered at once, a message when its event was polled.)
fn run<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut server = Connection::new(limits(), NOW);
    let (mut events, mut bytes) = (Vec::new(), BytesMut::new());
    for chunk in chunks {
        bytes.extend_from_slice(chunk);
        loop {
            server.receive(&mut bytes, NOW);
            let before = events.len();
            while let Some(event) = server.poll_event() {
                answer(&mut server, &event);
                events.push(event);
            }
            if events.len() == before {
                break;
            }
        }
        assert!(server.is_closed() || bytes.len() < 2000, "{} bytes are held back", bytes.len());
        server.take_output();
    }
    events
}

fn answer(server: &mut Connection, event: &Event) {
    match event {
        Event::Connect(_) => {
            server.accept(false, NOW);
            for _ in 0..3 {
                server.publish("to/device", "message", QoS::AtLeastOnce).unwrap();
            }
        }
        Event::Publish(message) => {
            if let Some(packet_id) = message.packet_id {
                server.ack_publish(packet_id);
            }
        }
        Event::Subscribe { packet_id, filters } => {
            let granted: Vec<_> = filters.iter().map(|(_, qos)| Some(*qos)).collect();
            server.suback(*packet_id, &granted);
        }
        Event::Unsubscribe { packet_id, .. } => server.unsuback(*packet_id),
        Event::PubAck(_) | Event::Disconnect | Event::Violation(_) => {}
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    let payload = vec(any::<u8>(), 0..300);
    let topic = "[a-z$%/]{1,20}";
    prop_oneof![
        4 => (topic, payload, proptest::option::of(1..9u16)).prop_map(|(topic, p, id)| publish(&topic, &p, id)),
        2 => (1..5u16).prop_map(puback),
        1 => (topic, 1..9u16).prop_map(|(topic, number)| Packet::Unsubscribe {
            packet_id: id(number),
            topic_filters: vec![topic.into()],
        }),
        1 => (topic, 1..9u16).prop_map(|(topic, number)| Packet::Subscribe {
            packet_id: id(number),
            topic_filters: vec![(topic.into(), CodecQoS::AtLeastOnce), ("#".into(), CodecQoS::AtMostOnce)],
        }),
        1 => Just(Packet::PingRequest),
    ]
}

/// A well-formed conversation.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(packet(), 0..30).prop_map(|packets| {
        let (mut codec, mut bytes) = (Codec::new(0), BytesMut::new());
        for packet in std::iter::once(connect("device", 60)).chain(packets).chain([Packet::Disconnect]) {
            codec.encode(packet, &mut bytes).unwrap();
        }
        bytes.to_vec()
    })
}

/// `bytes` in pieces of the lengths in `cuts`, over and over.
fn pieces<'a>(bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    cuts.iter().cycle().map_while(move |cut| {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #[test]
    fn cutting_the_stream_changes_nothing(bytes in stream(), cuts in vec(1..50usize, 1..20)) {
        let whole = run(std::iter::once(&bytes[..]));
        prop_assert!(matches!(whole.last(), Some(Event::Disconnect)), "{:?}", whole);
        prop_assert_eq!(run(pieces(&bytes, &cuts)), whole);
    }

    #[test]
    fn garbage_is_survived(bytes in vec(any::<u8>(), 0..500), cuts in vec(1..50usize, 1..20)) {
        run(pieces(&bytes, &cuts));
    }

    #[test]
    fn damage_in_a_conversation_is_survived(
        bytes in stream(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
        cuts in vec(1..50usize, 1..20),
    ) {
        let mut bytes = bytes;
        for (index, byte) in damage {
            *index.get_mut(&mut bytes) = byte;
        }
        prop_assert_eq!(run(pieces(&bytes, &cuts)), run(std::iter::once(&bytes[..])));
    }

    #[test]
    fn every_message_is_acknowledged_once_and_in_order(
        numbers in vec(1..6u16, 1..40),
        acks in vec(1..6u16, 0..200),
    ) {
        let (mut codec, mut bytes) = (Codec::new(0), BytesMut::new());
        codec.encode(connect("device", 60), &mut bytes).unwrap();
        for number in &numbers {
            codec.encode(publish("t", b"", Some(*number)), &mut bytes).unwrap();
        }
        let mut server = Connection::new(Arc::new(Limits::default()), NOW);
        server.receive(&mut bytes, NOW);
        server.accept(false, NOW);
        server.receive(&mut bytes, NOW);
        server.take_output();
        for number in acks.iter().chain((1..6).collect::<Vec<u16>>().repeat(40).iter()) {
            server.ack_publish(PacketId::new(*number).unwrap());
        }
        let output = server.take_output().unwrap();
        let acknowledged: Vec<u16> = output.chunks(4).map(|ack| u16::from_be_bytes([ack[2], ack[3]])).collect();
        prop_assert_eq!(acknowledged, numbers);
    }
}
