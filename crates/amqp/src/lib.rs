//! AMQP 1.0 values and message sections: the stored form of an event.
//!
//! Pure: bytes in, values out. Frames, performatives, links and SASL come with the Event Hubs endpoint.
//! Source of every rule here: OASIS AMQP 1.0, part 1 (types) and part 3 section 2 (message format).

mod decode;
mod encode;
pub mod message;
pub mod value;

pub use decode::{DecodeError, DecodeErrorKind, MAX_DEPTH, MAX_VALUES};
pub use message::sections::Sections;
pub use message::{
    AnnotationKey, Annotations, ApplicationProperties, Body, Header, Message, MessageId, Properties,
};
pub use value::{Array, Described, Kind, Symbol, Value};
