//! [`Message`]: the sections of an AMQP 1.0 message (part 3, section 2), built and read as a whole.
//!
//! The stored form of an event is such a message: message-annotations (the hub's `iothub-*` system properties),
//! properties, application-properties and body. The `x-opt-*` annotations say where an event stands in its
//! partition; they are added when it is read and never stored. To forward an event without decoding it, see
//! [`Sections`](sections::Sections).

mod fields;
pub mod sections;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::decode::DecodeError;
use crate::encode;
use crate::value::{Symbol, Value};

/// Descriptor codes of the sections.
pub(crate) mod code {
    pub(crate) const HEADER: u64 = 0x70;
    pub(crate) const DELIVERY_ANNOTATIONS: u64 = 0x71;
    pub(crate) const MESSAGE_ANNOTATIONS: u64 = 0x72;
    pub(crate) const PROPERTIES: u64 = 0x73;
    pub(crate) const APPLICATION_PROPERTIES: u64 = 0x74;
    pub(crate) const DATA: u64 = 0x75;
    pub(crate) const SEQUENCE: u64 = 0x76;
    pub(crate) const VALUE: u64 = 0x77;
    pub(crate) const FOOTER: u64 = 0x78;
}

/// A message. Sections that are `None` or empty are not written; a decoded message does not tell an empty map from
/// none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// How to transport it.
    pub header: Option<Header>,
    /// For the next hop only.
    pub delivery_annotations: Annotations,
    /// For everyone on the way.
    pub message_annotations: Annotations,
    /// The standard properties of the message itself.
    pub properties: Option<Properties>,
    /// The sender's own properties.
    pub application_properties: ApplicationProperties,
    /// What the message says.
    pub body: Body,
    /// Computed after the body (checksums, signatures).
    pub footer: Annotations,
}

/// The header section. `None`: not given; the standard's default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether it must survive; default false.
    pub durable: Option<bool>,
    /// Relative priority; default 4.
    pub priority: Option<u8>,
    /// Milliseconds to live.
    pub ttl: Option<u32>,
    /// Whether nobody else has acquired it before; default false.
    pub first_acquirer: Option<bool>,
    /// Unsuccessful deliveries before; default 0.
    pub delivery_count: Option<u32>,
}

/// The properties section: all thirteen fields, in the order of the standard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Names the message.
    pub message_id: Option<MessageId>,
    /// Who sent it (Azure: the hub's name, or the user in an ack).
    pub user_id: Option<Bytes>,
    /// The node it is for (IoT Hub: `/devices/{id}/messages/events`).
    pub to: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// The node to answer to.
    pub reply_to: Option<String>,
    /// The message this one belongs to.
    pub correlation_id: Option<MessageId>,
    /// RFC 2046 media type of the body.
    pub content_type: Option<Symbol>,
    /// Content coding of the body; in Azure, its character set.
    pub content_encoding: Option<Symbol>,
    /// Milliseconds since the Unix epoch.
    pub absolute_expiry_time: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub creation_time: Option<i64>,
    /// The group it belongs to.
    pub group_id: Option<String>,
    /// Its place in the group.
    pub group_sequence: Option<u32>,
    /// The group to answer to.
    pub reply_to_group_id: Option<String>,
}

/// The name of a message, in one of the four types the standard allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// message-id-ulong.
    Ulong(u64),
    /// message-id-uuid.
    Uuid(Uuid),
    /// message-id-binary.
    Binary(Bytes),
    /// message-id-string.
    String(String),
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// The key of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnnotationKey {
    /// A name. All that Azure uses.
    Symbol(Symbol),
    /// Reserved by the standard.
    Ulong(u64),
}

/// Annotations or a footer: symbols with values, in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations(pub Vec<(AnnotationKey, Value)>);

impl Annotations {
    /// The value of the first annotation with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(key, value)| match key {
            AnnotationKey::Symbol(symbol) if symbol.as_str() == name => Some(value),
            _ => None,
        })
    }

    /// Adds an annotation at the end. Does not look for one of the same name.
    pub fn push(&mut self, name: Symbol, value: impl Into<Value>) {
        self.0.push((AnnotationKey::Symbol(name), value.into()));
    }
}

/// Application properties: strings with values, in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplicationProperties(pub Vec<(String, Value)>);

impl ApplicationProperties {
    /// The value of the first property with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Adds a property at the end. Does not look for one of the same name.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }
}

