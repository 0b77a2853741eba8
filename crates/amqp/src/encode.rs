//! Values to bytes: always the shortest encoding of a value.

use bytes::{BufMut, BytesMut};

use crate::value::{Array, Kind, Value};

/// Appends a value with its constructor.
pub(crate) fn value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null => out.put_u8(0x40),
        Value::Bool(true) => out.put_u8(0x41),
        Value::Bool(false) => out.put_u8(0x42),
        Value::Uint(n) => uint(out, *n),
        Value::Ulong(n) => ulong(out, *n),
        Value::Int(n) => match i8::try_from(*n) {
            Ok(short) => put(out, 0x54, &short.to_be_bytes()),
            Err(_) => put(out, 0x71, &n.to_be_bytes()),
        },
        Value::Long(n) => match i8::try_from(*n) {
            Ok(short) => put(out, 0x55, &short.to_be_bytes()),
            Err(_) => put(out, 0x81, &n.to_be_bytes()),
        },
        Value::Binary(bytes) => variable(out, 0xa0, bytes),
        Value::String(text) => string(out, text),
        Value::Symbol(symbol) => variable(out, 0xa3, symbol.as_str().as_bytes()),
        Value::List(items) => list(out, items),
        Value::Map(pairs) => compound(out, 0xc1, pairs.len() * 2, |out| {
            for (key, item) in pairs {
                self::value(out, key);
                self::value(out, item);
            }
        }),
        Value::Array(items) => compound(out, 0xe0, items.elements().len(), |out| array_content(out, items)),
        Value::Described(described) => {
            out.put_u8(0x00);
            self::value(out, &described.descriptor);
            self::value(out, &described.value);
        }
        fixed => {
            out.put_u8(full_constructor(fixed.kind()));
            full(out, fixed);
        }
    }
}

fn put(out: &mut BytesMut, constructor: u8, bytes: &[u8]) {
    out.put_u8(constructor);
    out.put_slice(bytes);
}

pub(crate) fn uint(out: &mut BytesMut, n: u32) {
    match u8::try_from(n) {
        Ok(0) => out.put_u8(0x43),
        Ok(short) => put(out, 0x52, &[short]),
        Err(_) => put(out, 0x70, &n.to_be_bytes()),
    }
}

pub(crate) fn ulong(out: &mut BytesMut, n: u64) {
    match u8::try_from(n) {
        Ok(0) => out.put_u8(0x44),
        Ok(short) => put(out, 0x53, &[short]),
        Err(_) => put(out, 0x80, &n.to_be_bytes()),
    }
}

pub(crate) fn string(out: &mut BytesMut, text: &str) {
    variable(out, 0xa1, text.as_bytes());
}

/// Bytes of variable width; the constructor for long ones is the short one plus 0x10.
pub(crate) fn variable(out: &mut BytesMut, constructor: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => put(out, constructor, &[length]),
        Err(_) => put(out, constructor + 0x10, &wide(bytes.len()).to_be_bytes()),
    }
    out.put_slice(bytes);
}

pub(crate) fn list(out: &mut BytesMut, items: &[Value]) {
    if items.is_empty() {
        return out.put_u8(0x45);
    }
    compound(out, 0xc0, items.len(), |out| items.iter().for_each(|item| value(out, item)));
}

/// A list, map or array: written in the short form, widened where it turns out too long for it.
pub(crate) fn compound(
    out: &mut BytesMut,
    constructor: u8,
    count: usize,
    content: impl FnOnce(&mut BytesMut),
) {
    const SHORT: usize = 3;
    const WIDE: usize = 9;
    let start = out.len();
    out.put_bytes(0, SHORT);
    content(out);
    let size = out.len() - start - SHORT;
    match (u8::try_from(size + 1), u8::try_from(count)) {
        (Ok(size), Ok(count)) => out[start..start + SHORT].copy_from_slice(&[constructor, size, count]),
        _ => {
            out.put_bytes(0, WIDE - SHORT);
            out.copy_within(start + SHORT..start + SHORT + size, start + WIDE);
            out[start] = constructor + 0x10;
            out[start + 1..start + 5].copy_from_slice(&wide(size + 4).to_be_bytes());
            out[start + 5..start + 9].copy_from_slice(&wide(count).to_be_bytes());
        }
    }
}

