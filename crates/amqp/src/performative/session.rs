//! [`Begin`] and [`End`] (part 2, sections 2.7.2 and 2.7.8).

use super::Error;
use crate::composite::{Composite, FieldError, Fields, Reader, Writer};
use crate::value::Symbol;

/// A session's beginning, or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// In an answer: the channel of the begin it answers.
    pub remote_channel: Option<u16>,
    /// The transfer-id of the first transfer the sender will send.
    pub next_outgoing_id: u32,
    /// How many transfers it takes for now.
    pub incoming_window: u32,
    /// How many transfers it can send for now.
    pub outgoing_window: u32,
    /// Highest handle it takes.
    pub handle_max: u32,
    /// Extensions it has.
    pub offered_capabilities: Vec<Symbol>,
    /// Extensions it would use.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

impl Composite for Begin {
    const NAME: &'static str = "begin";
    const CODE: u64 = 0x11;
    const FIELDS: usize = 8;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            remote_channel: fields.optional("remote-channel")?,
            next_outgoing_id: fields.required("next-outgoing-id")?,
            incoming_window: fields.required("incoming-window")?,
            outgoing_window: fields.required("outgoing-window")?,
            handle_max: fields.or("handle-max", u32::MAX)?,
            offered_capabilities: fields.or_default("offered-capabilities")?,
            desired_capabilities: fields.or_default("desired-capabilities")?,
            properties: fields.or_default("properties")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.remote_channel.as_ref());
        fields.put(&self.next_outgoing_id);
        fields.put(&self.incoming_window);
        fields.put(&self.outgoing_window);
        fields.put(&self.handle_max);
        fields.put(&self.offered_capabilities);
        fields.put(&self.desired_capabilities);
        fields.put(&self.properties);
    }
}

/// The end of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Why, if not in peace.
    pub error: Option<Error>,
}

impl Composite for End {
    const NAME: &'static str = "end";
    const CODE: u64 = 0x17;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self { error: fields.optional("error")? })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.error.as_ref());
    }
}
