//! [`DeliveryState`]: what became of a message (part 3, section 3.4).

use std::sync::Arc;

use bytes::BytesMut;

use super::Error;
use crate::composite::{self, Composite, Field, FieldError, Fields, Place, Reader, Writer};
use crate::decode::Decoder;
use crate::value::Kind;

/// What became of a message. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryState {
    /// Some of it has arrived; says nothing of its fate.
    Received {
        /// The section that comes next.
        section_number: u32,
        /// The byte in that section that comes next.
        section_offset: u64,
    },
    /// Taken.
    Accepted,
    /// Not to be taken by anyone.
    Rejected(Option<Arc<Error>>),
    /// Given back untouched.
    Released,
    /// Given back with a remark.
    Modified(Arc<Modified>),
}

impl DeliveryState {
    /// A rejection with a reason.
    #[must_use]
    pub fn rejected(error: Error) -> Self {
        Self::Rejected(Some(Arc::new(error)))
    }

    /// Whether it decides the fate of a message.
    #[must_use]
    pub fn is_outcome(&self) -> bool {
        !matches!(self, Self::Received { .. })
    }
}

/// The remark on a message given back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modified {
    /// Counts as an attempt.
    pub delivery_failed: bool,
    /// Not to be sent to this link again.
    pub undeliverable_here: bool,
    /// To be put over the message's annotations.
    pub message_annotations: Fields,
}

impl Field for DeliveryState {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        match composite::descriptor(decoder, place)? {
            Received::CODE => composite::list(decoder).map(|received: Received| Self::Received {
                section_number: received.section_number,
                section_offset: received.section_offset,
            }),
            Accepted::CODE => composite::list(decoder).map(|Accepted| Self::Accepted),
            Rejected::CODE => composite::list(decoder).map(|Rejected(error)| Self::Rejected(error)),
            Released::CODE => composite::list(decoder).map(|Released| Self::Released),
            Modified::CODE => composite::list(decoder).map(|modified| Self::Modified(Arc::new(modified))),
            _ => place.expected("a delivery state", Kind::Described),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Received { section_number, section_offset } => {
                Received { section_number: *section_number, section_offset: *section_offset }.encode(out);
            }
            Self::Accepted => out.extend_from_slice(&[0x00, 0x53, Accepted::CODE as u8, 0x45]),
            Self::Rejected(error) => Rejected(error.clone()).encode(out),
            Self::Released => out.extend_from_slice(&[0x00, 0x53, Released::CODE as u8, 0x45]),
            Self::Modified(modified) => modified.encode(out),
        }
    }
}

struct Received {
    section_number: u32,
    section_offset: u64,
}

impl Composite for Received {
    const NAME: &'static str = "received";
    const CODE: u64 = 0x23;
    const FIELDS: usize = 2;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            section_number: fields.required("section-number")?,
            section_offset: fields.required("section-offset")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.section_number);
        fields.put(&self.section_offset);
    }
}

struct Accepted;

impl Composite for Accepted {
    const NAME: &'static str = "accepted";
    const CODE: u64 = 0x24;
    const FIELDS: usize = 0;

    fn read(_: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self)
    }

    fn write(&self, _: &mut Writer<'_>) {}
}

struct Rejected(Option<Arc<Error>>);

impl Composite for Rejected {
    const NAME: &'static str = "rejected";
    const CODE: u64 = 0x25;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self(fields.optional("error")?.map(Arc::new)))
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.0.as_deref());
    }
}

struct Released;

impl Composite for Released {
    const NAME: &'static str = "released";
    const CODE: u64 = 0x26;
    const FIELDS: usize = 0;

    fn read(_: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self)
    }

    fn write(&self, _: &mut Writer<'_>) {}
}

impl Composite for Modified {
    const NAME: &'static str = "modified";
    const CODE: u64 = 0x27;
    const FIELDS: usize = 3;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            delivery_failed: fields.or_default("delivery-failed")?,
            undeliverable_here: fields.or_default("undeliverable-here")?,
            message_annotations: fields.or_default("message-annotations")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.delivery_failed);
        fields.put(&self.undeliverable_here);
        fields.put(&self.message_annotations);
    }
}
