//! Messages: round trips, section order, the lazy view, messages as other clients write them.

use bytes::{BufMut, Bytes, BytesMut};
use pollux_amqp::{
    AnnotationKey, Annotations, ApplicationProperties, Body, DecodeErrorKind, Header, Message, MessageId,
    Properties, Sections, Symbol, Value,
};
use proptest::prelude::*;
use uuid::Uuid;

const DEVICE_ID: Symbol = Symbol::from_static("iothub-connection-device-id");

fn telemetry() -> Message {
    let mut message = Message {
        properties: Some(Properties {
            content_type: Some(Symbol::from_static("application/json")),
            content_encoding: Some(Symbol::from_static("utf-8")),
            ..Properties::default()
        }),
        body: Body::data(&br#"{"Temperature":21.5}"#[..]),
        ..Message::default()
    };
    message.message_annotations.push(DEVICE_ID, "device-1");
    message
        .message_annotations
        .push(Symbol::from_static("iothub-enqueuedtime"), Value::Timestamp(1_700_000_000_000));
    message.application_properties.push("alert", "yes");
    message
}

fn full() -> Message {
    let mut message = telemetry();
    message.header = Some(Header {
        durable: Some(true),
        priority: Some(4),
        ttl: Some(60_000),
        first_acquirer: Some(false),
        delivery_count: Some(3),
    });
    message.delivery_annotations.0.push((AnnotationKey::Ulong(7), Value::Null));
    message.properties = Some(Properties {
        message_id: Some(MessageId::Uuid(Uuid::from_u128(5))),
        user_id: Some(Bytes::from_static(b"hub")),
        to: Some("/devices/device-1/messages/events".to_owned()),
        subject: Some("s".to_owned()),
        reply_to: Some("r".to_owned()),
        correlation_id: Some("c".into()),
        content_type: Some(Symbol::from_static("application/json")),
        content_encoding: Some(Symbol::from_static("utf-8")),
        absolute_expiry_time: Some(-1),
        creation_time: Some(i64::MAX),
        group_id: Some("g".to_owned()),
        group_sequence: Some(0),
        reply_to_group_id: Some("rg".to_owned()),
    });
    message.footer.push(Symbol::from_static("sum"), Value::Uint(1));
    message
}

#[test]
fn messages_come_back() {
    let bodies = [
        Body::Empty,
        Body::data(""),
        Body::Data(vec![Bytes::from_static(b"a"), Bytes::from(vec![7; 1000])]),
        Body::Sequence(vec![vec![], vec![Value::Int(1), Value::Null]]),
        Body::Value(Value::Null),
        Body::Value(Value::Map(vec![("k".into(), Value::Double(0.5))])),
    ];
    for base in [Message::default(), telemetry(), full()] {
        for body in bodies.clone() {
            let message = Message { body, ..base.clone() };
            assert_eq!(Message::decode(message.encode()), Ok(message));
        }
    }
}

#[test]
fn every_properties_field_has_its_place() {
    let whole = full().properties.unwrap();
    let singles = [
        Properties { message_id: Some(MessageId::Ulong(9)), ..Properties::default() },
        Properties { message_id: Some(MessageId::Binary(Bytes::from_static(b"x"))), ..Properties::default() },
        Properties { subject: whole.subject.clone(), ..Properties::default() },
        Properties { reply_to_group_id: whole.reply_to_group_id.clone(), ..Properties::default() },
        Properties::default(),
        whole,
    ];
    for properties in singles {
        let message = Message { properties: Some(properties), ..Message::default() };
        assert_eq!(Message::decode(message.encode()), Ok(message));
    }
}

proptest! {
    #[test]
    fn properties_keep_their_order_and_types(
        pairs in prop::collection::vec((".{0,20}", prop_oneof![
            ".{0,300}".prop_map(Value::String),
            any::<i64>().prop_map(Value::Long),
            any::<u8>().prop_map(Value::Ubyte),
            any::<i32>().prop_map(|n| Value::Double(n.into())),
            any::<i64>().prop_map(Value::Timestamp),
            Just(Value::Null),
        ]), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let annotations = pairs.iter().map(|(_, value)| (AnnotationKey::Symbol(DEVICE_ID), value.clone())).collect();
        let message = Message {
            message_annotations: Annotations(annotations),
            application_properties: ApplicationProperties(pairs),
            body: Body::data(body),
            ..Message::default()
        };
        prop_assert_eq!(Message::decode(message.encode()), Ok(message));
    }

    #[test]
    fn no_changed_byte_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = full().encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = Message::decode(bytes.into());
    }
}

#[test]
fn the_view_cuts_without_decoding() {
    let message = full();
    let bytes = message.encode();
    let sections = Sections::find(bytes.clone()).unwrap();
    assert_eq!(
        sections.message_annotations().unwrap().get("iothub-connection-device-id"),
        Some(&"device-1".into())
    );
    assert_eq!(sections.application_properties().unwrap().get("alert").and_then(Value::as_str), Some("yes"));
    assert_eq!(sections.properties().unwrap(), message.properties);
    assert_eq!(sections.body().unwrap().as_bytes(), message.body.as_bytes());
    // The bare message is a message of its own, and the same bytes.
    let bare = Message {
        header: None,
        delivery_annotations: Annotations::default(),
        message_annotations: Annotations::default(),
        footer: Annotations::default(),
        ..message
    };
    assert_eq!(sections.bare(), &bare.encode());
    assert!(bytes.windows(sections.bare().len()).any(|window| window == sections.bare()));
}

#[test]
fn a_damaged_section_spoils_only_itself() {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&[0x00, 0x53, 0x72, 0xc1, 3, 2, 0x3f, 0x40]);
    bytes.put_slice(&[0x00, 0x53, 0x75, 0xa0, 1, b'x']);
    let sections = Sections::find(bytes.freeze()).unwrap();
    let error = sections.message_annotations().unwrap_err();
    assert_eq!((error.at, error.kind), (7, DecodeErrorKind::UnknownConstructor(0x3f)));
    assert_eq!(sections.body(), Ok(Body::data("x")));
}

