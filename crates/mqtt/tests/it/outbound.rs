//! Messages to the client: window, queue, redelivery.

use pollux_mqtt::{ByteString, Event, Limits, PublishError, QoS};
use rmqtt_codec::v3::Packet;

use crate::pair::{Pair, connect, id, puback};

/// Ids and DUP flags of the messages in `packets`.
fn sent(packets: &[Packet]) -> Vec<(u16, bool)> {
    let message = |packet: &Packet| match packet {
        Packet::Publish(publish) => Some((publish.packet_id.unwrap().get(), publish.dup)),
        _ => None,
    };
    packets.iter().filter_map(message).collect()
}

#[test]
fn a_message_leaves_as_given() {
    let mut pair = Pair::open(Limits::default());
    assert_eq!(pair.server.publish("t/0", "zero", QoS::AtMostOnce), Ok(None));
    assert_eq!(pair.server.publish("t/1", "one", QoS::AtLeastOnce), Ok(Some(id(1))));
    let packets = pair.answers();
    let [Packet::Publish(zero), Packet::Publish(one)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!((&*zero.topic, &zero.payload[..], zero.packet_id), ("t/0", &b"zero"[..], None));
    assert_eq!((&*one.topic, &one.payload[..], one.packet_id), ("t/1", &b"one"[..], Some(id(1))));
    assert!(!zero.dup && !one.dup && !zero.retain);
}

#[test]
fn the_window_moves_with_the_acknowledgements() {
    let mut pair = Pair::open(Limits { max_inflight_out: 2, ..Limits::default() });
    for _ in 0..4 {
        pair.server.publish("t", "m", QoS::AtLeastOnce).unwrap();
    }
    assert_eq!(sent(&pair.answers()), [(1, false), (2, false)]);
    pair.send(puback(2));
    assert_eq!(sent(&pair.answers()), [(3, false)]);
    pair.send(puback(4)); // not on the wire yet: ignored
    pair.send(puback(1));
    pair.send(puback(3));
    pair.send(puback(4));
    assert_eq!(pair.events(), [2, 1, 3, 4].map(|number| Event::PubAck(id(number))));
    assert_eq!(pair.server.unacked().len(), 0);
}

#[test]
fn the_queue_is_bounded_and_says_so() {
    let mut pair = Pair::open(Limits { max_queued_out_bytes: 10_000, ..Limits::default() });
    let taken =
        (0..1000).take_while(|_| pair.server.publish("t", vec![0; 100], QoS::AtLeastOnce).is_ok()).count();
    assert!((20..100).contains(&taken), "{taken}");
    assert_eq!(pair.server.publish("t", vec![0; 100], QoS::AtLeastOnce), Err(PublishError::Full));
    assert_eq!(pair.server.publish("t", vec![0; 1000], QoS::AtMostOnce), Err(PublishError::Full));
    pair.answers();
    pair.send(puback(1));
    assert_eq!(
        pair.server.publish("t", "", QoS::AtLeastOnce),
        Ok(Some(id(u16::try_from(taken).unwrap() + 1)))
    );
}

#[test]
fn what_is_too_long_or_too_early_is_not_taken() {
    let mut pair = Pair::open(Limits { max_packet: 1000, max_topic: 10, ..Limits::default() });
    assert_eq!(pair.server.publish("t", vec![0; 1000], QoS::AtMostOnce), Err(PublishError::TooLarge));
    assert_eq!(pair.server.publish("t".repeat(11), "", QoS::AtLeastOnce), Err(PublishError::TooLarge));
    let mut early = Pair::new(Limits::default());
    assert_eq!(early.server.publish("t", "", QoS::AtMostOnce), Err(PublishError::NotConnected));
    assert_eq!(early.server.resume(Vec::new()), Err(PublishError::NotConnected));
}

#[test]
fn ids_wrap_around_and_skip_those_in_use() {
    let mut pair = Pair::open(Limits { max_inflight_out: 2, ..Limits::default() });
    assert_eq!(pair.server.publish("t", "", QoS::AtLeastOnce), Ok(Some(id(1))));
    for number in 2..=u16::MAX {
        assert_eq!(pair.server.publish("t", "", QoS::AtLeastOnce), Ok(Some(id(number))));
        pair.answers();
        pair.send(puback(number));
        pair.events();
    }
    assert_eq!(pair.server.publish("t", "", QoS::AtLeastOnce), Ok(Some(id(2))));
}

#[test]
fn a_session_goes_on_where_it_was() {
    let limits = Limits { max_inflight_out: 2, ..Limits::default() };
    let mut first = Pair::open(limits.clone());
    for number in 1..=4 {
        first.server.publish(format!("t/{number}"), "m", QoS::AtLeastOnce).unwrap();
    }
    first.answers();
    first.send(puback(1));
    let left = first.server.take_unacked();
    let topics: Vec<_> = left.iter().map(|message| (&*message.topic, message.sent)).collect();
    assert_eq!(topics, [("t/2", true), ("t/3", true), ("t/4", false)]);

    let mut second = Pair::new(limits);
    second.send(connect("device", 60));
    second.server.accept(true, second.now);
    second.server.resume(left).unwrap();
    assert_eq!(second.server.publish("t/5", "m", QoS::AtLeastOnce), Ok(Some(id(5))));
    assert_eq!(sent(&second.answers()), [(2, true), (3, true)]);
    second.send(puback(2));
    second.send(puback(3));
    assert_eq!(sent(&second.answers()), [(4, false), (5, false)]);
    assert_eq!(second.server.resume(Vec::new()), Err(PublishError::Full), "too late");
    let waiting: Vec<_> = second.server.unacked().map(|message| message.topic.clone()).collect();
    assert_eq!(waiting, [ByteString::from_static("t/4"), ByteString::from_static("t/5")]);
}
