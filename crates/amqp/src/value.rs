//! [`Value`]: every type of AMQP 1.0 (part 1, section 1.6), and the small types it is made of.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::decode::{DecodeError, Decoder};

/// A value of any AMQP type. Encoding and decoding keep type and bits, also those of floats and decimals;
/// `==` on floats is IEEE's (NaN differs from itself).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// 8 bits, unsigned.
    Ubyte(u8),
    /// 16 bits, unsigned.
    Ushort(u16),
    /// 32 bits, unsigned.
    Uint(u32),
    /// 64 bits, unsigned.
    Ulong(u64),
    /// 8 bits, signed.
    Byte(i8),
    /// 16 bits, signed.
    Short(i16),
    /// 32 bits, signed.
    Int(i32),
    /// 64 bits, signed.
    Long(i64),
    /// IEEE 754 binary32.
    Float(f32),
    /// IEEE 754 binary64.
    Double(f64),
    /// IEEE 754 decimal32, kept as its bytes.
    Decimal32([u8; 4]),
    /// IEEE 754 decimal64, kept as its bytes.
    Decimal64([u8; 8]),
    /// IEEE 754 decimal128, kept as its bytes.
    Decimal128([u8; 16]),
    /// One Unicode character.
    Char(char),
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
    /// RFC 4122.
    Uuid(Uuid),
    /// Bytes.
    Binary(Bytes),
    /// Unicode text.
    String(String),
    /// A name from some domain, in ASCII.
    Symbol(Symbol),
    /// Values of any types, in order.
    List(Vec<Self>),
    /// Pairs, in the order they came in; keys may repeat (the sender's fault, not ours to hide).
    Map(Vec<(Self, Self)>),
    /// Values of one type.
    Array(Array),
    /// A value with a descriptor that gives it its meaning.
    Described(Box<Described>),
}

impl Value {
    /// Appends the value in its shortest encoding.
    pub fn encode(&self, out: &mut BytesMut) {
        crate::encode::value(out, self);
    }

    /// Takes one value off the front. Never panics; depth and number of values are bounded
    /// ([`crate::MAX_DEPTH`], [`crate::MAX_VALUES`]). Binaries share the input's memory.
    ///
    /// # Errors
    /// [`DecodeError`]; the input is left as it was.
    pub fn decode(input: &mut Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(input.clone());
        let value = decoder.value()?;
        *input = decoder.rest();
        Ok(value)
    }

    /// The value's type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Ubyte(_) => Kind::Ubyte,
            Self::Ushort(_) => Kind::Ushort,
            Self::Uint(_) => Kind::Uint,
            Self::Ulong(_) => Kind::Ulong,
            Self::Byte(_) => Kind::Byte,
            Self::Short(_) => Kind::Short,
            Self::Int(_) => Kind::Int,
            Self::Long(_) => Kind::Long,
            Self::Float(_) => Kind::Float,
            Self::Double(_) => Kind::Double,
            Self::Decimal32(_) => Kind::Decimal32,
            Self::Decimal64(_) => Kind::Decimal64,
            Self::Decimal128(_) => Kind::Decimal128,
            Self::Char(_) => Kind::Char,
            Self::Timestamp(_) => Kind::Timestamp,
            Self::Uuid(_) => Kind::Uuid,
            Self::Binary(_) => Kind::Binary,
            Self::String(_) => Kind::String,
            Self::Symbol(_) => Kind::Symbol,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Array(_) => Kind::Array,
            Self::Described(_) => Kind::Described,
        }
    }

    /// The text of a string or symbol.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// The number in any of the integer types, if it fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Ubyte(n) => Some(n.into()),
            Self::Ushort(n) => Some(n.into()),
            Self::Uint(n) => Some(n.into()),
            Self::Ulong(n) => n.try_into().ok(),
            Self::Byte(n) => Some(n.into()),
            Self::Short(n) => Some(n.into()),
            Self::Int(n) => Some(n.into()),
            Self::Long(n) => Some(n),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Symbol> for Value {
    fn from(symbol: Symbol) -> Self {
        Self::Symbol(symbol)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// The types of AMQP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the variant of `Value` with the same name")]
pub enum Kind {
    Null,
    Bool,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal32,
    Decimal64,
    Decimal128,
    Char,
    Timestamp,
    Uuid,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
    Described,
}

/// ASCII text from some domain: the name of an annotation, a content type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Cow<'static, str>);

impl Symbol {
    /// A symbol known at compile time. Costs no memory.
    ///
    /// # Panics
    /// When the text is not ASCII; in a `const` that fails the build.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.is_ascii(), "a symbol is ASCII");
        Self(Cow::Borrowed(text))
    }

    /// A symbol, if the text is ASCII.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        text.is_ascii().then_some(Self(Cow::Owned(text)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.0)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// By convention an ulong or a symbol.
    pub descriptor: Value,
    /// The value.
    pub value: Value,
}

/// Values of one type, all with or all without the same descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    descriptor: Option<Box<Value>>,
    kind: Kind,
    elements: Vec<Value>,
}

impl Array {
    /// An array of plain elements; `None` unless all are of `kind`, and that is not [`Kind::Described`].
    #[must_use]
    pub fn new(kind: Kind, elements: Vec<Value>) -> Option<Self> {
        Self::described(None, kind, elements)
    }

    /// An array whose elements all have `descriptor`; otherwise as [`Array::new`].
    #[must_use]
    pub fn described(descriptor: Option<Value>, kind: Kind, elements: Vec<Value>) -> Option<Self> {
        let uniform = kind != Kind::Described && elements.iter().all(|element| element.kind() == kind);
        uniform.then(|| Self { descriptor: descriptor.map(Box::new), kind, elements })
    }

    /// The descriptor of each element.
    #[must_use]
    pub fn descriptor(&self) -> Option<&Value> {
        self.descriptor.as_deref()
    }

    /// The type of the elements.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The elements, without descriptor.
    #[must_use]
    pub fn elements(&self) -> &[Value] {
        &self.elements
    }
}
