//! Property: state of a twin, or of a Relationship.

use std::sync::Arc;

use crate::element::{Builder, Meta};
use crate::reader::{Node, Val};
use crate::schema::Schema;
use crate::semantic::{SemanticType, Unit};

/// A Property.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// Its name, unique in the Interface and all it extends.
    pub name: String,
    /// What its value may be.
    pub schema: Arc<Schema>,
    /// Whether a solution may write it. ADT stores it and does not enforce it.
    pub writable: bool,
    /// What its number measures.
    pub semantic_type: Option<&'static SemanticType>,
    /// In which unit.
    pub unit: Option<&'static Unit>,
    /// Identity and documentation.
    pub meta: Meta,
}

impl Property {
    pub(crate) fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<Self> {
        let schema = builder.schema(node, "schema");
        if let Some(schema) = &schema
            && node.context.version == 2
            && schema.contains_array()
        {
            let message = "a Property's schema cannot be or contain an Array or a geospatial schema in DTDL v2; use \
                           Telemetry, or a Map or Object";
            builder.sink.report(format!("{}.schema", node.path), message);
        }
        builder.check_value(node, schema.as_deref());
        Some(Self {
            name: node.text("name")?.to_owned(),
            schema: schema?,
            writable: matches!(node.value("writable"), Some(Val::Boolean(true))),
            semantic_type: node.semantic,
            unit: builder.unit(node),
            meta: Meta::read(node),
        })
    }
}
