//! What an accepted client sends: messages, subscriptions, and the bounds on them.

use pollux_mqtt::{ByteString, Event, Limits, QoS, Violation};
use rmqtt_codec::types::QoS as CodecQoS;
use rmqtt_codec::v3::{Packet, SubscribeReturnCode};

use crate::pair::{Pair, id, puback, publish};

#[test]
fn a_message_arrives_as_sent() {
    let mut pair = Pair::open(Limits::default());
    pair.send_raw(b"\x3b\x08\x00\x01t\x00\x07abc");
    let Some(Event::Publish(message)) = pair.server.poll_event() else { panic!("no message") };
    assert_eq!((&*message.topic, &message.payload[..], message.packet_id), ("t", &b"abc"[..], Some(id(7))));
    assert!(message.dup && message.retain && message.qos == QoS::AtLeastOnce);
    assert!(!format!("{message:?}").contains("abc"));
}

#[test]
fn acknowledgements_leave_in_order_of_receipt() {
    let mut pair = Pair::open(Limits::default());
    for number in [5, 3, 9] {
        pair.send(publish("t", b"", Some(number)));
    }
    pair.server.ack_publish(id(9));
    pair.server.ack_publish(id(3));
    assert_eq!(pair.answers(), []);
    pair.server.ack_publish(id(5));
    assert_eq!(pair.answers(), [puback(5), puback(3), puback(9)]);
    pair.server.ack_publish(id(5));
    assert_eq!(pair.answers(), []);
}

#[test]
fn an_id_used_again_too_early_is_acknowledged_as_often_as_it_came() {
    let mut pair = Pair::open(Limits::default());
    pair.send(publish("t", b"1", Some(5)));
    pair.send(publish("t", b"1", Some(5)));
    pair.server.ack_publish(id(5));
    assert_eq!(pair.answers(), [puback(5)]);
    pair.server.ack_publish(id(5));
    assert_eq!(pair.answers(), [puback(5)]);
}

#[test]
fn reading_stops_at_the_number_of_unanswered_requests() {
    let mut pair = Pair::open(Limits { max_inflight_in: 3, ..Limits::default() });
    for number in 1..=5 {
        pair.send(publish("t", b"", Some(number)));
    }
    assert_eq!(pair.events().len(), 3);
    assert!(!pair.server.wants_read() && !pair.to_server.is_empty());
    pair.server.ack_publish(id(2));
    assert!(!pair.server.wants_read());
    pair.server.ack_publish(id(1));
    assert!(pair.server.wants_read());
    pair.deliver();
    assert_eq!(pair.events().len(), 2);
    assert!(pair.to_server.is_empty());
}

#[test]
fn reading_stops_at_the_bytes_that_wait() {
    let mut pair = Pair::open(Limits { max_inflight_in_bytes: 100, ..Limits::default() });
    for packet_id in [Some(1), None, None] {
        pair.send(publish("t", &[0; 60], packet_id));
    }
    assert!(!pair.server.wants_read());
    assert_eq!(pair.events().len(), 2);
    // The QoS 0 message is off the books once polled; the QoS 1 message only when acknowledged.
    assert!(pair.server.wants_read());
    pair.deliver();
    assert!(!pair.server.wants_read());
    pair.server.ack_publish(id(1));
    assert!(pair.server.wants_read());
}

#[test]
fn reading_stops_when_the_client_does_not_take_its_answers() {
    let mut pair = Pair::open(Limits { max_queued_out_bytes: 100, ..Limits::default() });
    for _ in 0..200 {
        pair.send(Packet::PingRequest);
    }
    assert!(!pair.server.wants_read());
    assert_eq!(pair.answers().len(), 50);
    pair.deliver();
    assert_eq!(pair.answers().len(), 50);
}

#[test]
fn a_subscription_is_answered_filter_by_filter() {
    let mut pair = Pair::open(Limits::default());
    pair.send(Packet::Subscribe {
        packet_id: id(1),
        topic_filters: vec![
            ("$iothub/twin/res/#".into(), CodecQoS::AtMostOnce),
            ("b/+".into(), CodecQoS::ExactlyOnce),
            ("c".into(), CodecQoS::AtLeastOnce),
        ],
    });
    let Some(Event::Subscribe { packet_id, filters }) = pair.server.poll_event() else { panic!("none") };
    let text = ByteString::from_static;
    assert_eq!(filters[0], (text("$iothub/twin/res/#"), QoS::AtMostOnce));
    assert_eq!(filters[1], (text("b/+"), QoS::AtLeastOnce), "QoS 2 is granted as QoS 1");
    pair.server.suback(packet_id, &[Some(QoS::AtMostOnce), Some(QoS::AtLeastOnce), None]);
    let status = vec![
        SubscribeReturnCode::Success(CodecQoS::AtMostOnce),
        SubscribeReturnCode::Success(CodecQoS::AtLeastOnce),
        SubscribeReturnCode::Failure,
    ];
    assert_eq!(pair.answers(), [Packet::SubscribeAck { packet_id, status }]);
    pair.server.suback(packet_id, &[None]);
    assert_eq!(pair.answers(), [], "answered once");
}

