//! Telemetry: a stream of values that a twin's source emits; not state of the twin.

use std::sync::Arc;

use crate::element::{Builder, Meta};
use crate::reader::Node;
use crate::schema::Schema;
use crate::semantic::{SemanticType, Unit};

/// A Telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Its name, unique in the Interface and all it extends.
    pub name: String,
    /// What each value may be.
    pub schema: Arc<Schema>,
    /// What its number measures.
    pub semantic_type: Option<&'static SemanticType>,
    /// In which unit.
    pub unit: Option<&'static Unit>,
    /// Identity and documentation.
    pub meta: Meta,
}

impl Telemetry {
    pub(crate) fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<Self> {
        let schema = builder.schema(node, "schema");
        builder.check_value(node, schema.as_deref());
        Some(Self {
            name: node.text("name")?.to_owned(),
            schema: schema?,
            semantic_type: node.semantic,
            unit: builder.unit(node),
            meta: Meta::read(node),
        })
    }
}
