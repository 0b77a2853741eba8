//! Relationship: a link from a twin to another.

use indexmap::IndexMap;
use std::sync::Arc;

use crate::dtmi::Dtmi;
use crate::element::{Builder, Meta, Property};
use crate::metamodel::Kind;
use crate::reader::{Node, Val};

/// A Relationship.
#[derive(Debug, Clone, PartialEq)]
pub struct Relationship {
    /// Its name, unique in the Interface and all it extends.
    pub name: String,
    /// The Interface that a target must be of; any where absent. ADT does not need it to exist when the model is
    /// uploaded.
    pub target: Option<Dtmi>,
    /// Least number of links; only 0 is allowed.
    pub min_multiplicity: Option<u32>,
    /// Greatest number of links; no bound where absent.
    pub max_multiplicity: Option<u32>,
    /// Properties of each link, by name.
    pub properties: IndexMap<String, Arc<Property>>,
    /// Whether a solution may write it. ADT stores it and does not enforce it.
    pub writable: bool,
    /// Identity and documentation.
    pub meta: Meta,
}

impl Relationship {
    pub(crate) fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<Self> {
        let mut properties = IndexMap::new();
        for property in builder.local(node, "properties", &[Kind::Property]) {
            let path = property.path.clone();
            if let Some(built) = Property::build(property, builder)
                && properties.insert(built.name.clone(), Arc::new(built)).is_some()
            {
                builder.duplicate_name(property, &path, "properties of a Relationship");
            }
        }
        let max = node.context.limits(builder.limits).multiplicity;
        let min_multiplicity = multiplicity(node, "minMultiplicity", 0, 0, builder);
        let max_multiplicity = multiplicity(node, "maxMultiplicity", 1, max, builder);
        let target = match node.value("target") {
            Some(Val::Reference(id)) => Some(id.clone()),
            _ => None,
        };
        if let Some(target) = &target {
            builder.expect_interface(target, &format!("{}.target", node.path));
        }
        Some(Self {
            name: node.text("name")?.to_owned(),
            target,
            min_multiplicity,
            max_multiplicity,
            properties,
            writable: matches!(node.value("writable"), Some(Val::Boolean(true))),
            meta: Meta::read(node),
        })
    }
}

fn multiplicity(
    node: &Node<'_>,
    name: &str,
    least: u32,
    most: u32,
    builder: &mut Builder<'_, '_>,
) -> Option<u32> {
    let Some(Val::Integer(value)) = node.value(name) else { return None };
    let fits = u32::try_from(*value).ok().filter(|value| (least..=most).contains(value));
    if fits.is_none() {
        let wanted =
            if least == most { format!("must be {least}") } else { format!("must be {least} to {most}") };
        builder.sink.report(format!("{}.{name}", node.path), format!("is {value}; it {wanted}"));
    }
    fits
}
