//! The bodies of SASL frames (part 5, section 5.3.3).

use bytes::{Bytes, BytesMut};

use super::Init;
use crate::composite::{self, Composite, Field, FieldError, Place, Reader, Writer};
use crate::decode::{DecodeErrorKind, Decoder};
use crate::value::{Kind, Symbol};

/// What a SASL frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslFrame {
    /// The server's list.
    Mechanisms(Vec<Symbol>),
    /// The client's choice.
    Init(Init),
    /// The server wants to know more.
    Challenge(Bytes),
    /// The client's answer to that.
    Response(Response),
    /// How it ended, and what the mechanism has to add.
    Outcome(Code, Option<Bytes>),
}

impl SaslFrame {
    /// Reads a frame's body.
    ///
    /// # Errors
    /// [`FieldError`], which names the frame and the field.
    pub fn decode(body: Bytes) -> Result<Self, FieldError> {
        let place = Place { composite: "frame", field: "sasl" };
        let mut decoder = Decoder::new(body);
        let frame = match composite::descriptor(&mut decoder, place)? {
            Mechanisms::CODE => {
                composite::list(&mut decoder).map(|Mechanisms(list)| Self::Mechanisms(list))?
            }
            Init::CODE => Self::Init(composite::list(&mut decoder)?),
            Challenge::CODE => {
                composite::list(&mut decoder).map(|Challenge(bytes)| Self::Challenge(bytes))?
            }
            Response::CODE => Self::Response(composite::list(&mut decoder)?),
            Outcome::CODE => {
                composite::list(&mut decoder).map(|Outcome(code, data)| Self::Outcome(code, data))?
            }
            _ => return place.expected("a SASL frame", Kind::Described),
        };
        if decoder.is_done() { Ok(frame) } else { Err(place.error(DecodeErrorKind::SizeMismatch)) }
    }

    /// Appends the body, without a frame around it.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Mechanisms(list) => Mechanisms(list.clone()).encode(out),
            Self::Init(init) => init.encode(out),
            Self::Challenge(bytes) => Challenge(bytes.clone()).encode(out),
            Self::Response(response) => response.encode(out),
            Self::Outcome(code, data) => Outcome(*code, data.clone()).encode(out),
        }
    }
}

/// How the exchange ended (section 5.3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Authenticated.
    Ok = 0,
    /// Not authenticated.
    Auth = 1,
    /// The server is at fault.
    System = 2,
    /// The server is at fault, and trying again does not help.
    SystemPermanent = 3,
    /// The server is at fault; try again.
    SystemTemporary = 4,
}

impl Field for Code {
    fn read(decoder: &mut Decoder, place: Place) -> Result<Self, FieldError> {
        Ok(match u8::read(decoder, place)? {
            0 => Self::Ok,
            1 => Self::Auth,
            2 => Self::System,
            3 => Self::SystemPermanent,
            4 => Self::SystemTemporary,
            _ => return Err(place.error(DecodeErrorKind::Malformed(Kind::Ubyte))),
        })
    }

    fn write(&self, out: &mut BytesMut) {
        (*self as u8).write(out);
    }
}

struct Mechanisms(Vec<Symbol>);

impl Composite for Mechanisms {
    const NAME: &'static str = "sasl-mechanisms";
    const CODE: u64 = 0x40;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        fields.required("sasl-server-mechanisms").map(Self)
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.0);
    }
}

impl Composite for Init {
    const NAME: &'static str = "sasl-init";
    const CODE: u64 = 0x41;
    const FIELDS: usize = 3;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            mechanism: fields.required("mechanism")?,
            response: fields.optional("initial-response")?,
            hostname: fields.optional("hostname")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.mechanism);
        fields.optional(self.response.as_ref());
        fields.optional(self.hostname.as_ref());
    }
}

struct Challenge(Bytes);

impl Composite for Challenge {
    const NAME: &'static str = "sasl-challenge";
    const CODE: u64 = 0x42;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        fields.required("challenge").map(Self)
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.0);
    }
}

/// A client's answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(pub Bytes);

/// Without the bytes: they can be a secret.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({} bytes)", self.0.len())
    }
}

impl Composite for Response {
    const NAME: &'static str = "sasl-response";
    const CODE: u64 = 0x43;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        fields.required("response").map(Self)
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.0);
    }
}

struct Outcome(Code, Option<Bytes>);

impl Composite for Outcome {
    const NAME: &'static str = "sasl-outcome";
    const CODE: u64 = 0x44;
    const FIELDS: usize = 2;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self(fields.required("code")?, fields.optional("additional-data")?))
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.0);
        fields.optional(self.1.as_ref());
    }
}
