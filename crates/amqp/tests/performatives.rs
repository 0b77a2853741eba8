//! Performatives and SASL frames: every field is written, missing ones are read as defaults, wrong ones are named.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use bytes::{Bytes, BytesMut};
use pollux_amqp::performative::{
    Attach, AttachTarget, Begin, Close, DeliveryState, Detach, Disposition, End, Error, Flow, Modified, Open,
    Performative, ReceiverSettleMode, Role, SenderSettleMode, Source, Target, Transfer, condition,
};
use pollux_amqp::sasl::{Code, Init, PLAIN, Response, SaslFrame};
use pollux_amqp::{Described, Fields, Symbol, Value};
use proptest::prelude::*;

fn encode(performative: &Performative) -> Bytes {
    let mut out = BytesMut::new();
    performative.encode(&mut out);
    out.freeze()
}

fn decode(bytes: impl Into<Bytes>) -> Result<(Performative, Bytes), String> {
    Performative::decode(bytes.into()).map_err(|error| error.to_string())
}

fn attach() -> Attach {
    Attach {
        name: "l".to_owned(),
        handle: 0,
        role: Role::Sender,
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: None,
        target: None,
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: None,
        max_message_size: None,
        offered_capabilities: vec![],
        desired_capabilities: vec![],
        properties: Fields::default(),
    }
}

fn begin() -> Begin {
    Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 1,
        outgoing_window: 2,
        handle_max: 255,
        offered_capabilities: vec![],
        desired_capabilities: vec![],
        properties: Fields::default(),
    }
}

fn disposition(state: Option<DeliveryState>) -> Disposition {
    Disposition { role: Role::Receiver, first: 1, last: None, settled: true, state, batchable: false }
}

/// PyPI's pyamqp reads fields by position without looking at the length: all of them must be there, at the first level and,
/// for logging, below. The bytes are what goes on the wire.
#[test]
fn every_field_is_written() {
    const N: u8 = 0x40;
    let cases: Vec<(Performative, Vec<u8>)> = vec![
            (
                Performative::Open(Box::default()),
                [
                    &[0, 0x53, 0x10, 0xc0, 18, 10, 0xa1, 0, N, 0x70, 255, 255, 255, 255, 0x60, 255, 255][..],
                    &[N; 6],
                ]
                .concat(),
            ),
            (
                Performative::Begin(Box::new(begin())),
                vec![0, 0x53, 0x11, 0xc0, 12, 8, N, 0x43, 0x52, 1, 0x52, 2, 0x52, 255, N, N, N],
            ),
            (
                Performative::Attach(Box::new(attach())),
                [
                    &[
                        0, 0x53, 0x12, 0xc0, 19, 14, 0xa1, 1, b'l', 0x43, 0x42, 0x50, 2, 0x50, 0, N, N, N,
                        0x42,
                    ][..],
                    &[N; 5],
                ]
                .concat(),
            ),
            (
                Performative::Flow(Box::default()),
                vec![0, 0x53, 0x13, 0xc0, 12, 11, N, 0x43, 0x43, 0x43, N, N, N, N, 0x42, 0x42, N],
            ),
            (
                Performative::Transfer(Transfer::default()),
                vec![0, 0x53, 0x14, 0xc0, 12, 11, 0x43, N, N, N, N, 0x42, N, N, 0x42, 0x42, 0x42],
            ),
            (
                Performative::Disposition(disposition(Some(DeliveryState::Accepted))),
                vec![0, 0x53, 0x15, 0xc0, 11, 6, 0x41, 0x52, 1, N, 0x41, 0, 0x53, 0x24, 0x45, 0x42],
            ),
            (
                Performative::Detach(Detach { handle: 3, closed: true, error: None }),
                vec![0, 0x53, 0x16, 0xc0, 5, 3, 0x52, 3, 0x41, N],
            ),
            (Performative::End(End::default()), vec![0, 0x53, 0x17, 0xc0, 2, 1, N]),
            (Performative::Close(Close::default()), vec![0, 0x53, 0x18, 0xc0, 2, 1, N]),
        ];
    for (performative, bytes) in cases {
        assert_eq!(&encode(&performative)[..], bytes, "{performative:?}");
        assert_eq!(decode(bytes), Ok((performative, Bytes::new())));
    }
}

