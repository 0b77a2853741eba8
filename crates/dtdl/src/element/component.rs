//! Component: another Interface as part of this one.

use crate::dtmi::Dtmi;
use crate::element::{Builder, Meta};
use crate::reader::Node;

/// A Component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name, unique in the Interface and all it extends.
    pub name: String,
    /// The Interface of the part.
    pub schema: Dtmi,
    /// Identity and documentation.
    pub meta: Meta,
}

impl Component {
    pub(crate) fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<Self> {
        let schema = builder.interfaces(node, "schema").into_iter().next();
        Some(Self { name: node.text("name")?.to_owned(), schema: schema?, meta: Meta::read(node) })
    }
}
