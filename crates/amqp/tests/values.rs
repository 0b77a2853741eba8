//! Values: round trips of every type, bit for bit; published encodings; hostile bytes.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use bytes::{Bytes, BytesMut};
use pollux_amqp::{Array, DecodeErrorKind, Described, Kind, MAX_DEPTH, Symbol, Value};
use proptest::prelude::*;
use uuid::Uuid;

fn encode(value: &Value) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out.freeze()
}

fn decode(bytes: &[u8]) -> Result<Value, DecodeErrorKind> {
    let mut input = Bytes::copy_from_slice(bytes);
    let result = Value::decode(&mut input).map_err(|error| error.kind);
    if result.is_err() {
        assert_eq!(input, bytes, "a failed decoding leaves the input");
    }
    result
}

fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        prop_oneof![any::<u32>(), 0..300_u32].prop_map(Value::Uint),
        prop_oneof![any::<u64>(), 0..300_u64].prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        prop_oneof![any::<i32>(), -200..200_i32].prop_map(Value::Int),
        prop_oneof![any::<i64>(), -200..200_i64].prop_map(Value::Long),
        any::<u32>().prop_map(|bits| Value::Float(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::Double(f64::from_bits(bits))),
        any::<[u8; 4]>().prop_map(Value::Decimal32),
        any::<[u8; 8]>().prop_map(Value::Decimal64),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
        any::<char>().prop_map(Value::Char),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(Uuid::from_bytes(bytes))),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| Value::Binary(bytes.into())),
        ".{0,100}".prop_map(Value::String),
        "[ -~]{0,300}".prop_map(|text| Value::Symbol(Symbol::new(text).unwrap())),
    ]
    .boxed()
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 60, 8, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            list().prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
            (inner.clone(), inner.clone()).prop_map(|(descriptor, value)| {
                Value::Described(Box::new(Described { descriptor, value }))
            }),
            (inner.clone(), list(), prop::option::of(scalar())).prop_filter_map(
                "one type",
                |(first, more, desc)| {
                    let kind = first.kind();
                    let mut elements = vec![first];
                    elements.extend(more.into_iter().filter(|element| element.kind() == kind));
                    Array::described(desc, kind, elements).map(Value::Array)
                }
            ),
        ]
    })
}

