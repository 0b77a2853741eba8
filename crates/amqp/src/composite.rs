//! Composite types: described lists whose fields stand at fixed places (OASIS AMQP 1.0 part 1, section 1.4).
//!
//! How each performative, terminus, outcome and error is read and written. Which fields they have stands beside them, in
//! [`crate::performative`] and [`crate::sasl`].

use bytes::{BufMut, Bytes, BytesMut};

use crate::decode::{DecodeErrorKind, Decoder};
use crate::encode;
use crate::value::{Array, Kind, Symbol, Value};

/// A field of a performative does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{composite}.{field}: {kind}")]
pub struct FieldError {
    /// The composite type as the standard names it: "transfer", "source".
    pub composite: &'static str,
    /// The field as the standard names it: "delivery-id".
    pub field: &'static str,
    /// What is wrong with it. A missing mandatory field is an unexpected null.
    pub kind: DecodeErrorKind,
}

/// A map with symbols as keys (the standard's type "fields"), in the order given. Empty is written as null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub Vec<(Symbol, Value)>);

impl Fields {
    /// The value of the first entry with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(key, value)| (key.as_str() == name).then_some(value))
    }

    /// Adds an entry at the end. Does not look for one of the same name.
    pub fn push(&mut self, name: Symbol, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A described list.
pub(crate) trait Composite: Sized {
    /// As the standard spells it; the symbolic descriptor is `amqp:{NAME}:list`.
    const NAME: &'static str;
    /// The numeric descriptor.
    const CODE: u64;
    /// How many fields it has. All of them are always written, nulls included: pyamqp indexes them by position.
    const FIELDS: usize;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError>;

    fn write(&self, fields: &mut Writer<'_>);

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0x00);
        encode::ulong(out, Self::CODE);
        encode::compound(out, 0xc0, Self::FIELDS, |out| {
            let mut fields = Writer { out, written: 0 };
            self.write(&mut fields);
            debug_assert_eq!(fields.written, Self::FIELDS, "{} is written in full", Self::NAME);
        });
    }
}

/// What a field can hold.
pub(crate) trait Field: Sized {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError>;

    fn write(&self, out: &mut BytesMut);
}

/// Where a field stands, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) composite: &'static str,
    pub(crate) field: &'static str,
}

impl Place {
    pub(crate) fn error(self, kind: DecodeErrorKind) -> FieldError {
        FieldError { composite: self.composite, field: self.field, kind }
    }

    pub(crate) fn expected<T>(self, expected: &'static str, found: Kind) -> Result<T, FieldError> {
        Err(self.error(DecodeErrorKind::Unexpected { expected, found }))
    }
}

/// The fields of a composite, taken one after the other; those left out at the end are null.
#[derive(Debug)]
pub(crate) struct Reader<'d> {
    decoder: &'d mut Decoder,
    composite: &'static str,
    left: usize,
}

impl Reader<'_> {
    pub(crate) fn optional<T: Field>(&mut self, field: &'static str) -> Result<Option<T>, FieldError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if self.decoder.take_null() {
            return Ok(None);
        }
        T::read(self.decoder, Place { composite: self.composite, field }).map(Some)
    }

    pub(crate) fn or<T: Field>(&mut self, field: &'static str, default: T) -> Result<T, FieldError> {
        Ok(self.optional(field)?.unwrap_or(default))
    }

    pub(crate) fn or_default<T: Field + Default>(&mut self, field: &'static str) -> Result<T, FieldError> {
        Ok(self.optional(field)?.unwrap_or_default())
    }

    pub(crate) fn required<T: Field>(&mut self, field: &'static str) -> Result<T, FieldError> {
        match self.optional(field)? {
            Some(value) => Ok(value),
            None => Place { composite: self.composite, field }.expected("a mandatory field", Kind::Null),
        }
    }
}

/// Writes fields one after the other.
#[derive(Debug)]
pub(crate) struct Writer<'o> {
    out: &'o mut BytesMut,
    written: usize,
}

impl Writer<'_> {
    pub(crate) fn put<T: Field>(&mut self, value: &T) {
        self.written += 1;
        value.write(self.out);
    }

    pub(crate) fn optional<T: Field>(&mut self, value: Option<&T>) {
        match value {
            Some(value) => self.put(value),
            None => self.null(),
        }
    }

    pub(crate) fn null(&mut self) {
        self.written += 1;
        self.out.put_u8(0x40);
    }
}

/// Reads the descriptor of a composite, numeric or symbolic, as its number.
pub(crate) fn descriptor(decoder: &mut Decoder, place: Place) -> Result<u64, FieldError> {
    const EXPECTED: &str = "a described list";
    if decoder.peek() != Some(0x00) {
        let found = decoder.value().map_err(|error| place.error(error.kind))?;
        return place.expected(EXPECTED, found.kind());
    }
    decoder.advance(1).map_err(|error| place.error(error.kind))?;
    if let Some(code) = decoder.take_small_ulong() {
        return Ok(code);
    }
    match decoder.value().map_err(|error| place.error(error.kind))? {
        Value::Ulong(code) => Ok(code),
        Value::Symbol(name) => match code_of(name.as_str()) {
            Some(code) => Ok(code),
            None => place.expected(EXPECTED, Kind::Described),
        },
        other => place.expected("an ulong or a symbol as descriptor", other.kind()),
    }
}

