//! Peers that break the rules: each ends the least that the standard says, with the condition it names.

use bytes::{Bytes, BytesMut};
use pollux_amqp::Symbol;
use pollux_amqp::endpoint::{Event, Limits, Outgoing, Party};
use pollux_amqp::frame::ProtocolHeader;
use pollux_amqp::performative::{
    Attach, AttachTarget, Begin, Close, DeliveryState, Detach, Disposition, End, Error, Flow, Open,
    Performative, Role, SenderSettleMode, Transfer, condition,
};

use crate::raw::{Raw, attach, begin, flow, open, transfer};

/// What the server ended, and the condition it gave.
#[derive(Debug, PartialEq)]
enum Ended {
    Connection(Symbol),
    Session(Symbol),
    Link(Symbol),
}

/// The one ending among what the server said, told to the driver as well.
fn ended(raw: &mut Raw) -> Ended {
    let told = raw.events().into_iter().find_map(|event| match event {
        Event::Closed { error: Some(error), by: Party::Us } => Some(Ended::Connection(error.condition)),
        Event::SessionEnded { error: Some(error), by: Party::Us, .. } => {
            Some(Ended::Session(error.condition))
        }
        Event::Detached { error: Some(error), by: Party::Us, .. } => Some(Ended::Link(error.condition)),
        _ => None,
    });
    let said = raw.said();
    let ending = said.iter().find_map(|performative| match performative {
        Performative::Close(Close { error: Some(error) }) => Some(Ended::Connection(error.condition.clone())),
        Performative::End(End { error: Some(error) }) => Some(Ended::Session(error.condition.clone())),
        Performative::Detach(Detach { error: Some(error), .. }) => Some(Ended::Link(error.condition.clone())),
        _ => None,
    });
    assert_eq!(told, ending, "{said:?}");
    ending.expect("something ends")
}

#[test]
fn before_open() {
    let cases: [(Performative, Symbol); 4] = [
        (Performative::Begin(Box::new(begin())), condition::ILLEGAL_STATE),
        (Performative::Close(Close::default()), condition::ILLEGAL_STATE),
        (
            Performative::Open(Box::new(Open { max_frame_size: 511, ..Open::default() })),
            condition::INVALID_FIELD,
        ),
        (
            Performative::Open(Box::new(Open { idle_time_out: Some(1), ..Open::default() })),
            condition::NOT_ALLOWED,
        ),
    ];
    for (performative, condition) in cases {
        let mut raw = Raw::new(Limits::default());
        raw.bytes(&ProtocolHeader::Amqp.bytes());
        raw.say(0, &performative);
        let said = raw.said();
        let [Performative::Open(_), Performative::Close(Close { error: Some(error) })] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!(error.condition, condition, "{performative:?}");
    }
}

#[test]
fn what_is_no_amqp_gets_a_header_and_no_more() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"AMQP\x00\x00\x09\x01", b"AMQP\x02\x01\x00\x00"] {
        let mut raw = Raw::new(Limits::default());
        raw.bytes(bytes);
        assert!(raw.server.is_closed());
        assert_eq!(raw.server.take_output().unwrap(), ProtocolHeader::Sasl.bytes()[..]);
        assert!(matches!(raw.events()[..], [Event::Closed { by: Party::Us, .. }]));
    }
}

#[test]
fn frames_that_are_none() {
    let cases: [&[u8]; 6] = [
        &[0, 0, 0, 7, 2, 0, 0, 0],
        &[0, 0, 0, 8, 1, 0, 0, 0],
        &[0, 0, 0, 8, 2, 7, 0, 0],
        &[0, 1, 0, 1, 2, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff],
        b"GET / HTTP",
    ];
    for bytes in cases {
        let mut raw = Raw::opened(Limits::default());
        raw.bytes(bytes);
        let framing = Ended::Connection(condition::CONNECTION_FRAMING_ERROR);
        assert_eq!(ended(&mut raw), framing, "{bytes:02x?}");
    }
    let mut raw = Raw::opened(Limits::default());
    raw.bytes(&[0, 0, 0, 9, 2, 0, 0, 0, 0x43]);
    assert_eq!(ended(&mut raw), Ended::Connection(condition::DECODE_ERROR));
    let mut raw = Raw::opened(Limits::default());
    raw.bytes(&[0, 0, 0, 8, 2, 1, 0, 0]);
    assert_eq!(ended(&mut raw), Ended::Connection(condition::NOT_ALLOWED));
    let mut raw = Raw::opened(Limits::default());
    raw.bytes(&[0, 0, 0, 8, 2, 0, 0, 0]);
    assert_eq!((raw.events(), raw.said()), (vec![], vec![]), "a heartbeat is nothing");
}

