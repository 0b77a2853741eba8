//! AMQP 1.0: values and message sections (the stored form of an event), and a connection as a state machine.
//!
//! Pure: bytes in, values and events out; no sockets, no clock. A driver needs [`endpoint`] and the words it uses, from
//! [`performative`] and [`sasl`].
//! Source of every rule here: OASIS AMQP 1.0, parts 1 (types), 2 (transport), 3 (messaging) and 5 (security).

mod composite;
mod decode;
mod encode;
pub mod endpoint;
pub mod frame;
pub mod message;
pub mod performative;
pub mod sasl;
pub mod value;

pub use composite::{FieldError, Fields};
pub use decode::{DecodeError, DecodeErrorKind, MAX_DEPTH, MAX_VALUES};
pub use message::sections::Sections;
pub use message::{
    AnnotationKey, Annotations, ApplicationProperties, Body, Header, Message, MessageId, Properties,
};
pub use value::{Array, Described, Kind, Symbol, Value};
