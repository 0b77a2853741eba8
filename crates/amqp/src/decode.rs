//! Bytes to values, bounded in depth and number, without a panic on any input.

use std::ops::Range;

use bytes::Bytes;
use uuid::Uuid;

use crate::value::{Array, Described, Kind, Symbol, Value};

/// How deep values may be nested.
pub const MAX_DEPTH: usize = 32;
/// How many values one decoding may yield, nested ones counted. An array of four billion nulls takes nine bytes.
pub const MAX_VALUES: usize = 65_536;

/// The bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {kind}")]
pub struct DecodeError {
    /// Position in the input.
    pub at: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// More bytes are announced than there are.
    #[error("the input ends within a value")]
    Truncated,
    /// No type has this constructor.
    #[error("0x{0:02x} is no constructor")]
    UnknownConstructor(u8),
    /// A string that is not UTF-8, a symbol that is not ASCII, a char that is no character, a boolean that is
    /// neither 0 nor 1.
    #[error("these bytes are no {0:?}")]
    Malformed(Kind),
    /// A list, map or array is longer or shorter than it says, or a map has a key without a value.
    #[error("size and content of a compound value differ")]
    SizeMismatch,
    /// Deeper than [`MAX_DEPTH`].
    #[error("values are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than [`MAX_VALUES`].
    #[error("there are more than {MAX_VALUES} values")]
    TooMany,
    /// A section, or a field of one, holds something else than it must.
    #[error("expected {expected}, found {found:?}")]
    Unexpected {
        /// What the standard asks for.
        expected: &'static str,
        /// What is there.
        found: Kind,
    },
    /// A descriptor that is no message section, or a section out of order or twice.
    #[error("no message section belongs here")]
    UnexpectedSection,
}

/// Reads values off a buffer.
#[derive(Debug)]
pub(crate) struct Decoder {
    input: Bytes,
    at: usize,
    /// End of the innermost compound value.
    end: usize,
    depth: usize,
    values: usize,
}

impl Decoder {
    pub(crate) fn new(input: Bytes) -> Self {
        let end = input.len();
        Self { input, at: 0, end, depth: 0, values: 0 }
    }