#[test]
fn what_they_are_made_of_is_written_in_full() {
    let counts: Vec<(Performative, u8, usize)> = vec![
        (Performative::Attach(Box::new(Attach { source: Some(Source::default()), ..attach() })), 0x28, 11),
        (
            Performative::Attach(Box::new(Attach {
                target: Some(AttachTarget::Node(Target::default())),
                ..attach()
            })),
            0x29,
            7,
        ),
        (
            Performative::Attach(Box::new(Attach { target: Some(AttachTarget::Coordinator), ..attach() })),
            0x30,
            1,
        ),
        (Performative::Close(Close { error: Some(Error::new(condition::NOT_FOUND, "x")) }), 0x1d, 3),
        (Performative::Disposition(disposition(Some(DeliveryState::Rejected(None)))), 0x25, 1),
        (
            Performative::Disposition(disposition(Some(DeliveryState::Modified(Modified::default().into())))),
            0x27,
            3,
        ),
    ];
    for (performative, code, fields) in counts {
        let mut bytes = encode(&performative);
        let Value::Described(described) = Value::decode(&mut bytes).unwrap() else { panic!() };
        let Value::List(items) = described.value else { panic!() };
        let inner = items.iter().find_map(|item| match item {
            Value::Described(inner) if inner.descriptor == Value::Ulong(code.into()) => Some(&inner.value),
            _ => None,
        });
        let Some(Value::List(inner)) = inner else { panic!("{performative:?}") };
        assert_eq!(inner.len(), fields, "{performative:?}");
    }
}

#[test]
fn sasl_frames_are_written_in_full() {
    const N: u8 = 0x40;
    let cases: Vec<(SaslFrame, Vec<u8>)> = vec![
        (
            SaslFrame::Mechanisms(vec![PLAIN]),
            vec![0, 0x53, 0x40, 0xc0, 14, 1, 0xe0, 11, 1, 0xb3, 0, 0, 0, 5, b'P', b'L', b'A', b'I', b'N'],
        ),
        (
            SaslFrame::Init(Init { mechanism: PLAIN, response: None, hostname: None }),
            vec![0, 0x53, 0x41, 0xc0, 10, 3, 0xa3, 5, b'P', b'L', b'A', b'I', b'N', N, N],
        ),
        (SaslFrame::Challenge(Bytes::new()), vec![0, 0x53, 0x42, 0xc0, 3, 1, 0xa0, 0]),
        (SaslFrame::Response(Response(Bytes::new())), vec![0, 0x53, 0x43, 0xc0, 3, 1, 0xa0, 0]),
        (SaslFrame::Outcome(Code::Auth, None), vec![0, 0x53, 0x44, 0xc0, 4, 2, 0x50, 1, N]),
    ];
    for (frame, bytes) in cases {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        assert_eq!(&out[..], bytes, "{frame:?}");
        assert_eq!(SaslFrame::decode(bytes.into()), Ok(frame));
    }
}

#[test]
fn missing_fields_are_defaults() {
    // As rhea writes them: trailing nulls left out; a symbol instead of an array of one.
    let open = [0, 0x53, 0x10, 0xc0, 4, 1, 0xa1, 1, b'c'];
    let expected = Open { container_id: "c".to_owned(), ..Open::default() };
    assert_eq!(decode(open.to_vec()), Ok((Performative::Open(Box::new(expected)), Bytes::new())));
    assert_eq!(decode(vec![0, 0x53, 0x18, 0x45]), Ok((Performative::Close(Close::default()), Bytes::new())));
    let transfer = vec![0, 0x53, 0x14, 0xc0, 2, 1, 0x43, b'p', b'a', b'y'];
    assert_eq!(
        decode(transfer),
        Ok((Performative::Transfer(Transfer::default()), Bytes::from_static(b"pay")))
    );
    let mut symbolic = BytesMut::new();
    symbolic.extend_from_slice(&[0, 0xa3, 15]);
    symbolic.extend_from_slice(b"amqp:close:list");
    symbolic.extend_from_slice(&[0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40]);
    assert_eq!(decode(symbolic.freeze()), Ok((Performative::Close(Close::default()), Bytes::new())));
    let wide = vec![0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x17, 0x45];
    assert_eq!(decode(wide), Ok((Performative::End(End::default()), Bytes::new())));
    let one = vec![0, 0x53, 0x40, 0xc0, 4, 1, 0xa3, 1, b'A'];
    assert_eq!(SaslFrame::decode(one.into()), Ok(SaslFrame::Mechanisms(vec![Symbol::from_static("A")])));
}

