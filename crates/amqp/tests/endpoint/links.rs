//! Sessions and links: attach, refuse, detach, messages and what becomes of them.

use pollux_amqp::endpoint::{BeginError, Delivery, Event, Limits, LinkOptions, Outgoing, Party, SendError};
use pollux_amqp::performative::{
    DeliveryState, Error, ReceiverSettleMode, Role, SenderSettleMode, Source, Target, condition,
};
use pollux_amqp::{Fields, Symbol};

use crate::pair::{Pair, message, options, payloads};

fn pair() -> Pair {
    Pair::opened(Limits::default(), Limits::default())
}

#[test]
fn an_attach_carries_everything_both_ways() {
    let mut pair = pair();
    let session = pair.begin();
    let mut properties = Fields::default();
    properties.push(Symbol::from_static("com.microsoft:epoch"), pollux_amqp::Value::Long(3));
    let asked = LinkOptions {
        source: Some(Source::at("hub1/ConsumerGroups/$Default/Partitions/0")),
        target: Some(Target::at("t")),
        snd_settle_mode: SenderSettleMode::Settled,
        rcv_settle_mode: ReceiverSettleMode::First,
        max_message_size: Some(77),
        offered_capabilities: vec![],
        desired_capabilities: vec![Symbol::from_static("com.microsoft:enable-receiver-runtime-metric")],
        properties: properties.clone(),
    };
    let ours = pair.client.attach_receiver(session, "name", asked.clone()).unwrap();
    pair.turn();
    let [Event::AttachRequested(request)] = &pair.take_server()[..] else { panic!() };
    assert_eq!((request.name.as_str(), request.role), ("name", Role::Sender));
    assert_eq!((&request.source, &request.target), (&asked.source, &asked.target));
    assert_eq!((request.snd_settle_mode, request.max_message_size), (SenderSettleMode::Settled, Some(77)));
    assert_eq!(request.desired_capabilities, asked.desired_capabilities);
    assert_eq!(request.properties, properties);
    let offered_capabilities = vec![Symbol::from_static("x")];
    let answer = LinkOptions { offered_capabilities: offered_capabilities.clone(), ..request.agreed() };
    assert!(pair.server.accept_attach(request.link, answer.clone()));
    assert!(!pair.server.accept_attach(request.link, answer), "once");
    pair.turn();
    let [Event::Attached(attached)] = &pair.take_client()[..] else { panic!() };
    assert_eq!((attached.link, attached.session, attached.role), (ours, session, Role::Receiver));
    assert_eq!(
        (attached.initial_delivery_count, &attached.offered_capabilities),
        (Some(0), &offered_capabilities)
    );
    // The link settles what it sends, whatever the message says; and the peer's bound holds.
    assert!(pair.client.grant(ours, 5));
    pair.turn();
    assert_eq!(pair.server.send(request.link, message(vec![0; 78])), Err(SendError::TooLarge(77)));
    pair.server.send(request.link, message("x")).unwrap();
    pair.turn();
    assert!(matches!(&pair.take_client()[..], [Event::Delivery(Delivery { settled: true, .. })]));
}

#[test]
fn a_refused_attach_ends_in_a_detach_with_the_reason() {
    let mut pair = pair();
    let session = pair.begin();
    for sends in [true, false] {
        let link = if sends {
            pair.client.attach_sender(session, "x", options())
        } else {
            pair.client.attach_receiver(session, "x", options())
        };
        pair.turn();
        let [Event::AttachRequested(request)] = &pair.take_server()[..] else { panic!() };
        let error = Error::new(condition::NOT_FOUND, "no such partition");
        assert!(pair.server.refuse_attach(request.link, error.clone()));
        pair.turn();
        let detached =
            Event::Detached { link: link.unwrap(), closed: true, error: Some(error), by: Party::Peer };
        assert_eq!(pair.take_client(), [detached]);
        assert_eq!(pair.take_server(), []);
        assert!(!pair.server.detach(request.link, None), "it is gone");
    }
}

