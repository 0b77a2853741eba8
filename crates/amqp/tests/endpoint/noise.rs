//! Noise: no bytes and no order of performatives make the machine panic or grow.

use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{Event, Limits, Outgoing, SessionId};
use pollux_amqp::frame::ProtocolHeader;
use pollux_amqp::performative::{
    Begin, Close, DeliveryState, Detach, Disposition, End, Flow, Performative, Role, Transfer,
};
use proptest::prelude::*;

use crate::raw::{Raw, attach, begin, frame, open, transfer};

fn small() -> Limits {
    Limits {
        max_frame_size: 2048,
        max_sessions: 3,
        max_links: 3,
        max_message_size: 300,
        max_partial_bytes: 500,
        max_unsettled: 4,
        incoming_window: 6,
        max_events: 8,
        max_event_bytes: 4096,
        max_output: 4096,
        ..Limits::default()
    }
}

/// Performatives that make some sense, with numbers that often meet.
fn performative() -> impl Strategy<Value = Performative> {
    let near = || prop_oneof![0..5_u32, Just(u32::MAX), any::<u32>()];
    let state = prop::option::of(prop_oneof![
        Just(DeliveryState::Accepted),
        Just(DeliveryState::Released),
        Just(DeliveryState::Received { section_number: 0, section_offset: 0 })
    ]);
    prop_oneof![
        1 => Just(open()),
        3 => (prop::option::of(0..3_u16), near(), near()).prop_map(|(remote_channel, id, window)| {
            let begin = Begin { remote_channel, next_outgoing_id: id, incoming_window: window, ..begin() };
            Performative::Begin(Box::new(begin))
        }),
        6 => ("[ab]", 0..4_u32, any::<bool>(), near()).prop_map(|(name, handle, sends, count)| {
            let mut attach = attach(&name, handle, if sends { Role::Sender } else { Role::Receiver });
            attach.initial_delivery_count = Some(count);
            Performative::Attach(Box::new(attach))
        }),
        6 => (prop::option::of(near()), near(), prop::option::of(0..4_u32), near(), any::<bool>(), any::<bool>())
            .prop_map(|(next_incoming_id, window, handle, credit, drain, echo)| {
                Performative::Flow(Box::new(Flow {
                    next_incoming_id,
                    incoming_window: window,
                    next_outgoing_id: window,
                    handle,
                    delivery_count: next_incoming_id,
                    link_credit: Some(credit),
                    drain,
                    echo,
                    ..Flow::default()
                }))
            }),
        9 => (0..4_u32, prop::option::of(near()), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(handle, delivery_id, more, settled, aborted)| {
                Performative::Transfer(Transfer {
                    handle,
                    delivery_id,
                    more,
                    settled: Some(settled),
                    aborted,
                    ..transfer(0)
                })
            }
        ),
        4 => (any::<bool>(), near(), prop::option::of(near()), any::<bool>(), state).prop_map(
            |(sender, first, last, settled, state)| {
                let role = if sender { Role::Sender } else { Role::Receiver };
                Performative::Disposition(Disposition { role, first, last, settled, state, batchable: false })
            }
        ),
        2 => (0..4_u32, any::<bool>()).prop_map(|(handle, closed)| {
            Performative::Detach(Detach { handle, closed, error: None })
        }),
        1 => Just(Performative::End(End::default())),
        1 => Just(Performative::Close(Close::default())),
    ]
}

/// A driver that agrees to everything and does a bit of everything.
fn drive(raw: &mut Raw, sessions: &mut Vec<SessionId>) {
    for event in raw.events() {
        let server = &mut raw.server;
        match event {
            Event::Opened(_) => server.open(Default::default()),
            Event::Sasl(_) => {
                server.sasl_outcome(pollux_amqp::sasl::Code::Ok);
            }
            Event::SessionBegun(session) => sessions.push(session),
            Event::AttachRequested(request) if request.name == "a" => {
                assert!(request.session == *sessions.last().unwrap() || sessions.contains(&request.session));
                server.accept_attach(request.link, request.agreed());
                server.grant(request.link, 5);
            }
            Event::Credit { link, drain, .. } => {
                for _ in 0..3 {
                    let payload = Bytes::from(vec![1; 1000]);
                    let _ =
                        server.send(link, Outgoing { tag: b"", message_format: 0, payload, settled: false });
                }
                if drain {
                    server.drained(link);
                }
            }
            Event::Delivery(delivery) if delivery.id.0.is_multiple_of(2) => {
                server.settle(delivery.link, delivery.id, DeliveryState::Accepted);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_performatives_makes_it_panic(
        steps in prop::collection::vec((0..4_u16, performative(), 0..400_usize), 1..60),
        take in 1..5_usize,
    ) {
        let mut raw = Raw::opened(small());
        let mut sessions = Vec::new();
        raw.say(0, &Performative::Begin(Box::new(begin())));
        for (n, (channel, performative, size)) in steps.into_iter().enumerate() {
            let mut bytes = frame(channel, &performative);
            if matches!(performative, Performative::Transfer(_)) {
                bytes.extend_from_slice(&vec![0; size]);
                let length = (bytes.len() as u32).to_be_bytes();
                bytes[..4].copy_from_slice(&length);
            }
            raw.bytes(&bytes);
            drive(&mut raw, &mut sessions);
            prop_assert!(raw.server.output_len() < 4096 + 3 * 2048 + 1024, "{}", raw.server.output_len());
            if n % take == 0 {
                raw.said();
                raw.bytes(&[]);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        amqp in any::<bool>(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
    ) {
        let mut raw = Raw::new(small());
        let header = if amqp { ProtocolHeader::Amqp } else { ProtocolHeader::Sasl };
        raw.bytes(&header.bytes());
        for piece in pieces {
            // A true frame header, so that the noise gets somewhere.
            let size = (piece.len() as u32 + 8).to_be_bytes();
            let mut bytes = BytesMut::from(&size[..]);
            bytes.extend_from_slice(&[2, u8::from(!amqp), 0, 0]);
            bytes.extend_from_slice(&piece);
            raw.bytes(&bytes);
            drive(&mut raw, &mut Vec::new());
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic(
        steps in prop::collection::vec((performative(), any::<prop::sample::Index>(), any::<u8>()), 1..30),
    ) {
        let mut raw = Raw::begun(small());
        let mut sessions = Vec::new();
        for (performative, at, byte) in steps {
            let mut bytes = frame(0, &performative);
            let at = at.index(bytes.len() - 4) + 4;
            bytes[at] = byte;
            raw.bytes(&bytes);
            for _ in raw.events() {}
            drive(&mut raw, &mut sessions);
            raw.server.take_output();
        }
    }
}
