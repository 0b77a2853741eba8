//! [`Attach`] and [`Detach`] (part 2, sections 2.7.3 and 2.7.7), and the choices in them.

use bytes::BytesMut;

use super::terminus::Coordinator;
use super::{Error, Source, Target};
use crate::composite::{self, Composite, Field, FieldError, Fields, Place, Reader, Writer};
use crate::decode::{DecodeErrorKind, Decoder};
use crate::value::{Kind, Symbol, Value};

/// Which end of a link (part 2, section 2.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends messages.
    Sender,
    /// Takes messages.
    Receiver,
}

impl Role {
    /// The other end's.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

impl Field for Role {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        bool::read(decoder, place).map(|receiver| if receiver { Self::Receiver } else { Self::Sender })
    }

    fn write(&self, out: &mut BytesMut) {
        (*self == Self::Receiver).write(out);
    }
}

/// Whether a sender settles what it sends (part 2, section 2.8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderSettleMode {
    /// Never settled when sent.
    Unsettled = 0,
    /// Always settled when sent.
    Settled = 1,
    /// Either.
    #[default]
    Mixed = 2,
}

impl Field for SenderSettleMode {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match u8::read(decoder, place)? {
            0 => Ok(Self::Unsettled),
            1 => Ok(Self::Settled),
            2 => Ok(Self::Mixed),
            _ => Err(place.error(DecodeErrorKind::Malformed(Kind::Ubyte))),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        (*self as u8).write(out);
    }
}

/// Who settles first (part 2, section 2.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiverSettleMode {
    /// The receiver settles by itself.
    #[default]
    First = 0,
    /// The receiver settles after the sender has.
    Second = 1,
}

impl Field for ReceiverSettleMode {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match u8::read(decoder, place)? {
            0 => Ok(Self::First),
            1 => Ok(Self::Second),
            _ => Err(place.error(DecodeErrorKind::Malformed(Kind::Ubyte))),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        (*self as u8).write(out);
    }
}

/// What the messages of a link are for.
#[derive(Clone, Debug, PartialEq)]
pub enum AttachTarget {
    /// A node.
    Node(Target),
    /// Transactions (part 4, section 4.5.1). Recognised so that it can be refused.
    Coordinator,
}

impl Field for AttachTarget {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match composite::descriptor(decoder, place)? {
            Target::CODE => composite::list(decoder).map(Self::Node),
            Coordinator::CODE => composite::list(decoder).map(|Coordinator| Self::Coordinator),
            _ => place.expected("a target", Kind::Described),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Node(target) => target.encode(out),
            Self::Coordinator => Coordinator.encode(out),
        }
    }
}

/// A link's beginning, or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// The link's name; both sides say the same.
    pub name: String,
    /// The number under which the sender of this frame will speak of it.
    pub handle: u32,
    /// What the sender of this frame is on the link.
    pub role: Role,
    /// How the sending end settles.
    pub snd_settle_mode: SenderSettleMode,
    /// How the receiving end settles.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Where messages come from. In an answer of a sender, `None` refuses the link.
    pub source: Option<Source>,
    /// Where messages go. In an answer of a receiver, `None` refuses the link.
    pub target: Option<AttachTarget>,
    /// Deliveries of a link that is taken up again; links are never taken up again here.
    pub unsettled: Option<Value>,
    /// Whether that map is not complete.
    pub incomplete_unsettled: bool,
    /// Where a sender's count of deliveries begins.
    pub initial_delivery_count: Option<u32>,
    /// Longest message the sender of this frame takes, in bytes; 0 or `None`: no bound.
    pub max_message_size: Option<u64>,
    /// Extensions it has.
    pub offered_capabilities: Vec<Symbol>,
    /// Extensions it would use.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else, such as `com.microsoft:epoch`.
    pub properties: Fields,
}

impl Composite for Attach {
    const NAME: &'static str = "attach";
    const CODE: u64 = 0x12;
    const FIELDS: usize = 14;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            name: fields.required("name")?,
            handle: fields.required("handle")?,
            role: fields.required("role")?,
            snd_settle_mode: fields.or_default("snd-settle-mode")?,
            rcv_settle_mode: fields.or_default("rcv-settle-mode")?,
            source: fields.optional("source")?,
            target: fields.optional("target")?,
            unsettled: fields.optional("unsettled")?,
            incomplete_unsettled: fields.or_default("incomplete-unsettled")?,
            initial_delivery_count: fields.optional("initial-delivery-count")?,
            max_message_size: fields.optional("max-message-size")?,
            offered_capabilities: fields.or_default("offered-capabilities")?,
            desired_capabilities: fields.or_default("desired-capabilities")?,
            properties: fields.or_default("properties")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.name);
        fields.put(&self.handle);
        fields.put(&self.role);
        fields.put(&self.snd_settle_mode);
        fields.put(&self.rcv_settle_mode);
        fields.optional(self.source.as_ref());
        fields.optional(self.target.as_ref());
        fields.optional(self.unsettled.as_ref());
        fields.put(&self.incomplete_unsettled);
        fields.optional(self.initial_delivery_count.as_ref());
        fields.optional(self.max_message_size.as_ref());
        fields.put(&self.offered_capabilities);
        fields.put(&self.desired_capabilities);
        fields.put(&self.properties);
    }
}

/// The end of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Detach {
    /// The sender's number for the link.
    pub handle: u32,
    /// For good. Otherwise the link could be taken up again, which is not done here.
    pub closed: bool,
    /// Why, if not in peace.
    pub error: Option<Error>,
}

impl Composite for Detach {
    const NAME: &'static str = "detach";
    const CODE: u64 = 0x16;
    const FIELDS: usize = 3;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            handle: fields.required("handle")?,
            closed: fields.or_default("closed")?,
            error: fields.optional("error")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.handle);
        fields.put(&self.closed);
        fields.optional(self.error.as_ref());
    }
}