    /// What has not been read, to look at.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.input[self.at..self.end]
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> Bytes {
        self.input.slice(self.at..)
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.end
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Bytes {
        self.input.slice(range)
    }

    /// Passes over bytes that were read elsewhere.
    pub(crate) fn advance(&mut self, length: usize) -> Result<(), DecodeError> {
        self.take(length).map(drop)
    }

    pub(crate) fn fail<T>(&self, kind: DecodeErrorKind) -> Result<T, DecodeError> {
        Err(DecodeError { at: self.at, kind })
    }

    /// One value with its constructor.
    pub(crate) fn value(&mut self) -> Result<Value, DecodeError> {
        let constructor = self.u8()?;
        if constructor != 0x00 {
            return self.content(constructor);
        }
        self.nested(|decoder| {
            decoder.count()?;
            let descriptor = decoder.value()?;
            let value = decoder.value()?;
            Ok(Value::Described(Box::new(Described { descriptor, value })))
        })
    }

    /// Passes over one value without looking into it.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        // A described value is its descriptor and one more value: two to go instead of one.
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let constructor = self.u8()?;
            let width = match constructor >> 4 {
                0x0 if constructor == 0 => {
                    left += 2;
                    if left > MAX_DEPTH {
                        return self.fail(DecodeErrorKind::TooDeep);
                    }
                    0
                }
                0x4 => 0,
                0x5 => 1,
                0x6 => 2,
                0x7 => 4,
                0x8 => 8,
                0x9 => 16,
                0xa | 0xc | 0xe => usize::from(self.u8()?),
                0xb | 0xd | 0xf => self.u32()? as usize,
                _ => return self.fail(DecodeErrorKind::UnknownConstructor(constructor)),
            };
            self.take(width)?;
        }
        Ok(())
    }

    /// The next constructor, left where it is.
    pub(crate) fn peek(&self) -> Option<u8> {
        (self.at < self.end).then(|| self.input.get(self.at).copied()).flatten()
    }

    /// Passes over a null, if one comes next.
    pub(crate) fn take_null(&mut self) -> bool {
        let is_null = self.peek() == Some(0x40);
        self.at += usize::from(is_null);
        is_null
    }

    /// An uint, if one comes next: what [`Self::value`] would yield, without the way through [`Value`].
    pub(crate) fn take_uint(&mut self) -> Option<u32> {
        let (number, length) = match *self.input.get(self.at..self.end)? {
            [0x43, ..] => (0, 1),
            [0x52, n, ..] => (n.into(), 2),
            [0x70, a, b, c, d, ..] => (u32::from_be_bytes([a, b, c, d]), 5),
            _ => return None,
        };
        self.at += length;
        Some(number)
    }

    /// An ulong, if one comes next in its short form: the descriptor of every performative.
    pub(crate) fn take_small_ulong(&mut self) -> Option<u64> {
        let [0x53, n, ..] = *self.input.get(self.at..self.end)? else { return None };
        self.at += 2;
        Some(n.into())
    }

    /// A boolean, if one comes next in its short form.
    pub(crate) fn take_bool(&mut self) -> Option<bool> {
        let flag = match self.peek()? {
            0x41 => true,
            0x42 => false,
            _ => return None,
        };
        self.at += 1;
        Some(flag)
    }

    /// Steps into a list: the number of its items, and the bound to give back to [`Self::leave_list`].
    pub(crate) fn enter_list(&mut self) -> Result<(usize, usize), DecodeError> {
        let outer = self.end;
        let constructor = self.u8()?;
        match constructor {
            0x45 => self.end = self.at,
            0xc0 | 0xd0 => {
                let size = self.length(constructor)?;
                if size > self.end - self.at {
                    return self.fail(DecodeErrorKind::Truncated);
                }
                self.end = self.at + size;
                return Ok((self.length(constructor)?, outer));
            }
            _ => match kind_of(constructor) {
                Some(found) => return self.fail(DecodeErrorKind::Unexpected { expected: "a list", found }),
                None => return self.fail(DecodeErrorKind::UnknownConstructor(constructor)),
            },
        }
        Ok((0, outer))
    }

    /// Steps out of a list, all of which must have been read.
    pub(crate) fn leave_list(&mut self, outer: usize) -> Result<(), DecodeError> {
        if self.at != self.end {
            return self.fail(DecodeErrorKind::SizeMismatch);
        }
        self.end = outer;
        Ok(())
    }

    fn content(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        self.count()?;
        Ok(match constructor {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x43 => Value::Uint(0),
            0x44 => Value::Ulong(0),
            0x45 => Value::List(Vec::new()),
            0x50 => Value::Ubyte(self.u8()?),
            0x51 => Value::Byte(i8::from_be_bytes(self.fixed()?)),
            0x52 => Value::Uint(self.u8()?.into()),
            0x53 => Value::Ulong(self.u8()?.into()),
            0x54 => Value::Int(i8::from_be_bytes(self.fixed()?).into()),
            0x55 => Value::Long(i8::from_be_bytes(self.fixed()?).into()),
            0x56 => match self.u8()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return self.fail(DecodeErrorKind::Malformed(Kind::Bool)),
            },
            0x60 => Value::Ushort(u16::from_be_bytes(self.fixed()?)),
            0x61 => Value::Short(i16::from_be_bytes(self.fixed()?)),
            0x70 => Value::Uint(self.u32()?),
            0x71 => Value::Int(i32::from_be_bytes(self.fixed()?)),
            0x72 => Value::Float(f32::from_bits(self.u32()?)),
            0x73 => match char::from_u32(self.u32()?) {
                Some(c) => Value::Char(c),
                None => return self.fail(DecodeErrorKind::Malformed(Kind::Char)),
            },
            0x74 => Value::Decimal32(self.fixed()?),
            0x80 => Value::Ulong(u64::from_be_bytes(self.fixed()?)),
            0x81 => Value::Long(i64::from_be_bytes(self.fixed()?)),
            0x82 => Value::Double(f64::from_bits(u64::from_be_bytes(self.fixed()?))),
            0x83 => Value::Timestamp(i64::from_be_bytes(self.fixed()?)),
            0x84 => Value::Decimal64(self.fixed()?),
            0x94 => Value::Decimal128(self.fixed()?),
            0x98 => Value::Uuid(Uuid::from_bytes(self.fixed()?)),
            0xa0 | 0xa1 | 0xa3 | 0xb0 | 0xb1 | 0xb3 => self.variable(constructor)?,
            0xc0 | 0xc1 | 0xd0 | 0xd1 | 0xe0 | 0xf0 => {
                self.nested(|decoder| decoder.compound(constructor))?
            }
            _ => return self.fail(DecodeErrorKind::UnknownConstructor(constructor)),
        })
    }

    fn variable(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        let length = self.length(constructor)?;
        let bytes = self.take(length)?;
        let text = |kind| match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.fail(DecodeErrorKind::Malformed(kind)),
        };
        match constructor & 0x0f {
            0 => Ok(Value::Binary(bytes)),
            1 => text(Kind::String).map(Value::String),
            _ => match Symbol::new(text(Kind::Symbol)?) {
                Some(symbol) => Ok(Value::Symbol(symbol)),
                None => self.fail(DecodeErrorKind::Malformed(Kind::Symbol)),
            },
        }
    }

    /// A list, map or array: it must fill exactly the size it says.
    fn compound(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        let size = self.length(constructor)?;
        let end = match self.at.checked_add(size) {
            Some(end) if end <= self.end => end,
            _ => return self.fail(DecodeErrorKind::Truncated),
        };
        let outer = std::mem::replace(&mut self.end, end);
        let count = self.length(constructor)?;
        let value = match constructor {
            0xc0 | 0xd0 => Value::List(self.many(count, Self::value)?),
            0xc1 | 0xd1 if count.is_multiple_of(2) => {
                Value::Map(self.many(count / 2, |decoder| Ok((decoder.value()?, decoder.value()?)))?)
            }
            0xc1 | 0xd1 => return self.fail(DecodeErrorKind::SizeMismatch),
            _ => Value::Array(self.array(count)?),
        };
        if self.at != end {
            return self.fail(DecodeErrorKind::SizeMismatch);
        }
        self.end = outer;
        Ok(value)
    }

    fn array(&mut self, count: usize) -> Result<Array, DecodeError> {
        let mut constructor = self.u8()?;
        let mut descriptor = None;
        if constructor == 0x00 {
            descriptor = Some(self.value()?);
            constructor = self.u8()?;
        }
        let elements = self.many(count, |decoder| decoder.content(constructor))?;
        let Some(kind) = elements.first().map_or_else(|| kind_of(constructor), |first| Some(first.kind()))
        else {
            return self.fail(DecodeErrorKind::UnknownConstructor(constructor));
        };
        match Array::described(descriptor, kind, elements) {
            Some(array) => Ok(array),
            None => self.fail(DecodeErrorKind::UnknownConstructor(constructor)),
        }
    }

    fn many<T>(
        &mut self,
        count: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        if count > MAX_VALUES - self.values {
            return self.fail(DecodeErrorKind::TooMany);
        }
        // No memory for elements that cannot be there.
        let mut items = Vec::with_capacity(count.min(self.end - self.at));
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth == MAX_DEPTH {
            return self.fail(DecodeErrorKind::TooDeep);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn count(&mut self) -> Result<(), DecodeError> {
        if self.values == MAX_VALUES {
            return self.fail(DecodeErrorKind::TooMany);
        }
        self.values += 1;
        Ok(())
    }

    /// A size or count: one byte in the short forms, four in the wide ones (those with bit 0x10).
    fn length(&mut self, constructor: u8) -> Result<usize, DecodeError> {
        if constructor & 0x10 == 0 {
            self.u8().map(usize::from)
        } else {
            self.u32().map(|length| length as usize)
        }
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.fixed().map(|[byte]: [u8; 1]| byte)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.input[self.at..self.end].first_chunk::<N>() {
            Some(bytes) => {
                let bytes = *bytes;
                self.at += N;
                Ok(bytes)
            }
            None => self.fail(DecodeErrorKind::Truncated),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.end - self.at {
            return self.fail(DecodeErrorKind::Truncated);
        }
        self.at += length;
        Ok(self.input.slice(self.at - length..self.at))
    }
}

/// The type a constructor stands for, for arrays without elements.
fn kind_of(constructor: u8) -> Option<Kind> {
    Some(match constructor {
        0x40 => Kind::Null,
        0x41 | 0x42 | 0x56 => Kind::Bool,
        0x43 | 0x52 | 0x70 => Kind::Uint,
        0x44 | 0x53 | 0x80 => Kind::Ulong,
        0x45 | 0xc0 | 0xd0 => Kind::List,
        0x50 => Kind::Ubyte,
        0x51 => Kind::Byte,
        0x54 | 0x71 => Kind::Int,
        0x55 | 0x81 => Kind::Long,
        0x60 => Kind::Ushort,
        0x61 => Kind::Short,
        0x72 => Kind::Float,
        0x73 => Kind::Char,
        0x74 => Kind::Decimal32,
        0x82 => Kind::Double,
        0x83 => Kind::Timestamp,
        0x84 => Kind::Decimal64,
        0x94 => Kind::Decimal128,
        0x98 => Kind::Uuid,
        0xa0 | 0xb0 => Kind::Binary,
        0xa1 | 0xb1 => Kind::String,
        0xa3 | 0xb3 => Kind::Symbol,
        0xc1 | 0xd1 => Kind::Map,
        0xe0 | 0xf0 => Kind::Array,
        _ => return None,
    })
}