#[test]
fn unsubscribing_and_pinging_are_answered() {
    let mut pair = Pair::open(Limits::default());
    pair.send(Packet::Unsubscribe { packet_id: id(4), topic_filters: vec!["a/#".into()] });
    pair.send(Packet::PingRequest);
    let filters = vec![ByteString::from_static("a/#")];
    assert_eq!(pair.events(), [Event::Unsubscribe { packet_id: id(4), filters }]);
    assert_eq!(pair.answers(), [Packet::PingResponse]);
    pair.server.unsuback(id(4));
    assert_eq!(pair.answers(), [Packet::UnsubscribeAck { packet_id: id(4) }]);
}

#[test]
fn a_goodbye_is_the_last_word() {
    let mut pair = Pair::open(Limits::default());
    pair.send(publish("t", b"", Some(1)));
    pair.send(Packet::Disconnect);
    pair.send(publish("t", b"", Some(2)));
    assert!(matches!(pair.events()[..], [Event::Publish(_), Event::Disconnect]));
    pair.server.ack_publish(id(1));
    assert!(pair.server.is_closed() && pair.server.take_output().is_none());
}

#[test]
fn violations_close_the_connection_after_what_came_before() {
    for (bytes, expected) in [
        (&b"\x34\x05\x00\x01t\x00\x01"[..], Violation::Qos2NotSupported),
        (b"\x36\x05\x00\x01t\x00\x01", Violation::Malformed("a value out of range")),
        (b"\x38\x03\x00\x01t", Violation::Malformed("DUP with QoS 0")),
        (b"\x32\x05\x00\x01t\x00\x00", Violation::Malformed("a value out of range")),
        (b"\x30\x03\x00\x01#", Violation::InvalidTopic("a wildcard")),
        (b"\x30\x02\x00\x00", Violation::InvalidTopic("empty")),
        (b"\x30\x03\x00\x01\xff", Violation::Malformed("text that is not UTF-8")),
        (b"\x30\x03\x00\x01\x00", Violation::InvalidTopic("a NUL character")),
        (b"\x82\x06\x00\x01\x00\x01#\x04", Violation::Malformed("reserved bits of a requested QoS")),
        (b"\x82\x02\x00\x01", Violation::InvalidFilter("none, or an empty one")),
        (b"\x82\x07\x00\x01\x00\x02a#\x00", Violation::InvalidFilter("a misplaced wildcard")),
        (b"\x80\x06\x00\x01\x00\x01#\x00", Violation::Malformed("reserved flags of the fixed header")),
        (b"\xc0\x01\x00", Violation::Malformed("a body where there is none")),
        (b"\x20\x02\x00\x00", Violation::UnexpectedPacket(2)),
        (b"\x50\x02\x00\x01", Violation::UnexpectedPacket(5)),
        (b"\xd0\x00", Violation::UnexpectedPacket(13)),
        (b"\xf0\x00", Violation::Malformed("a reserved packet type")),
    ] {
        let mut pair = Pair::open(Limits::default());
        pair.send(publish("t", b"", None));
        pair.send_raw(bytes);
        pair.send(publish("t", b"", None));
        let events = pair.events();
        assert!(matches!(events[0], Event::Publish(_)));
        assert_eq!(events[1..], [Event::Violation(expected)]);
        assert!(pair.server.is_closed() && !pair.server.wants_read());
    }
}

#[test]
fn a_long_packet_is_refused_from_its_header_alone() {
    let mut pair = Pair::open(Limits { max_packet: 1000, ..Limits::default() });
    pair.send(publish("t", &[0; 1000 - 6], None));
    assert_eq!(pair.events().len(), 1);
    pair.send_raw(&[0x30, 0xe6, 0x07]);
    assert_eq!(pair.events(), [Event::Violation(Violation::PacketTooLarge { size: 1001, max: 1000 })]);
}

#[test]
fn the_number_of_filters_is_bounded() {
    let mut pair = Pair::open(Limits { max_filters: 2, ..Limits::default() });
    let topic_filters = vec![("a".into(), CodecQoS::AtMostOnce); 3];
    pair.send(Packet::Subscribe { packet_id: id(1), topic_filters });
    assert_eq!(pair.events(), [Event::Violation(Violation::TooManyFilters(3))]);
}