fn wide(length: usize) -> u32 {
    u32::try_from(length).expect("values are bounded by the message size, far below 4 GiB")
}

/// All elements of an array share one constructor, so each is written in the type's full width.
fn array_content(out: &mut BytesMut, array: &Array) {
    if let Some(descriptor) = array.descriptor() {
        out.put_u8(0x00);
        value(out, descriptor);
    }
    out.put_u8(full_constructor(array.kind()));
    array.elements().iter().for_each(|element| full(out, element));
}

/// The constructor that takes every value of the type.
fn full_constructor(kind: Kind) -> u8 {
    match kind {
        Kind::Described => 0x00,
        Kind::Null => 0x40,
        Kind::Ubyte => 0x50,
        Kind::Byte => 0x51,
        Kind::Bool => 0x56,
        Kind::Ushort => 0x60,
        Kind::Short => 0x61,
        Kind::Uint => 0x70,
        Kind::Int => 0x71,
        Kind::Float => 0x72,
        Kind::Char => 0x73,
        Kind::Decimal32 => 0x74,
        Kind::Ulong => 0x80,
        Kind::Long => 0x81,
        Kind::Double => 0x82,
        Kind::Timestamp => 0x83,
        Kind::Decimal64 => 0x84,
        Kind::Decimal128 => 0x94,
        Kind::Uuid => 0x98,
        Kind::Binary => 0xb0,
        Kind::String => 0xb1,
        Kind::Symbol => 0xb3,
        Kind::List => 0xd0,
        Kind::Map => 0xd1,
        Kind::Array => 0xf0,
    }
}

/// A value without its constructor, as [`full_constructor`] announces it.
fn full(out: &mut BytesMut, item: &Value) {
    match item {
        Value::Null => {}
        Value::Bool(flag) => out.put_u8(u8::from(*flag)),
        Value::Ubyte(n) => out.put_u8(*n),
        Value::Ushort(n) => out.put_u16(*n),
        Value::Uint(n) => out.put_u32(*n),
        Value::Ulong(n) => out.put_u64(*n),
        Value::Byte(n) => out.put_i8(*n),
        Value::Short(n) => out.put_i16(*n),
        Value::Int(n) => out.put_i32(*n),
        Value::Long(n) | Value::Timestamp(n) => out.put_i64(*n),
        Value::Float(n) => out.put_u32(n.to_bits()),
        Value::Double(n) => out.put_u64(n.to_bits()),
        Value::Decimal32(bytes) => out.put_slice(bytes),
        Value::Decimal64(bytes) => out.put_slice(bytes),
        Value::Decimal128(bytes) => out.put_slice(bytes),
        Value::Char(c) => out.put_u32(u32::from(*c)),
        Value::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
        Value::Binary(bytes) => full_variable(out, bytes),
        Value::String(text) => full_variable(out, text.as_bytes()),
        Value::Symbol(symbol) => full_variable(out, symbol.as_str().as_bytes()),
        Value::List(items) => {
            full_compound(out, items.len(), |out| items.iter().for_each(|item| value(out, item)));
        }
        Value::Map(pairs) => full_compound(out, pairs.len() * 2, |out| {
            for (key, item) in pairs {
                value(out, key);
                value(out, item);
            }
        }),
        Value::Array(items) => full_compound(out, items.elements().len(), |out| array_content(out, items)),
        Value::Described(described) => {
            value(out, &described.descriptor);
            value(out, &described.value);
        }
    }
}

fn full_variable(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(wide(bytes.len()));
    out.put_slice(bytes);
}

fn full_compound(out: &mut BytesMut, count: usize, content: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u32(wide(count));
    content(out);
    let size = wide(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}