#[test]
fn wrong_fields_are_named() {
    let cases: [(&[u8], &str); 12] = [
        (&[0, 0x53, 0x10, 0x45], "open.container-id: expected a mandatory field, found Null"),
        (&[0, 0x53, 0x10, 0xc0, 2, 1, 0x41], "open.container-id: expected a string, found Bool"),
        (&[0, 0x53, 0x14, 0xc0, 3, 1, 0x53, 1], "transfer.handle: expected an uint, found Ulong"),
        (&[0, 0x53, 0x16, 0xc0, 3, 2, 0x43, 0x43], "detach.closed: expected a boolean, found Uint"),
        (
            &[0, 0x53, 0x15, 0xc0, 9, 5, 0x41, 0x43, 0x40, 0x41, 0, 0x53, 0x34, 0x45],
            "disposition.state: expected a delivery state, found Described",
        ),
        (
            &[0, 0x53, 0x18, 0xc0, 8, 1, 0, 0x53, 0x1d, 0xc0, 2, 1, 0x43],
            "error.condition: expected a symbol, found Uint",
        ),
        (
            &[0, 0x53, 0x18, 0xc0, 3, 2, 0x40, 0x40],
            "close.(the list): size and content of a compound value differ",
        ),
        (
            &[0, 0x53, 0x18, 0xc0, 3, 1, 0x40, 0x40],
            "close.(the list): size and content of a compound value differ",
        ),
        (&[0, 0x53, 0x18, 0x40], "close.(the list): expected a list, found Null"),
        (&[0, 0x53, 0x18, 0x45, 1], "frame.performative: size and content of a compound value differ"),
        (&[0, 0x53, 0x19, 0x45], "frame.performative: expected a performative, found Described"),
        (&[0x43], "frame.performative: expected a described list, found Uint"),
    ];
    for (bytes, message) in cases {
        assert_eq!(decode(Bytes::copy_from_slice(bytes)).unwrap_err(), message, "{bytes:02x?}");
    }
}

fn symbol() -> impl Strategy<Value = Symbol> {
    "[a-z:-]{1,20}".prop_map(|text| Symbol::new(text).unwrap())
}

fn fields() -> impl Strategy<Value = Fields> {
    prop::collection::vec(
        (symbol(), prop_oneof![any::<i64>().prop_map(Value::Long), ".{0,9}".prop_map(Value::from)]),
        0..4,
    )
    .prop_map(Fields)
}

fn error() -> impl Strategy<Value = Option<Error>> {
    prop::option::of(
        (symbol(), prop::option::of(".{0,300}"), fields()).prop_map(|(condition, description, info)| Error {
            condition,
            description,
            info,
        }),
    )
}

fn state() -> impl Strategy<Value = Option<DeliveryState>> {
    prop::option::of(prop_oneof![
        (any::<u32>(), any::<u64>()).prop_map(|(section_number, section_offset)| DeliveryState::Received {
            section_number,
            section_offset
        }),
        Just(DeliveryState::Accepted),
        Just(DeliveryState::Released),
        error().prop_map(|error| DeliveryState::Rejected(error.map(Into::into))),
        (any::<bool>(), any::<bool>(), fields()).prop_map(
            |(delivery_failed, undeliverable_here, message_annotations)| DeliveryState::Modified(
                Modified { delivery_failed, undeliverable_here, message_annotations }.into()
            )
        ),
    ])
}

fn performative() -> impl Strategy<Value = Performative> {
    prop_oneof![beginning(), going_on()]
}

