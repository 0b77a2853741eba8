//! [`Open`] and [`Close`] (part 2, sections 2.7.1 and 2.7.9).

use super::Error;
use crate::composite::{Composite, FieldError, Fields, Reader, Writer};
use crate::value::Symbol;

/// What a side is, and what it can take.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The sender's name.
    pub container_id: String,
    /// The host the sender wants to talk to.
    pub hostname: Option<String>,
    /// Longest frame it takes, in bytes.
    pub max_frame_size: u32,
    /// Highest channel it takes.
    pub channel_max: u16,
    /// Milliseconds without a frame after which it may close.
    pub idle_time_out: Option<u32>,
    /// Languages of its texts.
    pub outgoing_locales: Vec<Symbol>,
    /// Languages it wants.
    pub incoming_locales: Vec<Symbol>,
    /// Extensions it has.
    pub offered_capabilities: Vec<Symbol>,
    /// Extensions it would use.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else: product, version, platform.
    pub properties: Fields,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            container_id: String::new(),
            hostname: None,
            max_frame_size: u32::MAX,
            channel_max: u16::MAX,
            idle_time_out: None,
            outgoing_locales: Vec::new(),
            incoming_locales: Vec::new(),
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }
    }
}

impl Composite for Open {
    const NAME: &'static str = "open";
    const CODE: u64 = 0x10;
    const FIELDS: usize = 10;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            container_id: fields.required("container-id")?,
            hostname: fields.optional("hostname")?,
            max_frame_size: fields.or("max-frame-size", u32::MAX)?,
            channel_max: fields.or("channel-max", u16::MAX)?,
            idle_time_out: fields.optional("idle-time-out")?,
            outgoing_locales: fields.or_default("outgoing-locales")?,
            incoming_locales: fields.or_default("incoming-locales")?,
            offered_capabilities: fields.or_default("offered-capabilities")?,
            desired_capabilities: fields.or_default("desired-capabilities")?,
            properties: fields.or_default("properties")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.container_id);
        fields.optional(self.hostname.as_ref());
        fields.put(&self.max_frame_size);
        fields.put(&self.channel_max);
        fields.optional(self.idle_time_out.as_ref());
        fields.put(&self.outgoing_locales);
        fields.put(&self.incoming_locales);
        fields.put(&self.offered_capabilities);
        fields.put(&self.desired_capabilities);
        fields.put(&self.properties);
    }
}

/// The end of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Close {
    /// Why, if not in peace.
    pub error: Option<Error>,
}

impl Composite for Close {
    const NAME: &'static str = "close";
    const CODE: u64 = 0x18;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self { error: fields.optional("error")? })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.error.as_ref());
    }
}