#[test]
fn performatives_out_of_place() {
    let answer = Begin { remote_channel: Some(5), ..begin() };
    let few = Limits { max_sessions: 4, max_links: 4, max_link_name: 10, ..Limits::default() };
    let connection = Ended::Connection;
    let session = Ended::Session;
    let detach = |handle| Performative::Detach(Detach { handle, closed: true, error: None });
    let cases: Vec<(u16, Performative, Ended)> = vec![
        (0, open(), connection(condition::ILLEGAL_STATE)),
        (0, Performative::Begin(Box::new(begin())), connection(condition::ILLEGAL_STATE)),
        (4, Performative::Begin(Box::new(begin())), connection(condition::CONNECTION_FRAMING_ERROR)),
        (1, Performative::Begin(Box::new(answer)), connection(condition::NOT_ALLOWED)),
        (
            1,
            Performative::Attach(Box::new(attach("x", 1, Role::Sender))),
            connection(condition::ILLEGAL_STATE),
        ),
        (9, Performative::End(End::default()), connection(condition::CONNECTION_FRAMING_ERROR)),
        (
            0,
            Performative::Attach(Box::new(attach("x", 4, Role::Sender))),
            connection(condition::CONNECTION_FRAMING_ERROR),
        ),
        (
            0,
            Performative::Attach(Box::new(attach("x", 0, Role::Sender))),
            session(condition::SESSION_HANDLE_IN_USE),
        ),
        (
            0,
            Performative::Attach(Box::new(attach("a name too long", 1, Role::Sender))),
            session(condition::RESOURCE_LIMIT_EXCEEDED),
        ),
        (
            0,
            Performative::Transfer(Transfer { handle: 1, ..transfer(0) }),
            session(condition::SESSION_UNATTACHED_HANDLE),
        ),
        (
            0,
            Performative::Transfer(Transfer { handle: u32::MAX, ..transfer(0) }),
            session(condition::SESSION_UNATTACHED_HANDLE),
        ),
        (0, detach(3), session(condition::SESSION_UNATTACHED_HANDLE)),
        (
            0,
            Performative::Flow(Box::new(Flow { handle: Some(2), ..flow() })),
            session(condition::SESSION_UNATTACHED_HANDLE),
        ),
        (
            0,
            Performative::Disposition(Disposition {
                role: Role::Receiver,
                first: 5,
                last: Some(4),
                settled: true,
                state: None,
                batchable: false,
            }),
            session(condition::INVALID_FIELD),
        ),
        // The same name again takes the link over.
        (
            0,
            Performative::Attach(Box::new(attach("l", 1, Role::Sender))),
            Ended::Link(condition::LINK_STOLEN),
        ),
    ];
    for (channel, performative, expected) in cases {
        let (mut raw, _) = Raw::attached(few.clone(), 1);
        raw.say(channel, &performative);
        assert_eq!(ended(&mut raw), expected, "{performative:?}");
    }
}

/// Transfers, each with the size of its payload.
type SizedTransfers = Vec<(Transfer, usize)>;