fn beginning() -> impl Strategy<Value = Performative> {
    let capabilities = || prop::collection::vec(symbol(), 0..3);
    let uint = || prop::option::of(any::<u32>());
    prop_oneof![
        (
            ".{0,20}",
            prop::option::of(".{0,20}"),
            any::<u32>(),
            any::<u16>(),
            uint(),
            capabilities(),
            fields()
        )
            .prop_map(
                |(container_id, hostname, max_frame_size, channel_max, idle_time_out, caps, properties)| {
                    Performative::Open(Box::new(Open {
                        container_id,
                        hostname,
                        max_frame_size,
                        channel_max,
                        idle_time_out,
                        outgoing_locales: caps.clone(),
                        incoming_locales: vec![],
                        offered_capabilities: vec![],
                        desired_capabilities: caps,
                        properties,
                    }))
                }
            ),
        (".{0,20}", any::<u32>(), any::<bool>(), fields(), state(), capabilities(), uint()).prop_map(
            |(name, handle, sends, fields, default_outcome, capabilities, count)| {
                let filter = Value::Described(Box::new(Described {
                    descriptor: Value::Ulong(0x0000_468c_0000_0004),
                    value: "x > 1".into(),
                }));
                Performative::Attach(Box::new(Attach {
                    handle,
                    role: if sends { Role::Sender } else { Role::Receiver },
                    source: Some(Source {
                        filter: Fields(vec![(Symbol::from_static("f"), filter)]),
                        default_outcome,
                        capabilities,
                        dynamic_node_properties: fields.clone(),
                        ..Source::at(name.as_str())
                    }),
                    target: sends.then(|| AttachTarget::Node(Target::at(name.as_str()))),
                    initial_delivery_count: count,
                    max_message_size: count.map(u64::from),
                    properties: fields,
                    name,
                    ..attach()
                }))
            }
        ),
        (prop::option::of(any::<u16>()), any::<u32>(), capabilities(), fields()).prop_map(
            |(remote_channel, next_outgoing_id, offered_capabilities, properties)| {
                Performative::Begin(Box::new(Begin {
                    remote_channel,
                    next_outgoing_id,
                    offered_capabilities,
                    properties,
                    ..begin()
                }))
            }
        ),
    ]
}

fn going_on() -> impl Strategy<Value = Performative> {
    let uint = || prop::option::of(any::<u32>());
    prop_oneof![
        (uint(), any::<u32>(), uint(), uint(), any::<bool>(), fields()).prop_map(
            |(next_incoming_id, window, handle, link_credit, flag, properties)| {
                Performative::Flow(Box::new(Flow {
                    next_incoming_id,
                    incoming_window: window,
                    handle,
                    link_credit,
                    drain: flag,
                    echo: !flag,
                    properties,
                    ..Flow::default()
                }))
            }
        ),
        (
            any::<u32>(),
            uint(),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..32)),
            any::<bool>(),
            state()
        )
            .prop_map(|(handle, delivery_id, tag, more, state)| {
                Performative::Transfer(Transfer {
                    handle,
                    delivery_id,
                    delivery_tag: tag.map(Bytes::from),
                    settled: Some(!more),
                    more,
                    state,
                    ..Transfer::default()
                })
            }),
        (any::<u32>(), uint(), state()).prop_map(|(first, last, state)| {
            Performative::Disposition(Disposition { first, last, ..disposition(state) })
        }),
        (any::<u32>(), error()).prop_map(|(handle, error)| {
            Performative::Detach(Detach { handle, closed: error.is_some(), error })
        }),
        error().prop_map(|error| Performative::End(End { error })),
        error().prop_map(|error| Performative::Close(Close { error })),
    ]
}

proptest! {
    #[test]
    fn performatives_come_back(performative in performative()) {
        prop_assert_eq!(decode(encode(&performative)), Ok((performative, Bytes::new())));
    }

    #[test]
    fn no_changed_byte_makes_it_panic(
        performative in performative(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = encode(&performative).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = decode(bytes.clone());
        let _ = SaslFrame::decode(bytes.into());
    }

    #[test]
    fn no_bytes_make_it_panic(code in 0x10..0x46_u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[0, 0x53, code][..], &bytes].concat();
        let _ = decode(bytes.clone());
        let _ = SaslFrame::decode(bytes.into());
    }
}
