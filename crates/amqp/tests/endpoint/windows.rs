//! Credit, draining, session windows, back pressure, numbers that wrap.

use pollux_amqp::endpoint::{Event, Limits, Outgoing, SendError, Serial};
use pollux_amqp::performative::DeliveryState;

use crate::pair::{Pair, message, options, payloads};

#[test]
fn nothing_goes_without_credit() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    let session = pair.begin();
    let (ours, theirs) = pair.server_sends(session);
    assert_eq!(pair.server.send(theirs, message("x")), Err(SendError::NoCredit));
    assert!(pair.client.grant(ours, 2));
    pair.turn();
    assert!(matches!(pair.take_server()[..], [Event::Credit { credit: 2, drain: false, .. }]));
    pair.server.send(theirs, message("1")).unwrap();
    // Granted again while one message is under way: the flow counts from what the receiver had seen.
    pair.client.grant(ours, 2);
    pair.turn();
    assert_eq!(pair.server.credit(theirs), 1);
    pair.server.send(theirs, message("2")).unwrap();
    assert_eq!(pair.server.send(theirs, message("x")), Err(SendError::NoCredit));
    pair.turn();
    assert_eq!(payloads(&pair.take_client()), ["1", "2"]);
    assert_eq!(pair.client.credit(ours), 0);
}

#[test]
fn credit_that_comes_before_the_answer_is_told_after_it() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    let session = pair.begin();
    let ours = pair.client.attach_receiver(session, "x", options()).unwrap();
    assert!(!pair.client.grant(ours, 5), "not attached yet");
    // Raw: many clients send the flow right behind the attach.
    pair.turn();
    let [Event::AttachRequested(request)] = &pair.take_server()[..] else { panic!() };
    let flow = pollux_amqp::performative::Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        handle: Some(0),
        link_credit: Some(5),
        ..Default::default()
    };
    let mut bytes = crate::raw::frame(0, &pollux_amqp::performative::Performative::Flow(Box::new(flow)));
    pair.server.receive(&mut bytes, pair.now);
    assert_eq!(pair.server.next_event(), None);
    assert!(pair.server.accept_attach(request.link, request.agreed()));
    assert!(matches!(pair.server.next_event(), Some(Event::Credit { credit: 5, .. })));
}

#[test]
fn less_credit_does_not_punish_what_is_under_way() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 3);
    pair.turn();
    for _ in 0..3 {
        pair.client.send(ours, message("x")).unwrap();
    }
    pair.server.grant(theirs, 0);
    pair.turn();
    assert_eq!(payloads(&pair.take_server()).len(), 3);
    assert_eq!(pair.client.send(ours, message("x")), Err(SendError::NoCredit));
}

#[test]
fn draining_gives_the_credit_back() {
    let mut pair = Pair::opened(Limits::default(), Limits::default());
    let session = pair.begin();
    let (ours, theirs) = pair.server_sends(session);
    pair.client.grant(ours, 10);
    pair.turn();
    assert!(!pair.server.drained(theirs), "nobody asked");
    pair.client.drain(ours);
    pair.turn();
    assert!(matches!(
        pair.take_server()[..],
        [Event::Credit { .. }, Event::Credit { credit: 10, drain: true, .. }]
    ));
    pair.server.send(theirs, message("last")).unwrap();
    assert!(pair.server.drained(theirs));
    pair.turn();
    let events = pair.take_client();
    assert!(matches!(&events[..], [Event::Delivery(_), Event::Drained(link)] if *link == ours));
    assert_eq!((pair.client.credit(ours), pair.server.credit(theirs)), (0, 0));
    pair.client.grant(ours, 1);
    pair.turn();
    pair.server.send(theirs, message("again")).unwrap();
    pair.turn();
    assert_eq!(payloads(&pair.take_client()), ["again"]);
}