#[test]
fn transfers_against_the_rules() {
    let limits = Limits { max_message_size: 100, max_unsettled: 5, ..Limits::default() };
    let more = |id| Transfer { more: true, ..transfer(id) };
    let cases: Vec<(&str, SizedTransfers, Ended)> = vec![
        (
            "more than the credit",
            (0..4).map(|id| (transfer(id), 1)).collect(),
            Ended::Link(condition::LINK_TRANSFER_LIMIT_EXCEEDED),
        ),
        (
            "too large, and settled",
            vec![(Transfer { settled: Some(true), ..transfer(0) }, 101)],
            Ended::Link(condition::LINK_MESSAGE_SIZE_EXCEEDED),
        ),
        (
            "without end",
            (0..40).map(|_| (more(0), 60)).collect(),
            Ended::Link(condition::LINK_MESSAGE_SIZE_EXCEEDED),
        ),
        (
            "no number",
            vec![(Transfer { delivery_id: None, ..transfer(0) }, 1)],
            Ended::Link(condition::INVALID_FIELD),
        ),
        ("a number twice", vec![(transfer(7), 1), (transfer(7), 1)], Ended::Link(condition::INVALID_FIELD)),
        ("one within another", vec![(more(0), 1), (transfer(1), 1)], Ended::Link(condition::INVALID_FIELD)),
        (
            "a long tag",
            vec![(Transfer { delivery_tag: Some(Bytes::from_static(&[0; 33])), ..transfer(0) }, 1)],
            Ended::Link(condition::INVALID_FIELD),
        ),
    ];
    for (name, transfers, expected) in cases {
        let (mut raw, _) = Raw::attached(limits.clone(), 3);
        for (transfer, size) in transfers {
            raw.transfer(transfer, &vec![0; size]);
        }
        assert_eq!(ended(&mut raw), expected, "{name}");
        // What was under way is ignored; the session lives.
        raw.transfer(transfer(99), b"late");
        raw.say(0, &Performative::Detach(Detach { handle: 0, closed: true, error: None }));
        assert_eq!((raw.events(), raw.said()), (vec![], vec![]), "{name}");
        raw.say(0, &Performative::Attach(Box::new(attach("next", 0, Role::Sender))));
        assert!(matches!(raw.events()[..], [Event::AttachRequested(_)]), "{name}");
    }
    let (mut raw, _) = Raw::attached(limits, 10);
    for id in 0..6 {
        raw.transfer(transfer(id), b"");
    }
    assert_eq!(ended(&mut raw), Ended::Link(condition::RESOURCE_LIMIT_EXCEEDED));
}

#[test]
fn a_message_that_is_too_large_is_rejected_and_the_link_lives() {
    let limits = Limits { max_message_size: 100, ..Limits::default() };
    let more = |id| Transfer { more: true, ..transfer(id) };
    for pieces in [vec![(transfer(0), 101)], vec![(more(0), 60), (more(0), 60), (transfer(0), 60)]] {
        let (mut raw, _) = Raw::attached(limits.clone(), 3);
        for (transfer, size) in pieces {
            raw.transfer(transfer, &vec![0; size]);
        }
        assert_eq!(raw.events(), vec![]);
        let said = raw.said();
        let rejected = |one: &Performative| {
            matches!(one, Performative::Disposition(Disposition { first: 0, settled: true, state: Some(DeliveryState::Rejected(Some(error))), .. })
                if error.condition == condition::LINK_MESSAGE_SIZE_EXCEEDED)
        };
        assert!(said.iter().any(rejected), "{said:?}");
        raw.transfer(transfer(1), b"small");
        assert!(matches!(&raw.events()[..], [Event::Delivery(one)] if &one.payload[..] == b"small"));
    }
}

#[test]
fn a_transfer_before_the_answer_or_on_the_wrong_end() {
    let mut raw = Raw::begun(Limits::default());
    raw.say(0, &Performative::Attach(Box::new(attach("l", 0, Role::Sender))));
    raw.transfer(transfer(0), b"x");
    assert_eq!(ended(&mut raw), Ended::Link(condition::LINK_TRANSFER_LIMIT_EXCEEDED));
    let mut raw = Raw::begun(Limits::default());
    raw.say(0, &Performative::Attach(Box::new(attach("l", 0, Role::Receiver))));
    raw.transfer(transfer(0), b"x");
    assert_eq!(ended(&mut raw), Ended::Link(condition::NOT_ALLOWED));
}

