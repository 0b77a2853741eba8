//! Headers, SASL, open, idle time-outs, close.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pollux_amqp::endpoint::{Endpoint, Event, Limits, OpenOptions, Party};
use pollux_amqp::performative::{Error, condition};
use pollux_amqp::sasl::{ANONYMOUS, Code, Credentials, MSSBCBS, PLAIN, Plain};
use pollux_amqp::{Fields, Symbol};

use crate::pair::{Pair, start};

#[test]
fn credentials_arrive_and_open_carries_what_was_said() {
    for chunk in [1, 7, usize::MAX] {
        let mut pair = Pair::new(Limits::default(), Limits::default());
        pair.chunk = chunk;
        let mut properties = Fields::default();
        properties.push(Symbol::from_static("product"), "pollux");
        let hostname = Some("hub.test".to_owned());
        pair.client.open(OpenOptions {
            container_id: "c".to_owned(),
            hostname,
            properties,
            ..OpenOptions::default()
        });
        pair.turn();
        let [Event::Sasl(init)] = &pair.take_server()[..] else { panic!() };
        assert_eq!((&init.mechanism, init.hostname.as_deref()), (&PLAIN, Some("hub")));
        let plain = Plain::parse(init.response.as_ref().unwrap()).unwrap();
        assert_eq!((plain.user, plain.password), ("u", "p"));
        assert!(!pair.server.wants_read(), "the verdict comes first");
        assert!(pair.server.sasl_outcome(Code::Ok));
        assert!(!pair.server.sasl_outcome(Code::Auth), "there is one verdict");
        pair.turn();
        let [Event::Opened(open)] = &pair.take_server()[..] else { panic!() };
        assert_eq!((open.container_id.as_str(), open.hostname.as_deref()), ("c", Some("hub.test")));
        assert_eq!((open.max_frame_size, open.channel_max, open.idle_time_out), (65_536, 99, Some(120_000)));
        assert_eq!(open.properties.get("product"), Some(&"pollux".into()));
    }
}

#[test]
fn wrong_credentials_end_it() {
    let mut pair = Pair::new(Limits::default(), Limits::default());
    pair.turn();
    assert!(pair.server.sasl_outcome(Code::Auth));
    pair.turn();
    assert!(pair.server.is_closed() && pair.client.is_closed());
    let [Event::Closed { error: Some(error), by: Party::Us }] = &pair.take_client()[..] else { panic!() };
    assert_eq!(error.condition, condition::UNAUTHORIZED_ACCESS);
}

/// Runs a client with other credentials against a server.
fn meet(
    credentials: Option<Credentials>,
    mechanisms: Vec<Symbol>,
    required: bool,
) -> (Vec<Event>, Vec<Event>) {
    let limits = Arc::new(Limits::default());
    let mut pair = Pair::new(Limits::default(), Limits::default());
    pair.client = Endpoint::client(Arc::clone(&limits), credentials, None, pair.now);
    pair.server = Endpoint::server(limits, mechanisms, required, pair.now);
    pair.client.open(OpenOptions::default());
    pair.turn();
    pair.server.sasl_outcome(Code::Ok);
    pair.turn();
    (pair.take_client(), pair.take_server())
}

#[test]
fn each_mechanism_has_its_client() {
    for (credentials, name) in [
        (Credentials::Anonymous, "ANONYMOUS"),
        (Credentials::External, "EXTERNAL"),
        (Credentials::Cbs, "MSSBCBS"),
    ] {
        let offered = vec![Symbol::from_static("EXTERNAL"), MSSBCBS, ANONYMOUS];
        let (_, server) = meet(Some(credentials), offered, true);
        let [Event::Sasl(init), Event::Opened(_)] = &server[..] else { panic!("{server:?}") };
        assert_eq!(init.mechanism.as_str(), name);
    }
    let (client, _) = meet(Some(Credentials::Anonymous), vec![PLAIN], true);
    assert!(matches!(&client[..], [Event::Closed { error: Some(_), by: Party::Us }]), "{client:?}");
}

#[test]
fn sasl_may_be_left_out_where_it_is_not_required() {
    let (_, server) = meet(None, vec![PLAIN], false);
    assert!(matches!(server[..], [Event::Opened(_)]), "{server:?}");
    let (client, server) = meet(None, vec![PLAIN], true);
    for events in [client, server] {
        assert!(matches!(&events[..], [Event::Closed { error: Some(_), by: Party::Us }]), "{events:?}");
    }
}

