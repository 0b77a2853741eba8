//! CONNECT and its answers.

use bytes::Bytes;
use pollux_mqtt::{ConnectRefusal, Event, Limits, QoS, Violation};
use rmqtt_codec::types::QoS as CodecQoS;
use rmqtt_codec::v3::{Connect, ConnectAck, ConnectAckReason, LastWill, Packet};

use crate::pair::{Pair, connect, publish};

fn violation_of(bytes: &[u8]) -> (Violation, Bytes) {
    let mut pair = Pair::new(Limits::default());
    pair.send_raw(bytes);
    assert!(pair.server.is_closed());
    let mut events = pair.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let Some(Event::Violation(violation)) = events.pop() else { panic!("no violation") };
    (violation, pair.raw_answers())
}

#[test]
fn everything_a_connect_says_arrives() {
    let mut pair = Pair::new(Limits::default());
    pair.send(Packet::from(Connect {
        client_id: "device/module".into(),
        keep_alive: 60,
        clean_session: false,
        username: Some("user".into()),
        password: Some(Bytes::from_static(b"secret")),
        last_will: Some(LastWill {
            qos: CodecQoS::ExactlyOnce,
            retain: true,
            topic: "devices/device/messages/events/".into(),
            message: Bytes::from_static(b"gone"),
        }),
        ..Connect::default()
    }));
    let Some(Event::Connect(connect)) = pair.server.poll_event() else { panic!("no CONNECT") };
    assert_eq!(
        (connect.client_id.as_str(), connect.keep_alive, connect.clean_session),
        ("device/module", 60, false)
    );
    assert_eq!(
        (connect.username.as_deref(), connect.password.as_deref()),
        (Some("user"), Some(&b"secret"[..]))
    );
    assert!(!format!("{connect:?}").contains("secret"));
    let will = connect.will.unwrap();
    assert_eq!(
        (&*will.topic, &will.payload[..], will.retain),
        ("devices/device/messages/events/", &b"gone"[..], true)
    );
    assert_eq!(will.qos, QoS::AtLeastOnce);
}

#[test]
fn nothing_is_read_until_the_connect_is_decided_on() {
    let mut pair = Pair::new(Limits::default());
    pair.send(connect("device", 60));
    pair.send(publish("a", b"early", None));
    assert!(!pair.server.wants_read());
    assert!(matches!(pair.events()[..], [Event::Connect(_)]));
    pair.server.accept(true, pair.now);
    let answer = ConnectAck { return_code: ConnectAckReason::ConnectionAccepted, session_present: true };
    assert_eq!(pair.answers(), [Packet::ConnectAck(answer)]);
    pair.deliver();
    assert!(matches!(&pair.events()[..], [Event::Publish(early)] if &early.payload[..] == b"early"));
}

#[test]
fn a_refusal_is_told_and_ends_it() {
    let mut pair = Pair::new(Limits::default());
    pair.send(connect("device", 60));
    pair.server.refuse(ConnectRefusal::NotAuthorized);
    let answer = ConnectAck { return_code: ConnectAckReason::NotAuthorized, session_present: false };
    assert_eq!(pair.answers(), [Packet::ConnectAck(answer)]);
    assert!(pair.server.is_closed() && !pair.server.wants_read());
    pair.server.accept(false, pair.now);
    assert!(pair.server.take_output().is_none());
}

#[test]
fn other_versions_are_told_so_in_their_own_words() {
    let v31 = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a";
    assert_eq!(violation_of(v31), (Violation::UnsupportedProtocol(3), Bytes::from_static(&[0x20, 2, 0, 1])));
    let v6 = b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01a";
    assert_eq!(violation_of(v6), (Violation::UnsupportedProtocol(6), Bytes::from_static(&[0x20, 2, 0, 1])));
    let v5 = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a";
    assert_eq!(
        violation_of(v5),
        (Violation::UnsupportedProtocol(5), Bytes::from_static(&[0x20, 3, 0, 0x84, 0]))
    );
}

#[test]
fn an_empty_client_id_needs_a_clean_session() {
    let (violation, answer) = violation_of(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00");
    assert_eq!((violation, &answer[..]), (Violation::ClientIdRequired, &[0x20, 2, 0, 2][..]));
    let mut pair = Pair::new(Limits::default());
    pair.send_raw(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00");
    assert!(matches!(&pair.events()[..], [Event::Connect(connect)] if connect.client_id.is_empty()));
}

#[test]
fn what_is_no_connect_is_seen_from_the_first_byte() {
    assert_eq!(violation_of(b"G").0, Violation::NotConnect(b'G'));
    assert_eq!(violation_of(&[0x16]).0, Violation::NotConnect(0x16));
    assert_eq!(violation_of(&[0x11]).0, Violation::NotConnect(0x11));
    assert_eq!(violation_of(&[0xC0, 0]).0, Violation::NotConnect(0xC0));
}

#[test]
fn a_broken_connect_is_a_violation_without_an_answer() {
    for (what, bytes) in [
        ("another name", &b"\x10\x0d\x00\x04MQTX\x04\x02\x00\x3c\x00\x01a"[..]),
        ("no level", b"\x10\x06\x00\x04MQTT"),
        ("reserved flag", b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"),
        ("will QoS without will", b"\x10\x0d\x00\x04MQTT\x04\x0a\x00\x3c\x00\x01a"),
        ("will QoS 3", b"\x10\x13\x00\x04MQTT\x04\x1e\x00\x3c\x00\x01a\x00\x01t\x00\x01m"),
        ("password without user name", b"\x10\x10\x00\x04MQTT\x04\x42\x00\x3c\x00\x01a\x00\x01p"),
        ("bytes left over", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01ab"),
        ("client id cut off", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x05a"),
        ("client id not UTF-8", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\xff"),
        ("NUL in client id", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\x00"),
        ("length of five bytes", b"\x10\xff\xff\xff\xff\x01"),
    ] {
        let (violation, answer) = violation_of(bytes);
        assert!(matches!(violation, Violation::Malformed(_)), "{what}: {violation}");
        assert!(answer.is_empty(), "{what}");
    }
}

#[test]
fn a_long_connect_is_refused_from_its_header_alone() {
    let max = Limits::default().max_connect;
    assert_eq!(
        violation_of(&[0x10, 0x80, 0x80, 0x01]).0,
        Violation::PacketTooLarge { size: 16 * 1024 + 4, max }
    );
}

#[test]
fn a_second_connect_is_a_violation() {
    let mut pair = Pair::open(Limits::default());
    pair.send(connect("device", 60));
    assert_eq!(pair.events(), [Event::Violation(Violation::SecondConnect)]);
    assert!(pair.server.is_closed());
}