#[test]
fn more_transfers_than_the_window() {
    let (mut raw, _) = Raw::attached(Limits { incoming_window: 3, ..Limits::default() }, 100);
    // All in one read: the peer cannot have heard of more.
    let mut bytes = BytesMut::new();
    for id in 0..4 {
        bytes.extend_from_slice(&crate::raw::frame(0, &Performative::Transfer(transfer(id))));
    }
    raw.bytes(&bytes);
    assert_eq!(ended(&mut raw), Ended::Session(condition::SESSION_WINDOW_VIOLATION));
    // What was under way is ignored until the peer's end; then the channel is free.
    raw.transfer(transfer(9), b"late");
    raw.say(0, &Performative::Attach(Box::new(attach("late", 3, Role::Sender))));
    raw.say(0, &Performative::End(End::default()));
    assert_eq!((raw.events(), raw.said()), (vec![], vec![]));
    raw.say(0, &Performative::Begin(Box::new(begin())));
    assert!(matches!(raw.events()[..], [Event::SessionBegun(_)]));
}

#[test]
fn incomplete_messages_are_bounded_over_all_links() {
    let limits = Limits { max_partial_bytes: 1000, ..Limits::default() };
    let (mut raw, _) = Raw::attached(limits, 10);
    raw.say(0, &Performative::Attach(Box::new(attach("m", 1, Role::Sender))));
    let [Event::AttachRequested(request)] = &raw.events()[..] else { panic!() };
    raw.server.accept_attach(request.link, request.agreed());
    raw.server.grant(request.link, 10);
    for round in 0..6 {
        // Completed and aborted ones give their bytes back.
        raw.transfer(Transfer { more: true, ..transfer(round) }, &[0; 900]);
        raw.transfer(Transfer { aborted: round % 2 == 0, ..transfer(round) }, b"");
    }
    assert_eq!(crate::pair::payloads(&raw.events()).len(), 3);
    raw.transfer(Transfer { more: true, ..transfer(100) }, &[0; 600]);
    raw.transfer(Transfer { handle: 1, more: true, ..transfer(101) }, &[0; 600]);
    assert_eq!(ended(&mut raw), Ended::Connection(condition::RESOURCE_LIMIT_EXCEEDED));
}

#[test]
fn more_sessions_or_links_than_the_peer_itself_allows() {
    let mut raw = Raw::new(Limits::default());
    raw.bytes(&ProtocolHeader::Amqp.bytes());
    let narrow = Open { channel_max: 0, ..Open::default() };
    raw.say(0, &Performative::Open(Box::new(narrow)));
    raw.server.open(Default::default());
    raw.say(0, &Performative::Begin(Box::new(Begin { handle_max: 0, ..begin() })));
    raw.said();
    raw.say(0, &Performative::Attach(Box::new(attach("a", 0, Role::Sender))));
    raw.say(0, &Performative::Attach(Box::new(attach("b", 1, Role::Sender))));
    assert_eq!(ended(&mut raw), Ended::Session(condition::RESOURCE_LIMIT_EXCEEDED));
    raw.say(1, &Performative::Begin(Box::new(begin())));
    assert_eq!(ended(&mut raw), Ended::Connection(condition::RESOURCE_LIMIT_EXCEEDED));
}

#[test]
fn what_does_not_fit_the_peers_frames_ends_it() {
    let mut raw = Raw::new(Limits::default());
    raw.bytes(&ProtocolHeader::Amqp.bytes());
    raw.say(0, &Performative::Open(Box::new(Open { max_frame_size: 512, ..Open::default() })));
    raw.server.open(Default::default());
    raw.say(0, &Performative::Begin(Box::new(begin())));
    let name = "n".repeat(600);
    raw.say(0, &Performative::Attach(Box::new(attach(&name, 0, Role::Sender))));
    let events = raw.events();
    let Some(Event::AttachRequested(request)) = events.last() else { panic!("{events:?}") };
    raw.server.accept_attach(request.link, request.agreed());
    assert!(raw.said().iter().any(|said| matches!(said, Performative::Close(_))));
    assert!(matches!(&raw.events()[..], [Event::Closed { error: Some(error), .. }]
        if error.condition == condition::FRAME_SIZE_TOO_SMALL));
}

#[test]
fn a_coordinator_is_refused() {
    let mut raw = Raw::begun(Limits::default());
    let mut asked = attach("txn", 0, Role::Sender);
    asked.target = Some(AttachTarget::Coordinator);
    raw.say(0, &Performative::Attach(Box::new(asked)));
    assert_eq!(raw.events(), [], "the driver is not bothered");
    let said = raw.said();
    let [Performative::Attach(answer), Performative::Detach(Detach { closed: true, error: Some(error), .. })] =
        &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!((&answer.target, &error.condition), (&None, &condition::NOT_IMPLEMENTED));
}