#[test]
fn a_detach_reaches_the_other_side_and_frees_the_handle() {
    let mut pair = pair();
    let session = pair.begin();
    let mut seen = Vec::new();
    for round in 0..3 {
        let (ours, theirs) = pair.client_sends(session);
        assert!(!seen.contains(&theirs), "ids are never given out twice");
        seen.push(theirs);
        let error = (round == 1).then(|| Error::new(condition::LINK_DETACH_FORCED, "go"));
        if round == 2 {
            assert!(pair.client.detach(ours, error));
            pair.turn();
            assert_eq!(
                pair.take_server(),
                [Event::Detached { link: theirs, closed: true, error: None, by: Party::Peer }]
            );
        } else {
            assert!(pair.server.detach(theirs, error.clone()));
            pair.turn();
            assert_eq!(
                pair.take_client(),
                [Event::Detached { link: ours, closed: true, error, by: Party::Peer }]
            );
        }
        assert_eq!(pair.client.send(ours, message("x")), Err(SendError::NotAttached));
        assert!(!pair.server.grant(theirs, 1));
        assert_eq!((pair.take_client(), pair.take_server()), (vec![], vec![]));
    }
}

#[test]
fn a_session_ends_with_its_links() {
    let mut pair = pair();
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    let error = Error::new(condition::NOT_ALLOWED, "enough");
    assert!(pair.client.end_session(session, Some(error.clone())));
    assert!(!pair.client.end_session(session, None));
    pair.turn();
    let events = pair.take_server();
    assert!(
        matches!(&events[..], [Event::SessionEnded { error: Some(found), by: Party::Peer, .. }] if *found == error)
    );
    assert_eq!(pair.client.attach_sender(session, "x", options()), Err(BeginError::NotOpen));
    assert_eq!(pair.client.send(ours, message("x")), Err(SendError::NotAttached));
    assert!(!pair.server.grant(theirs, 1));
    let again = pair.begin();
    assert_ne!(again, session);
}

#[test]
fn as_many_sessions_and_links_as_allowed() {
    let few = Limits { max_sessions: 2, max_links: 3, ..Limits::default() };
    let mut pair = Pair::opened(Limits::default(), few);
    let session = pair.begin();
    pair.begin();
    assert_eq!(pair.client.begin_session(), Err(BeginError::TooMany));
    for name in ["a", "b", "c"] {
        pair.client.attach_sender(session, name, options()).unwrap();
    }
    assert_eq!(pair.client.attach_sender(session, "d", options()), Err(BeginError::TooMany));
    pair.turn();
    assert_eq!(pair.take_server().len(), 3);
}

#[test]
fn messages_of_any_size_arrive_in_any_pieces() {
    let small = Limits { max_frame_size: 512, ..Limits::default() };
    for (chunk, sizes) in
        [(1, &[0, 1, 440, 441, 2000][..]), (usize::MAX, &[0, 439, 440, 441, 880, 881, 300_000])]
    {
        let mut pair = Pair::opened(Limits::default(), small.clone());
        pair.chunk = chunk;
        let session = pair.begin();
        let (ours, theirs) = pair.client_sends(session);
        pair.server.grant(theirs, 100);
        pair.turn();
        assert!(matches!(pair.take_client()[..], [Event::Credit { credit: 100, drain: false, .. }]));
        for size in sizes {
            let payload: Vec<u8> = (0..*size).map(|n: i32| n as u8).collect();
            let tag = size.to_string();
            let delivery = Outgoing {
                tag: tag.as_bytes(),
                message_format: 0x8001_3700,
                payload: payload.clone().into(),
                settled: false,
            };
            let id = pair.client.send(ours, delivery).unwrap();
            pair.turn();
            let [Event::Delivery(delivery)] = &pair.take_server()[..] else { panic!() };
            assert_eq!((&delivery.payload[..], &delivery.tag[..]), (&payload[..], tag.as_bytes()));
            assert_eq!((delivery.link, delivery.id, delivery.message_format), (theirs, id, 0x8001_3700));
            assert!(!delivery.settled);
        }
        assert_eq!(pair.client.credit(ours), 100 - sizes.len() as u32);
        assert_eq!(pair.server.credit(theirs), 100 - sizes.len() as u32);
    }
}