#[test]
fn symbolic_descriptors_and_wide_codes_are_read() {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&[0x00, 0xa3, 16]);
    bytes.put_slice(b"amqp:data:binary");
    bytes.put_slice(&[0xa0, 1, b'x']);
    assert_eq!(Message::decode(bytes.freeze()).unwrap().body, Body::data("x"));
    let wide = [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x75, 0xb0, 0, 0, 0, 1, b'y'];
    assert_eq!(Message::decode(Bytes::copy_from_slice(&wide)).unwrap().body, Body::data("y"));
}

#[test]
fn sections_out_of_place_are_refused() {
    let data: &[u8] = &[0x00, 0x53, 0x75, 0xa0, 0];
    let value: &[u8] = &[0x00, 0x53, 0x77, 0x40];
    let sequence: &[u8] = &[0x00, 0x53, 0x76, 0x45];
    let properties: &[u8] = &[0x00, 0x53, 0x73, 0x45];
    for parts in [
        [data, value],
        [data, sequence],
        [sequence, value],
        [value, value],
        [data, properties],
        [properties, properties],
        [data, &[0x00, 0x53, 0x6f, 0x40]],
        [data, &[0x00, 0x40, 0x40]],
        [data, &[0x40]],
    ] {
        let error = Message::decode(parts.concat().into()).unwrap_err();
        assert_eq!(
            (error.at, error.kind),
            (parts[0].len(), DecodeErrorKind::UnexpectedSection),
            "{parts:02x?}"
        );
    }
}

#[test]
fn delivery_annotations_may_stand_behind_the_body() {
    let data: &[u8] = &[0x00, 0x53, 0x75, 0xa0, 1, b'x'];
    let annotations: &[u8] = &[0x00, 0x53, 0x71, 0xc1, 5, 2, 0xa3, 1, b'k', 0x41];
    let footer: &[u8] = &[0x00, 0x53, 0x78, 0xc1, 5, 2, 0xa3, 1, b'f', 0x41];
    for parts in [vec![data, annotations], vec![data, annotations, footer], vec![data, footer, annotations]] {
        let sections = Sections::find(parts.concat().into()).unwrap();
        assert_eq!(sections.delivery_annotations().unwrap().get("k"), Some(&Value::Bool(true)));
        assert_eq!(&sections.bare()[..], data);
        assert_eq!(sections.footer().unwrap().0.len(), usize::from(parts.len() == 3));
    }
    for parts in
        [[annotations, data, annotations], [data, annotations, annotations], [data, annotations, data]]
    {
        assert!(Sections::find(parts.concat().into()).is_err(), "{parts:02x?}");
    }
}

#[test]
fn fields_of_the_wrong_type_are_refused() {
    let bad: [&[u8]; 6] = [
        &[0x00, 0x53, 0x73, 0xc0, 2, 1, 0x41],       // message-id: a boolean
        &[0x00, 0x53, 0x73, 0x40],                   // properties: no list
        &[0x00, 0x53, 0x70, 0xc0, 3, 1, 0x52, 1],    // durable: an uint
        &[0x00, 0x53, 0x74, 0xc1, 3, 2, 0x40, 0x40], // application property: no string as key
        &[0x00, 0x53, 0x75, 0x41],                   // data: no binary
        &[0x00, 0x53, 0x70, 0xc0, 7, 6, 0x40, 0x40, 0x40, 0x40, 0x40, 0x41], // six header fields
    ];
    for bytes in bad {
        let error = Message::decode(Bytes::copy_from_slice(bytes)).unwrap_err();
        assert!(matches!(error.kind, DecodeErrorKind::Unexpected { .. }), "{bytes:02x?}: {error}");
    }
}

/// What npm's @azure/event-hubs makes of a body that is null; Azure takes it.
#[test]
fn a_data_section_that_is_null_is_empty() {
    let message = Message::decode(Bytes::from_static(&[0x00, 0x53, 0x75, 0x40])).unwrap();
    assert_eq!(message.body.as_bytes(), Some(Bytes::new()));
}

/// The stored form must be readable for ever: these bytes are what version 0.1 stores.
#[test]
fn the_stored_form_is_golden() {
    let golden = concat!(
        "005372c14604",
        "a31b696f746875622d636f6e6e656374696f6e2d6465766963652d6964a1086465766963652d31",
        "a313696f746875622d656e71756575656474696d65830000018bcfe56800",
        "005373c02008404040404040",
        "a3106170706c69636174696f6e2f6a736f6ea3057574662d38",
        "005374c10d02a105616c657274a103796573",
        "005375a0147b2254656d7065726174757265223a32312e357d"
    );
    let hex: String = telemetry().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden);
}