#[test]
fn an_attach_that_is_taken_back_is_answered() {
    let mut raw = Raw::begun(Limits::default());
    raw.say(0, &Performative::Attach(Box::new(attach("l", 0, Role::Sender))));
    raw.say(0, &Performative::Detach(Detach { handle: 0, closed: true, error: None }));
    let events = raw.events();
    let [Event::AttachRequested(request), Event::Detached { by: Party::Peer, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(!raw.server.accept_attach(request.link, request.agreed()));
    assert!(matches!(raw.said()[..], [Performative::Attach(_), Performative::Detach(_)]));
}

#[test]
fn echo_is_answered_and_outcomes_are_settled() {
    let mut raw = Raw::begun(Limits::default());
    raw.say(0, &Performative::Flow(Box::new(Flow { echo: true, ..flow() })));
    let said = raw.said();
    let [Performative::Flow(answer)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((answer.handle, answer.incoming_window, answer.echo), (None, 5000, false));
    raw.say(0, &Performative::Attach(Box::new(attach("l", 0, Role::Receiver))));
    let [Event::AttachRequested(request)] = &raw.events()[..] else { panic!() };
    raw.server.accept_attach(request.link, request.agreed());
    raw.say(
        0,
        &Performative::Flow(Box::new(Flow { handle: Some(0), link_credit: Some(7), echo: true, ..flow() })),
    );
    let said = raw.said();
    let [Performative::Attach(_), Performative::Flow(answer)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((answer.handle, answer.delivery_count, answer.link_credit), (Some(0), Some(0), Some(7)));
    raw.events();
    let id = raw.server.send(request.link, crate::pair::message("x")).unwrap();
    // A transfer as it goes out: eleven fields, read back.
    let said = raw.said();
    let [Performative::Transfer(sent)] = &said[..] else { panic!("{said:?}") };
    let expected = Transfer {
        delivery_tag: Some(Bytes::from_static(b"tag")),
        message_format: Some(0),
        settled: Some(false),
        ..transfer(id.0)
    };
    assert_eq!(*sent, expected);
    // The receiver has decided but waits for us: we settle when it is done.
    let decided = Disposition {
        role: Role::Receiver,
        first: id.0,
        last: None,
        settled: false,
        state: Some(DeliveryState::Accepted),
        batchable: false,
    };
    raw.say(0, &Performative::Disposition(decided.clone()));
    assert_eq!(raw.said(), []);
    let [Event::Settled { link, first, last, waits: true, .. }] = raw.events()[..] else { panic!() };
    let lost = DeliveryState::rejected(Error::new(condition::NOT_FOUND, "its lock is lost"));
    assert!(raw.server.confirm(link, (first, last), Some(lost.clone())));
    let ours =
        |state| Disposition { role: Role::Sender, settled: true, state: Some(state), ..decided.clone() };
    let told = ours(lost);
    assert_eq!(raw.said(), [Performative::Disposition(told)]);
    // What we have forgotten is settled by its word.
    raw.say(0, &Performative::Disposition(decided.clone()));
    assert_eq!(raw.said(), [Performative::Disposition(ours(DeliveryState::Accepted))]);
    assert!(raw.events().is_empty());
}

/// Of a range in which the driver hears of some only, the others are settled at once.
#[test]
fn what_nobody_hears_of_is_settled_beside_what_is_heard_of() {
    let mut raw = Raw::begun(Limits::default());
    let unsettled = Attach { snd_settle_mode: SenderSettleMode::Unsettled, ..attach("l", 0, Role::Receiver) };
    raw.say(0, &Performative::Attach(Box::new(unsettled)));
    let [Event::AttachRequested(request)] = &raw.events()[..] else { panic!() };
    raw.server.accept_attach(request.link, request.agreed());
    raw.say(0, &Performative::Flow(Box::new(Flow { handle: Some(0), link_credit: Some(9), ..flow() })));
    raw.events();
    let sent: Vec<_> = [true, true, false, true, false, false]
        .into_iter()
        .map(|settled| {
            let message = Outgoing { settled, ..crate::pair::message("x") };
            raw.server.send(request.link, message).unwrap()
        })
        .collect();
    raw.said();
    let decided = Disposition {
        role: Role::Receiver,
        first: sent[0].0,
        last: Some(sent[5].0),
        settled: false,
        state: Some(DeliveryState::Accepted),
        batchable: false,
    };
    raw.say(0, &Performative::Disposition(decided.clone()));
    let ours = |first: usize, last: Option<usize>| {
        let (role, settled) = (Role::Sender, true);
        let (first, last) = (sent[first].0, last.map(|last| sent[last].0));
        Performative::Disposition(Disposition { role, first, last, settled, ..decided.clone() })
    };
    assert_eq!(raw.said(), [ours(0, Some(1)), ours(3, None)]);
    let events = raw.events();
    let [Event::Settled { first: a, last: b, .. }, Event::Settled { first: c, last: d, .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!([a, b, c, d], [&sent[2], &sent[2], &sent[4], &sent[5]]);
    assert!(raw.server.confirm(request.link, (*c, *d), Some(DeliveryState::Accepted)));
    assert_eq!(raw.said(), [ours(4, Some(5))]);
}

/// One rejection over a huge range holds its reason once, and touches only what is there.
#[test]
fn a_disposition_over_everything_is_cheap() {
    let mut raw = Raw::begun(Limits::default());
    raw.say(0, &Performative::Attach(Box::new(attach("l", 0, Role::Receiver))));
    let [Event::AttachRequested(request)] = &raw.events()[..] else { panic!() };
    raw.server.accept_attach(request.link, request.agreed());
    raw.say(
        0,
        &Performative::Flow(Box::new(Flow { handle: Some(0), link_credit: Some(u32::MAX), ..flow() })),
    );
    raw.events();
    let sent = (0..900)
        .map(|_| raw.server.send(request.link, crate::pair::message("x")).unwrap())
        .collect::<Vec<_>>();
    let all = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(i32::MAX as u32),
        settled: true,
        state: Some(DeliveryState::Released),
        batchable: false,
    };
    raw.say(0, &Performative::Disposition(all));
    let events = raw.events();
    let [Event::Settled { first, last, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((first, last), (&sent[0], &sent[899]));
}

/// Delivery-ids, transfer-ids and counts of a sender that has come to the end of its numbers.
#[test]
fn numbers_wrap() {
    let near = u32::MAX - 2;
    let mut raw = Raw::opened(Limits { incoming_window: 4, ..Limits::default() });
    raw.say(0, &Performative::Begin(Box::new(Begin { next_outgoing_id: near, ..begin() })));
    let mut asked = attach("l", 0, Role::Sender);
    asked.initial_delivery_count = Some(near);
    raw.say(0, &Performative::Attach(Box::new(asked)));
    let events = raw.events();
    let [Event::SessionBegun(_), Event::AttachRequested(request)] = &events[..] else { panic!() };
    raw.server.accept_attach(request.link, request.agreed());
    raw.server.grant(request.link, 10);
    raw.said();
    let mut ids = Vec::new();
    for n in 0..10 {
        raw.transfer(transfer(near.wrapping_add(n)), b"x");
        let events = raw.events();
        let [Event::Delivery(delivery)] = &events[..] else { panic!("{events:?}") };
        ids.push(delivery.id);
    }
    for id in &ids {
        assert!(raw.server.settle(request.link, *id, DeliveryState::Accepted));
    }
    let said = raw.said();
    let Some(Performative::Disposition(disposition)) = said.last() else { panic!("{said:?}") };
    assert_eq!((disposition.first, disposition.last), (near, Some(near.wrapping_add(9))));
    let flow =
        said.iter().find_map(|said| if let Performative::Flow(flow) = said { Some(flow) } else { None });
    assert_eq!(flow.unwrap().next_incoming_id, Some(near.wrapping_add(2)));
    raw.transfer(transfer(near.wrapping_add(10)), b"x");
    assert_eq!(ended(&mut raw), Ended::Link(condition::LINK_TRANSFER_LIMIT_EXCEEDED));
}