/// What a message says: one or more data sections, one or more sequences, or one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Body {
    /// No body section. The standard wants one; some senders leave it out.
    #[default]
    Empty,
    /// Bytes, in one or more pieces. What devices send.
    Data(Vec<Bytes>),
    /// Lists of values.
    Sequence(Vec<Vec<Value>>),
    /// One value.
    Value(Value),
}

impl Body {
    /// A body of one piece of bytes.
    #[must_use]
    pub fn data(bytes: impl Into<Bytes>) -> Self {
        Self::Data(vec![bytes.into()])
    }

    /// The bytes of a data body, joined where it has several pieces.
    #[must_use]
    pub fn as_bytes(&self) -> Option<Bytes> {
        match self {
            Self::Data(pieces) if pieces.len() == 1 => pieces.first().cloned(),
            Self::Data(pieces) => Some(pieces.concat().into()),
            _ => None,
        }
    }
}

impl Message {
    /// The sections in the standard's order, trailing absent fields left out.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size_hint());
        self.encode_onto(&mut out);
        out.freeze()
    }

    /// [`Message::encode`] at the end of `out`: sections before or behind others that are encoded already.
    pub fn encode_onto(&self, out: &mut BytesMut) {
        if let Some(header) = &self.header {
            section(out, code::HEADER, |out| encode::list(out, &fields::header_to_list(header)));
        }
        annotations(out, code::DELIVERY_ANNOTATIONS, &self.delivery_annotations);
        annotations(out, code::MESSAGE_ANNOTATIONS, &self.message_annotations);
        if let Some(properties) = &self.properties {
            section(out, code::PROPERTIES, |out| fields::write_properties(out, properties));
        }
        application_properties(out, &self.application_properties);
        body(out, &self.body);
        annotations(out, code::FOOTER, &self.footer);
    }

    /// Reads all sections. Bodies and binaries share the input's memory.
    ///
    /// # Errors
    /// [`DecodeError`] for anything the standard does not allow, except a missing body.
    pub fn decode(input: Bytes) -> Result<Self, DecodeError> {
        let sections = sections::Sections::find(input)?;
        Ok(Self {
            header: sections.header()?,
            delivery_annotations: sections.delivery_annotations()?,
            message_annotations: sections.message_annotations()?,
            properties: sections.properties()?,
            application_properties: sections.application_properties()?,
            body: sections.body()?,
            footer: sections.footer()?,
        })
    }

    /// Enough for most messages, so that the buffer grows at most once.
    fn size_hint(&self) -> usize {
        let body = match &self.body {
            Body::Data(pieces) => pieces.iter().map(|piece| piece.len() + 8).sum(),
            _ => 64,
        };
        body + 64 + 48 * (self.message_annotations.0.len() + self.application_properties.0.len())
    }
}

fn section(out: &mut BytesMut, code: u64, content: impl FnOnce(&mut BytesMut)) {
    out.put_u8(0x00);
    encode::ulong(out, code);
    content(out);
}

fn annotations(out: &mut BytesMut, code: u64, annotations: &Annotations) {
    if annotations.0.is_empty() {
        return;
    }
    section(out, code, |out| {
        encode::compound(out, 0xc1, annotations.0.len() * 2, |out| {
            for (key, value) in &annotations.0 {
                match key {
                    AnnotationKey::Symbol(symbol) => encode::variable(out, 0xa3, symbol.as_str().as_bytes()),
                    AnnotationKey::Ulong(number) => encode::ulong(out, *number),
                }
                encode::value(out, value);
            }
        });
    });
}

fn application_properties(out: &mut BytesMut, properties: &ApplicationProperties) {
    if properties.0.is_empty() {
        return;
    }
    section(out, code::APPLICATION_PROPERTIES, |out| {
        encode::compound(out, 0xc1, properties.0.len() * 2, |out| {
            for (name, value) in &properties.0 {
                encode::string(out, name);
                encode::value(out, value);
            }
        });
    });
}

fn body(out: &mut BytesMut, body: &Body) {
    match body {
        Body::Empty => {}
        Body::Data(pieces) => {
            for piece in pieces {
                section(out, code::DATA, |out| encode::variable(out, 0xa0, piece));
            }
        }
        Body::Sequence(lists) => {
            for list in lists {
                section(out, code::SEQUENCE, |out| encode::list(out, list));
            }
        }
        Body::Value(value) => section(out, code::VALUE, |out| encode::value(out, value)),
    }
}
