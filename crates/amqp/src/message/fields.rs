//! The fields of the header and properties sections, to and from lists.

use bytes::BytesMut;

use super::{Header, MessageId, Properties};
use crate::decode::DecodeErrorKind;
use crate::encode;
use crate::value::{Symbol, Value};

/// The fields of a list, taken one after the other; those left out at the end are null.
pub(super) struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    pub(super) fn new(items: Vec<Value>) -> Self {
        Self(items.into_iter())
    }

    fn next<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, DecodeErrorKind> {
        match self.0.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Ok(field) => Ok(Some(field)),
                Err(other) => Err(DecodeErrorKind::Unexpected { expected, found: other.kind() }),
            },
        }
    }

    fn bool(&mut self) -> Result<Option<bool>, DecodeErrorKind> {
        self.next("a boolean", |value| if let Value::Bool(flag) = value { Ok(flag) } else { Err(value) })
    }

    fn ubyte(&mut self) -> Result<Option<u8>, DecodeErrorKind> {
        self.next("an ubyte", |value| if let Value::Ubyte(n) = value { Ok(n) } else { Err(value) })
    }

    fn uint(&mut self) -> Result<Option<u32>, DecodeErrorKind> {
        self.next("an uint", |value| if let Value::Uint(n) = value { Ok(n) } else { Err(value) })
    }

    fn timestamp(&mut self) -> Result<Option<i64>, DecodeErrorKind> {
        self.next("a timestamp", |value| if let Value::Timestamp(n) = value { Ok(n) } else { Err(value) })
    }

    fn binary(&mut self) -> Result<Option<bytes::Bytes>, DecodeErrorKind> {
        self.next("a binary", |value| if let Value::Binary(bytes) = value { Ok(bytes) } else { Err(value) })
    }

    fn string(&mut self) -> Result<Option<String>, DecodeErrorKind> {
        self.next("a string", |value| if let Value::String(text) = value { Ok(text) } else { Err(value) })
    }

    /// Some clients write content types as strings; an ASCII one is taken for the symbol it should be.
    fn symbol(&mut self) -> Result<Option<Symbol>, DecodeErrorKind> {
        self.next("a symbol", |value| match value {
            Value::Symbol(symbol) => Ok(symbol),
            Value::String(text) => Symbol::new(text.as_str()).ok_or(Value::String(text)),
            other => Err(other),
        })
    }

    fn message_id(&mut self) -> Result<Option<MessageId>, DecodeErrorKind> {
        self.next("a message id (ulong, uuid, binary or string)", |value| match value {
            Value::Ulong(n) => Ok(MessageId::Ulong(n)),
            Value::Uuid(uuid) => Ok(MessageId::Uuid(uuid)),
            Value::Binary(bytes) => Ok(MessageId::Binary(bytes)),
            Value::String(text) => Ok(MessageId::String(text)),
            other => Err(other),
        })
    }

    /// More fields than the standard has.
    fn end(&mut self, expected: &'static str) -> Result<(), DecodeErrorKind> {
        self.0
            .next()
            .map_or(Ok(()), |value| Err(DecodeErrorKind::Unexpected { expected, found: value.kind() }))
    }
}

pub(super) fn header_to_list(header: &Header) -> Vec<Value> {
    without_trailing_nulls(vec![
        or_null(header.durable, Value::Bool),
        or_null(header.priority, Value::Ubyte),
        or_null(header.ttl, Value::Uint),
        or_null(header.first_acquirer, Value::Bool),
        or_null(header.delivery_count, Value::Uint),
    ])
}

pub(super) fn header_from_list(items: Vec<Value>) -> Result<Header, DecodeErrorKind> {
    let mut fields = Fields::new(items);
    let header = Header {
        durable: fields.bool()?,
        priority: fields.ubyte()?,
        ttl: fields.uint()?,
        first_acquirer: fields.bool()?,
        delivery_count: fields.uint()?,
    };
    fields.end("at most 5 header fields")?;
    Ok(header)
}

/// Written without an intermediate list: every event has this section.
pub(super) fn write_properties(out: &mut BytesMut, properties: &Properties) {
    let fields: [&dyn Field; 13] = [
        &properties.message_id,
        &properties.user_id,
        &properties.to,
        &properties.subject,
        &properties.reply_to,
        &properties.correlation_id,
        &properties.content_type,
        &properties.content_encoding,
        &properties.absolute_expiry_time,
        &properties.creation_time,
        &properties.group_id,
        &properties.group_sequence,
        &properties.reply_to_group_id,
    ];
    let count = fields.iter().rposition(|field| field.is_given()).map_or(0, |last| last + 1);
    if count == 0 {
        return encode::list(out, &[]);
    }
    encode::compound(out, 0xc0, count, |out| fields[..count].iter().for_each(|field| field.write(out)));
}

pub(super) fn properties_from_list(items: Vec<Value>) -> Result<Properties, DecodeErrorKind> {
    let mut fields = Fields::new(items);
    let properties = Properties {
        message_id: fields.message_id()?,
        user_id: fields.binary()?,
        to: fields.string()?,
        subject: fields.string()?,
        reply_to: fields.string()?,
        correlation_id: fields.message_id()?,
        content_type: fields.symbol()?,
        content_encoding: fields.symbol()?,
        absolute_expiry_time: fields.timestamp()?,
        creation_time: fields.timestamp()?,
        group_id: fields.string()?,
        group_sequence: fields.uint()?,
        reply_to_group_id: fields.string()?,
    };
    fields.end("at most 13 properties")?;
    Ok(properties)
}

fn or_null<T>(field: Option<T>, value: impl FnOnce(T) -> Value) -> Value {
    field.map_or(Value::Null, value)
}

fn without_trailing_nulls(mut items: Vec<Value>) -> Vec<Value> {
    let keep = items.iter().rposition(|item| *item != Value::Null).map_or(0, |last| last + 1);
    items.truncate(keep);
    items
}

/// A field of the properties section.
trait Field {
    fn is_given(&self) -> bool;
    fn write(&self, out: &mut BytesMut);
}

impl<T: Content> Field for Option<T> {
    fn is_given(&self) -> bool {
        self.is_some()
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Some(content) => content.write(out),
            None => encode::value(out, &Value::Null),
        }
    }
}

/// What a given field holds.
trait Content {
    fn write(&self, out: &mut BytesMut);
}

impl Content for String {
    fn write(&self, out: &mut BytesMut) {
        encode::string(out, self);
    }
}

impl Content for Symbol {
    fn write(&self, out: &mut BytesMut) {
        encode::variable(out, 0xa3, self.as_str().as_bytes());
    }
}

impl Content for bytes::Bytes {
    fn write(&self, out: &mut BytesMut) {
        encode::variable(out, 0xa0, self);
    }
}

/// The only signed field type of the section is the timestamp.
impl Content for i64 {
    fn write(&self, out: &mut BytesMut) {
        encode::value(out, &Value::Timestamp(*self));
    }
}

impl Content for u32 {
    fn write(&self, out: &mut BytesMut) {
        encode::uint(out, *self);
    }
}

impl Content for MessageId {
    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Ulong(n) => encode::ulong(out, *n),
            Self::Uuid(uuid) => encode::value(out, &Value::Uuid(*uuid)),
            Self::Binary(bytes) => bytes.write(out),
            Self::String(text) => text.write(out),
        }
    }
}