proptest! {
    /// Compared by encoding and by debug text: NaN differs from itself, its bits do not.
    #[test]
    fn every_value_comes_back_bit_for_bit(value in any_value()) {
        let bytes = encode(&value);
        let back = decode(&bytes).unwrap();
        prop_assert_eq!(encode(&back), bytes);
        prop_assert_eq!(format!("{back:?}"), format!("{value:?}"));
    }

    #[test]
    fn floats_keep_their_bits(single in any::<u32>(), double in any::<u64>()) {
        let Ok(Value::Float(back)) = decode(&encode(&Value::Float(f32::from_bits(single)))) else { panic!() };
        prop_assert_eq!(back.to_bits(), single);
        let Ok(Value::Double(back)) = decode(&encode(&Value::Double(f64::from_bits(double)))) else { panic!() };
        prop_assert_eq!(back.to_bits(), double);
    }

    #[test]
    fn any_prefix_of_a_value_is_refused(value in any_value(), cut in 0.0_f64..1.0) {
        let bytes = encode(&value);
        let cut = (bytes.len() as f64 * cut) as usize;
        prop_assert!(decode(&bytes[..cut]).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    /// Bytes that begin like compound values get further than noise does.
    #[test]
    fn no_changed_byte_makes_it_panic(value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&value).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(value) = decode(&bytes) {
            prop_assert!(decode(&encode(&value)).is_ok());
        }
    }
}

/// Encodings as part 1, section 1.6 of the standard prints them.
#[test]
fn encodings_are_the_standards_shortest() {
    let cases: [(Value, &[u8]); 16] = [
        (Value::Null, &[0x40]),
        (Value::Bool(true), &[0x41]),
        (Value::Uint(0), &[0x43]),
        (Value::Uint(255), &[0x52, 255]),
        (Value::Uint(256), &[0x70, 0, 0, 1, 0]),
        (Value::Ulong(0), &[0x44]),
        (Value::Ulong(0x73), &[0x53, 0x73]),
        (Value::Int(-1), &[0x54, 0xff]),
        (Value::Int(128), &[0x71, 0, 0, 0, 128]),
        (Value::Long(-128), &[0x55, 0x80]),
        (Value::Timestamp(1), &[0x83, 0, 0, 0, 0, 0, 0, 0, 1]),
        (Value::from("hi"), &[0xa1, 2, b'h', b'i']),
        (Value::Symbol(Symbol::from_static("a")), &[0xa3, 1, b'a']),
        (Value::List(vec![]), &[0x45]),
        (Value::List(vec![Value::Null, Value::Ubyte(7)]), &[0xc0, 4, 2, 0x40, 0x50, 7]),
        (
            Value::Array(Array::new(Kind::Symbol, vec![Value::Symbol(Symbol::from_static("x"))]).unwrap()),
            &[0xe0, 7, 1, 0xb3, 0, 0, 0, 1, b'x'],
        ),
    ];
    for (value, bytes) in cases {
        assert_eq!(&encode(&value)[..], bytes, "{value:?}");
        assert_eq!(decode(bytes), Ok(value));
    }
}

#[test]
fn long_values_use_the_wide_forms() {
    for length in [255, 256, 70_000] {
        let value = Value::List(vec![Value::Binary(vec![1; length].into()), Value::from("end")]);
        assert_eq!(decode(&encode(&value)), Ok(value));
    }
    let many = Value::List(vec![Value::Bool(true); 300]);
    assert_eq!(encode(&many)[0], 0xd0);
    assert_eq!(decode(&encode(&many)), Ok(many));
}

#[test]
fn longer_encodings_than_ours_are_read() {
    assert_eq!(decode(&[0x56, 1]), Ok(Value::Bool(true)));
    assert_eq!(decode(&[0x80, 0, 0, 0, 0, 0, 0, 0, 9]), Ok(Value::Ulong(9)));
    assert_eq!(decode(&[0xb1, 0, 0, 0, 1, b'x']), Ok(Value::from("x")));
    assert_eq!(decode(&[0xd0, 0, 0, 0, 4, 0, 0, 0, 0]), Ok(Value::List(vec![])));
    // An array of small uints: the constructor is shared, each element one byte.
    let array = Array::new(Kind::Uint, vec![Value::Uint(1), Value::Uint(2)]).unwrap();
    assert_eq!(decode(&[0xe0, 4, 2, 0x52, 1, 2]), Ok(Value::Array(array)));
}

#[test]
fn bad_bytes_are_refused_by_name() {
    let cases: [(&[u8], DecodeErrorKind); 12] = [
        (&[], DecodeErrorKind::Truncated),
        (&[0x70, 0, 0], DecodeErrorKind::Truncated),
        (&[0xa0, 5, 1], DecodeErrorKind::Truncated),
        (&[0x3f], DecodeErrorKind::UnknownConstructor(0x3f)),
        (&[0xa1, 1, 0xff], DecodeErrorKind::Malformed(Kind::String)),
        (&[0xa3, 2, 0xc3, 0xa4], DecodeErrorKind::Malformed(Kind::Symbol)),
        (&[0x73, 0, 0, 0xd8, 0], DecodeErrorKind::Malformed(Kind::Char)),
        (&[0x56, 2], DecodeErrorKind::Malformed(Kind::Bool)),
        (&[0xc0, 3, 1, 0x40, 0x40], DecodeErrorKind::SizeMismatch),
        (&[0xc1, 2, 1, 0x40], DecodeErrorKind::SizeMismatch),
        (&[0xc0, 9, 1, 0x40], DecodeErrorKind::Truncated),
        // Four billion nulls in ten bytes.
        (&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40], DecodeErrorKind::TooMany),
    ];
    for (bytes, kind) in cases {
        assert_eq!(decode(bytes), Err(kind), "{bytes:02x?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nest = |depth| (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    assert!(decode(&encode(&nest(MAX_DEPTH))).is_ok());
    assert_eq!(decode(&encode(&nest(MAX_DEPTH + 1))), Err(DecodeErrorKind::TooDeep));
    assert_eq!(decode(&[0; 100_000]), Err(DecodeErrorKind::TooDeep), "descriptors of descriptors");
}

#[test]
fn decoding_takes_one_value_and_leaves_the_rest() {
    let mut input = Bytes::from_static(&[0x41, 0x52, 9, 0x40]);
    assert_eq!(Value::decode(&mut input).unwrap(), Value::Bool(true));
    assert_eq!(Value::decode(&mut input).unwrap(), Value::Uint(9));
    assert_eq!(input, [0x40][..]);
}

#[test]
fn arrays_are_of_one_type() {
    assert!(Array::new(Kind::Uint, vec![Value::Uint(1), Value::Int(1)]).is_none());
    assert!(Array::new(Kind::Described, vec![]).is_none());
    let empty = Value::Array(Array::new(Kind::String, vec![]).unwrap());
    assert_eq!(decode(&encode(&empty)), Ok(empty));
}
