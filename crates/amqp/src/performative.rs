//! The nine performatives of AMQP 1.0 (part 2, section 2.7), what they are made of, and their place on the wire.
//!
//! Decoding accepts missing fields at the end and null for a default; a field of the wrong type is an error that names it.
//! Encoding writes every field, nulls included: pyamqp, in PyPI's azure-eventhub, indexes them by position.

pub mod condition;
mod connection;
mod error;
mod link;
mod session;
mod state;
mod terminus;
mod transfer;

use bytes::{Bytes, BytesMut};

pub use connection::{Close, Open};
pub use error::Error;
pub use link::{Attach, AttachTarget, Detach, ReceiverSettleMode, Role, SenderSettleMode};
pub use session::{Begin, End};
pub use state::{DeliveryState, Modified};
pub use terminus::{Source, Target};
pub use transfer::{Disposition, Flow, Transfer};

use crate::composite::{self, Composite, FieldError, Place};
use crate::decode::{DecodeErrorKind, Decoder};
use crate::value::Kind;

/// What an AMQP frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Performative {
    /// Opens the connection.
    Open(Box<Open>),
    /// Begins a session.
    Begin(Box<Begin>),
    /// Attaches a link.
    Attach(Box<Attach>),
    /// Updates the state of a session, and of a link in it.
    Flow(Box<Flow>),
    /// Carries a message, or a part of one; the payload comes behind it in the frame.
    Transfer(Transfer),
    /// Tells the state of deliveries.
    Disposition(Disposition),
    /// Detaches a link.
    Detach(Detach),
    /// Ends a session.
    End(End),
    /// Closes the connection.
    Close(Close),
}

impl Performative {
    /// Reads a frame's body: the performative, and the payload behind it (of a transfer; all others have none). Binaries
    /// and the payload share the body's memory.
    ///
    /// # Errors
    /// [`FieldError`], which names the performative and the field.
    pub fn decode(body: Bytes) -> Result<(Self, Bytes), FieldError> {
        let place = Place { composite: "frame", field: "performative" };
        let mut decoder = Decoder::new(body);
        let performative = match composite::descriptor(&mut decoder, place)? {
            Open::CODE => Self::Open(Box::new(composite::list(&mut decoder)?)),
            Begin::CODE => Self::Begin(Box::new(composite::list(&mut decoder)?)),
            Attach::CODE => Self::Attach(Box::new(composite::list(&mut decoder)?)),
            Flow::CODE => Self::Flow(Box::new(composite::list(&mut decoder)?)),
            Transfer::CODE => Self::Transfer(composite::list(&mut decoder)?),
            Disposition::CODE => Self::Disposition(composite::list(&mut decoder)?),
            Detach::CODE => Self::Detach(composite::list(&mut decoder)?),
            End::CODE => Self::End(composite::list(&mut decoder)?),
            Close::CODE => Self::Close(composite::list(&mut decoder)?),
            _ => return place.expected("a performative", Kind::Described),
        };
        let payload = decoder.rest();
        if !payload.is_empty() && !matches!(performative, Self::Transfer(_)) {
            return Err(place.error(DecodeErrorKind::SizeMismatch));
        }
        Ok((performative, payload))
    }

    /// Appends the performative, without a frame around it.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Begin(begin) => begin.encode(out),
            Self::Attach(attach) => attach.encode(out),
            Self::Flow(flow) => flow.encode(out),
            Self::Transfer(transfer) => transfer.encode(out),
            Self::Disposition(disposition) => disposition.encode(out),
            Self::Detach(detach) => detach.encode(out),
            Self::End(end) => end.encode(out),
            Self::Close(close) => close.encode(out),
        }
    }
}