/// Reads the list of a composite whose descriptor has been read.
pub(crate) fn list<T: Composite>(decoder: &mut Decoder) -> Result<T, FieldError> {
    let place = Place { composite: T::NAME, field: "(the list)" };
    let (left, outer) = decoder.enter_list().map_err(|error| place.error(error.kind))?;
    if left > T::FIELDS {
        return Err(place.error(DecodeErrorKind::SizeMismatch));
    }
    let mut fields = Reader { decoder, composite: T::NAME, left };
    let composite = T::read(&mut fields)?;
    decoder.leave_list(outer).map_err(|error| place.error(error.kind))?;
    Ok(composite)
}

impl<T: Composite> Field for T {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        if descriptor(decoder, place)? != T::CODE {
            return place.expected(T::NAME, Kind::Described);
        }
        list(decoder)
    }

    fn write(&self, out: &mut BytesMut) {
        self.encode(out);
    }
}

/// The symbolic descriptors (parts 2, 3, 5).
fn code_of(name: &str) -> Option<u64> {
    Some(match name.strip_prefix("amqp:")?.strip_suffix(":list")? {
        "open" => 0x10,
        "begin" => 0x11,
        "attach" => 0x12,
        "flow" => 0x13,
        "transfer" => 0x14,
        "disposition" => 0x15,
        "detach" => 0x16,
        "end" => 0x17,
        "close" => 0x18,
        "error" => 0x1d,
        "received" => 0x23,
        "accepted" => 0x24,
        "rejected" => 0x25,
        "released" => 0x26,
        "modified" => 0x27,
        "source" => 0x28,
        "target" => 0x29,
        "coordinator" => 0x30,
        "sasl-mechanisms" => 0x40,
        "sasl-init" => 0x41,
        "sasl-challenge" => 0x42,
        "sasl-response" => 0x43,
        "sasl-outcome" => 0x44,
        _ => return None,
    })
}

/// A field of one of the primitive types; `take` is a shorter way for those that every transfer has.
macro_rules! primitive {
    ($type:ty, $expected:literal, $variant:ident $(, $take:ident)?) => {
        impl Field for $type {
            fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
                $(if let Some(value) = decoder.$take() {
                    return Ok(value);
                })?
                match decoder.value() {
                    Ok(Value::$variant(value)) => Ok(value),
                    Ok(other) => place.expected($expected, other.kind()),
                    Err(error) => Err(place.error(error.kind)),
                }
            }

            fn write(&self, out: &mut BytesMut) {
                encode::value(out, &Value::$variant(*self));
            }
        }
    };
}

primitive!(bool, "a boolean", Bool, take_bool);
primitive!(u8, "an ubyte", Ubyte);
primitive!(u16, "an ushort", Ushort);
primitive!(u32, "an uint", Uint, take_uint);
primitive!(u64, "an ulong", Ulong);

impl Field for Bytes {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match value(decoder, place)? {
            Value::Binary(bytes) => Ok(bytes),
            other => place.expected("a binary", other.kind()),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        encode::variable(out, 0xa0, self);
    }
}

impl Field for String {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match value(decoder, place)? {
            Value::String(text) => Ok(text),
            other => place.expected("a string", other.kind()),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        encode::string(out, self);
    }
}

impl Field for Symbol {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match value(decoder, place)? {
            Value::Symbol(symbol) => Ok(symbol),
            other => place.expected("a symbol", other.kind()),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        encode::variable(out, 0xa3, self.as_str().as_bytes());
    }
}

/// Several symbols: an array, or one symbol by itself (part 1, section 1.4: "multiple"). None at all is written as null:
/// pyamqp stumbles over an empty array.
impl Field for Vec<Symbol> {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        const EXPECTED: &str = "a symbol or an array of symbols";
        match value(decoder, place)? {
            Value::Symbol(symbol) => Ok(vec![symbol]),
            Value::Array(array) if array.descriptor().is_none() => {
                let symbols = array.elements().iter().map(|element| match element {
                    Value::Symbol(symbol) => Ok(symbol.clone()),
                    other => place.expected(EXPECTED, other.kind()),
                });
                symbols.collect()
            }
            other => place.expected(EXPECTED, other.kind()),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        let symbols = self.iter().cloned().map(Value::Symbol).collect();
        match Array::new(Kind::Symbol, symbols) {
            Some(array) if !self.is_empty() => encode::value(out, &Value::Array(array)),
            _ => out.put_u8(0x40),
        }
    }
}

/// Keys are symbols; an ASCII string is taken for the symbol it should be, as some clients write them.
impl Field for Fields {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        const EXPECTED: &str = "a map with symbols as keys";
        let pairs = match value(decoder, place)? {
            Value::Map(pairs) => pairs,
            other => return place.expected(EXPECTED, other.kind()),
        };
        let pairs = pairs.into_iter().map(|(key, value)| match key {
            Value::Symbol(name) => Ok((name, value)),
            Value::String(name) => match Symbol::new(name) {
                Some(name) => Ok((name, value)),
                None => place.expected(EXPECTED, Kind::String),
            },
            other => place.expected(EXPECTED, other.kind()),
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, out: &mut BytesMut) {
        if self.0.is_empty() {
            return out.put_u8(0x40);
        }
        encode::compound(out, 0xc1, self.0.len() * 2, |out| {
            for (name, value) in &self.0 {
                name.write(out);
                encode::value(out, value);
            }
        });
    }
}

/// A value of any type.
impl Field for Value {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        value(decoder, place)
    }

    fn write(&self, out: &mut BytesMut) {
        encode::value(out, self);
    }
}

fn value(decoder: &mut Decoder, place: Place) -> Result<Value, FieldError> {
    decoder.value().map_err(|error| place.error(error.kind))
}
