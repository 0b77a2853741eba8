//! Deadlines: the CONNECT's and the keep-alive's.

use std::time::Duration;

use pollux_mqtt::{Event, Limits, Violation};
use rmqtt_codec::v3::Packet;

use crate::pair::{Pair, connect, id, publish};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn who_does_not_connect_is_closed() {
    let mut pair = Pair::new(Limits::default());
    pair.now += seconds(20);
    pair.send_raw(&[0x10]);
    assert_eq!(pair.server.next_deadline(), Some(seconds(1030)), "a drip of bytes does not move it");
    pair.server.on_timeout(seconds(1029));
    assert!(!pair.server.is_closed());
    pair.server.on_timeout(seconds(1030));
    assert_eq!(pair.events(), [Event::Violation(Violation::ConnectTimeout(seconds(30)))]);
    assert_eq!(pair.server.next_deadline(), None);
}

#[test]
fn there_is_no_deadline_while_we_decide() {
    let mut pair = Pair::new(Limits::default());
    pair.send(connect("device", 60));
    assert_eq!(pair.server.next_deadline(), None);
    pair.server.on_timeout(seconds(9000));
    assert!(!pair.server.is_closed());
}

#[test]
fn silence_is_allowed_for_one_and_a_half_keep_alives() {
    let mut pair = Pair::open(Limits::default());
    assert_eq!(pair.server.next_deadline(), Some(pair.now + seconds(90)));
    pair.now += seconds(80);
    pair.send(Packet::PingRequest);
    assert_eq!(pair.server.next_deadline(), Some(pair.now + seconds(90)));
    pair.now += seconds(90);
    pair.server.on_timeout(pair.now);
    assert_eq!(pair.events(), [Event::Violation(Violation::KeepAliveTimeout(seconds(90)))]);
    assert!(pair.server.is_closed());
}

#[test]
fn silence_is_capped_whatever_was_asked_for() {
    for (keep_alive, allowed) in [(0, 1767), (1, 1), (1177, 1765), (1200, 1767), (u16::MAX, 1767)] {
        let mut pair = Pair::new(Limits::default());
        pair.send(connect("device", keep_alive));
        pair.server.accept(false, pair.now);
        let deadline = pair.server.next_deadline().unwrap() - pair.now;
        assert_eq!(deadline.as_secs(), allowed, "{keep_alive}");
    }
}

#[test]
fn a_client_that_we_do_not_listen_to_is_not_silent() {
    let mut pair = Pair::open(Limits { max_inflight_in: 1, ..Limits::default() });
    pair.send(publish("t", b"", Some(1)));
    pair.events();
    pair.now += seconds(100);
    pair.server.on_timeout(pair.now);
    assert!(!pair.server.is_closed());
    pair.server.ack_publish(id(1));
    assert_eq!(pair.server.next_deadline(), Some(pair.now + seconds(90)));
}
