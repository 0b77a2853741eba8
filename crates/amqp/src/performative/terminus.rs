//! [`Source`] and [`Target`]: the two ends of a link (part 3, section 3.5), and the coordinator (part 4, section 4.5.1).

use super::DeliveryState;
use crate::composite::{Composite, FieldError, Fields, Reader, Writer};
use crate::value::Symbol;

/// Where messages come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The node's address.
    pub address: Option<String>,
    /// What outlives the link: 0 nothing, 1 its configuration, 2 also the state of unsettled deliveries.
    pub durable: u32,
    /// When what outlives it ends; `None`: session-end.
    pub expiry_policy: Option<Symbol>,
    /// Seconds it stays after that.
    pub timeout: u32,
    /// Asks for a node to be made.
    pub dynamic: bool,
    /// Properties of such a node.
    pub dynamic_node_properties: Fields,
    /// `move` or `copy`.
    pub distribution_mode: Option<Symbol>,
    /// Which messages; the values are described by the kind of filter.
    pub filter: Fields,
    /// What holds for deliveries settled without a state.
    pub default_outcome: Option<DeliveryState>,
    /// The descriptors of outcomes that can be chosen.
    pub outcomes: Vec<Symbol>,
    /// Extensions.
    pub capabilities: Vec<Symbol>,
}

impl Source {
    /// A source with an address and nothing else.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

impl Composite for Source {
    const NAME: &'static str = "source";
    const CODE: u64 = 0x28;
    const FIELDS: usize = 11;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            address: fields.optional("address")?,
            durable: fields.or_default("durable")?,
            expiry_policy: fields.optional("expiry-policy")?,
            timeout: fields.or_default("timeout")?,
            dynamic: fields.or_default("dynamic")?,
            dynamic_node_properties: fields.or_default("dynamic-node-properties")?,
            distribution_mode: fields.optional("distribution-mode")?,
            filter: fields.or_default("filter")?,
            default_outcome: fields.optional("default-outcome")?,
            outcomes: fields.or_default("outcomes")?,
            capabilities: fields.or_default("capabilities")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.address.as_ref());
        fields.put(&self.durable);
        fields.optional(self.expiry_policy.as_ref());
        fields.put(&self.timeout);
        fields.put(&self.dynamic);
        fields.put(&self.dynamic_node_properties);
        fields.optional(self.distribution_mode.as_ref());
        fields.put(&self.filter);
        fields.optional(self.default_outcome.as_ref());
        fields.put(&self.outcomes);
        fields.put(&self.capabilities);
    }
}

/// Where messages go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// The node's address.
    pub address: Option<String>,
    /// As in [`Source::durable`].
    pub durable: u32,
    /// As in [`Source::expiry_policy`].
    pub expiry_policy: Option<Symbol>,
    /// As in [`Source::timeout`], in seconds.
    pub timeout: u32,
    /// Asks for a node to be made.
    pub dynamic: bool,
    /// Properties of such a node.
    pub dynamic_node_properties: Fields,
    /// Extensions.
    pub capabilities: Vec<Symbol>,
}

impl Target {
    /// A target with an address and nothing else.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

impl Composite for Target {
    const NAME: &'static str = "target";
    const CODE: u64 = 0x29;
    const FIELDS: usize = 7;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            address: fields.optional("address")?,
            durable: fields.or_default("durable")?,
            expiry_policy: fields.optional("expiry-policy")?,
            timeout: fields.or_default("timeout")?,
            dynamic: fields.or_default("dynamic")?,
            dynamic_node_properties: fields.or_default("dynamic-node-properties")?,
            capabilities: fields.or_default("capabilities")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.address.as_ref());
        fields.put(&self.durable);
        fields.optional(self.expiry_policy.as_ref());
        fields.put(&self.timeout);
        fields.put(&self.dynamic);
        fields.put(&self.dynamic_node_properties);
        fields.put(&self.capabilities);
    }
}

/// The target of a link that controls transactions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coordinator;

impl Composite for Coordinator {
    const NAME: &'static str = "coordinator";
    const CODE: u64 = 0x30;
    const FIELDS: usize = 1;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        fields.optional::<Vec<Symbol>>("capabilities").map(|_| Self)
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.null();
    }
}