#[test]
fn a_closed_window_refuses_and_tells_when_it_opens() {
    let narrow = Limits { incoming_window: 4, ..Limits::default() };
    let mut pair = Pair::opened(Limits::default(), narrow);
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 1000);
    pair.turn();
    pair.take_client();
    for n in 0..4 {
        pair.client.send(ours, message(n.to_string())).unwrap();
    }
    assert_eq!(pair.client.send(ours, message("x")), Err(SendError::NoWindow));
    pair.turn();
    assert_eq!(pair.take_client(), [Event::WindowOpened(session)]);
    assert_eq!(payloads(&pair.take_server()), ["0", "1", "2", "3"]);
    // One message of more frames than the window holds goes in several turns.
    let tiny = Limits { max_frame_size: 512, incoming_window: 4, ..Limits::default() };
    let mut pair = Pair::opened(Limits::default(), tiny);
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 1000);
    pair.turn();
    let large = vec![7; 10_000];
    pair.client.send(ours, message(large.clone())).unwrap();
    assert_eq!(pair.client.send(ours, message("x")), Err(SendError::NoWindow));
    pair.take_client();
    pair.turn();
    assert_eq!(payloads(&pair.take_server()), [large]);
    assert_eq!(pair.take_client(), [Event::WindowOpened(session)]);
}

#[test]
fn output_that_nobody_takes_stops_the_machine() {
    let small = Limits { max_output: 1000, ..Limits::default() };
    let mut pair = Pair::opened(Limits::default(), small);
    let session = pair.begin();
    let (ours, theirs) = pair.server_sends(session);
    pair.client.grant(ours, 1000);
    pair.turn();
    let mut sent = 0;
    while pair.server.send(theirs, message(vec![0; 100])).is_ok() {
        sent += 1;
    }
    assert!((5..12).contains(&sent), "{sent}");
    assert_eq!(pair.server.send(theirs, message("x")), Err(SendError::OutputFull));
    assert!(!pair.server.wants_read());
    pair.turn();
    assert!(pair.server.wants_read());
    assert_eq!(payloads(&pair.take_client()).len(), sent);
}

#[test]
fn events_that_nobody_drains_stop_the_machine() {
    let few = Limits { max_events: 3, ..Limits::default() };
    let mut pair = Pair::opened(Limits::default(), few);
    let session = pair.begin();
    let (ours, theirs) = pair.client_sends(session);
    pair.server.grant(theirs, 100);
    pair.turn();
    for n in 0..10 {
        pair.client.send(ours, message(n.to_string())).unwrap();
    }
    let mut bytes = bytes::BytesMut::from(&pair.client.take_output().unwrap()[..]);
    pair.server.receive(&mut bytes, pair.now);
    assert!(!pair.server.wants_read() && !bytes.is_empty());
    let mut all = Vec::new();
    while let Some(event) = pair.server.next_event() {
        all.push(event);
        pair.server.receive(&mut bytes, pair.now);
    }
    assert!(bytes.is_empty());
    assert_eq!(payloads(&all).len(), 10);
}

/// Many messages on several links at once, settled in their own order: nothing is lost, nothing stays.
#[test]
fn a_long_run_balances() {
    let narrow = Limits { incoming_window: 50, max_unsettled: 64, ..Limits::default() };
    let mut pair = Pair::opened(narrow.clone(), narrow);
    let session = pair.begin();
    let (up, up_there) = pair.client_sends(session);
    let (down, down_there) = pair.server_sends(session);
    let (mut sent, mut got, mut settled) = (0_u32, 0_u32, 0_u32);
    while sent < 20_000 || settled < sent {
        pair.server.grant(up_there, 40);
        pair.client.grant(down, 40);
        pair.turn();
        while sent < 20_000 && pair.client.send(up, message("u")).is_ok() {
            sent += 1;
        }
        while pair
            .server
            .send(down_there, Outgoing { settled: sent.is_multiple_of(3), ..message("d") })
            .is_ok()
        {}
        pair.turn();
        for event in pair.take_server() {
            match event {
                Event::Delivery(delivery) => {
                    got += 1;
                    assert!(pair.server.settle(delivery.link, delivery.id, DeliveryState::Accepted));
                }
                Event::Settled { .. } | Event::Credit { .. } | Event::WindowOpened(_) => {}
                other => panic!("{other:?}"),
            }
        }
        for event in pair.take_client() {
            match event {
                Event::Delivery(delivery) if !delivery.settled => {
                    assert!(pair.client.settle(delivery.link, delivery.id, DeliveryState::Released));
                }
                Event::Settled { first, last, .. } => settled += last.since(first) + 1,
                Event::Delivery(_) | Event::Credit { .. } | Event::WindowOpened(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((sent, got), (settled, settled));
    assert!(Serial(sent).is_before(Serial(sent + 1)));
}