#[test]
fn a_challenge_gets_its_response() {
    use pollux_amqp::frame::{FrameType, ProtocolHeader, write};
    use pollux_amqp::sasl::{Init, Response, SaslFrame};
    let now = start();
    let tpm = Symbol::from_static("TPM");
    let mut server = Endpoint::server(Arc::new(Limits::default()), vec![tpm.clone()], true, now);
    let mut bytes = BytesMut::from(&ProtocolHeader::Sasl.bytes()[..]);
    let say = |bytes: &mut BytesMut, frame: SaslFrame| {
        write(bytes, FrameType::Sasl, 0, |out| frame.encode(out));
    };
    say(&mut bytes, SaslFrame::Init(Init { mechanism: tpm, response: None, hostname: None }));
    server.receive(&mut bytes, now);
    assert!(matches!(server.next_event(), Some(Event::Sasl(_))));
    assert!(server.sasl_challenge(&b"?"[..]));
    assert!(!server.sasl_challenge(&b"?"[..]), "one at a time");
    say(&mut bytes, SaslFrame::Response(Response(b"!"[..].into())));
    server.receive(&mut bytes, now);
    assert_eq!(server.next_event(), Some(Event::SaslResponse(Response(b"!"[..].into()))));
    assert!(server.sasl_outcome(Code::Ok));
    assert!(server.has_output() && !server.is_closed());
}

#[test]
fn close_is_answered() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    let error = Error::new(condition::CONNECTION_FORCED, "maintenance");
    pair.server.close(Some(error.clone()), pair.now);
    assert!(!pair.server.is_closed(), "the peer's close is due");
    pair.turn();
    assert!(pair.server.is_closed() && pair.client.is_closed());
    assert_eq!(pair.take_client(), [Event::Closed { error: Some(error), by: Party::Peer }]);
    assert_eq!(pair.take_server(), [], "the driver knows what it commanded");
}

#[test]
fn a_close_that_is_not_answered_ends_in_time() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    pair.server.close(None, pair.now);
    let until = pair.server.next_deadline().unwrap();
    assert_eq!(until, pair.now + Duration::from_secs(5));
    assert_eq!(pair.server.tick(until - Duration::from_millis(1)), Some(until));
    assert_eq!(pair.server.tick(until), None);
    assert!(pair.server.is_closed());
}

#[test]
fn a_refusal_before_open_says_open_first() {
    let mut pair = Pair::new(Limits::default(), Limits::default());
    pair.client.open(OpenOptions::default());
    pair.turn();
    pair.server.sasl_outcome(Code::Ok);
    pair.turn();
    let error = Error::new(condition::NOT_FOUND, "no such host");
    pair.server.close(Some(error.clone()), pair.now);
    pair.turn();
    let events = pair.take_client();
    assert!(
        matches!(&events[..], [Event::Opened(_), Event::Closed { error: Some(found), .. }] if *found == error)
    );
}

#[test]
fn an_idle_connection_is_kept_alive_from_both_sides() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    let end = pair.now + Duration::from_secs(3600);
    while pair.now < end {
        let next =
            [pair.client.next_deadline(), pair.server.next_deadline()].into_iter().flatten().min().unwrap();
        assert!(next > pair.now, "time goes on");
        pair.now = next;
        pair.client.tick(next);
        pair.server.tick(next);
        pair.turn();
    }
    assert_eq!((pair.take_client(), pair.take_server()), (vec![], vec![]));
    assert!(!pair.server.is_closed() && !pair.client.is_closed());
}

#[test]
fn a_silent_peer_is_closed() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    pair.pass(Duration::from_secs(240) - Duration::from_millis(1));
    pair.server.tick(pair.now);
    assert_eq!(pair.server.next_event(), None);
    pair.pass(Duration::from_millis(1));
    pair.server.tick(pair.now);
    let Some(Event::Closed { error: Some(error), by: Party::Us }) = pair.server.next_event() else {
        panic!()
    };
    assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn an_open_that_does_not_come_ends_it() {
    let mut pair = Pair::new(Limits::default(), Limits::default());
    let deadline = pair.server.next_deadline().unwrap();
    assert_eq!(deadline, pair.now + Duration::from_secs(30));
    pair.server.tick(deadline);
    assert!(pair.server.is_closed());
    assert!(matches!(pair.server.next_event(), Some(Event::Closed { by: Party::Us, .. })));
}