#[test]
fn settling_in_order_is_told_as_one_range() {
    let mut pair = pair();
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 10);
    pair.turn();
    let ids: Vec<_> = (0..6).map(|_| pair.client.send(ours, message("x")).unwrap()).collect();
    pair.turn();
    pair.take_client();
    assert_eq!(payloads(&pair.take_server()).len(), 6);
    let rejected = DeliveryState::rejected(Error::new(condition::NOT_ALLOWED, "no"));
    for (id, state) in [
        (0, DeliveryState::Accepted),
        (1, DeliveryState::Accepted),
        (2, DeliveryState::Accepted),
        (4, DeliveryState::Accepted),
        (3, rejected.clone()),
    ] {
        assert!(pair.server.settle(theirs, ids[id], state.clone()));
        assert!(!pair.server.settle(theirs, ids[id], state), "once");
    }
    pair.turn();
    let settled = |first: usize, last: usize, state| Event::Settled {
        link: ours,
        first: ids[first],
        last: ids[last],
        state: Some(state),
        waits: false,
    };
    assert_eq!(
        pair.take_client(),
        [
            settled(0, 2, DeliveryState::Accepted),
            settled(4, 4, DeliveryState::Accepted),
            settled(3, 3, rejected)
        ]
    );
    pair.server.settle(theirs, ids[5], DeliveryState::Released);
    pair.turn();
    assert_eq!(pair.take_client(), [settled(5, 5, DeliveryState::Released)]);
}

#[test]
fn settled_messages_need_no_settling() {
    let mut pair = pair();
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 10);
    pair.turn();
    let id = pair.client.send(ours, Outgoing { settled: true, ..message("x") }).unwrap();
    pair.turn();
    assert!(matches!(&pair.take_server()[..], [Event::Delivery(Delivery { settled: true, .. })]));
    assert!(!pair.server.settle(theirs, id, DeliveryState::Accepted));
}

/// PyPI's azure-eventhub asks for unsettled messages and settles none.
#[test]
fn a_receiver_that_never_settles_is_sent_on_where_nobody_waits_for_it() {
    let few = Limits { max_unsettled: 2, ..Limits::default() };
    let mut pair = Pair::opened(Limits::default(), few);
    let session = pair.begin();
    let unsettled = LinkOptions { snd_settle_mode: SenderSettleMode::Unsettled, ..options() };
    let ours = pair.client.attach_receiver(session, "down", unsettled).unwrap();
    let theirs = pair.agree();
    pair.client.grant(ours, 10);
    pair.turn();
    let mut last = None;
    for _ in 0..10 {
        last = Some(pair.server.send(theirs, Outgoing { settled: true, ..message("x") }).unwrap());
    }
    pair.turn();
    let came = pair.take_client();
    assert_eq!(payloads(&came).len(), 10);
    assert!(came.iter().all(|event| !matches!(event, Event::Delivery(Delivery { settled: true, .. }))));
    assert!(
        pair.client.settle(ours, last.unwrap(), DeliveryState::Accepted),
        "one that settles is borne with"
    );
    pair.turn();
    assert!(pair.take_server().iter().all(|event| !matches!(event, Event::Settled { .. })));
    assert!(!pair.server.is_closed());
}

#[test]
fn unsettled_messages_are_bounded() {
    let few = Limits { max_unsettled: 2, ..Limits::default() };
    let mut pair = Pair::opened(few, Limits::default());
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 10);
    pair.turn();
    let first = pair.client.send(ours, message("x")).unwrap();
    pair.client.send(ours, message("x")).unwrap();
    assert_eq!(pair.client.send(ours, message("x")), Err(SendError::TooManyUnsettled));
    assert!(pair.client.send(ours, Outgoing { settled: true, ..message("x") }).is_ok());
    pair.turn();
    pair.server.settle(theirs, first, DeliveryState::Accepted);
    pair.turn();
    assert!(pair.client.send(ours, message("x")).is_ok());
    assert_eq!(
        pair.client.send(ours, Outgoing { tag: &[0; 33], ..message("x") }),
        Err(SendError::TagTooLong)
    );
}
