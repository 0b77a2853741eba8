//! The indexes that instances declare, and how that is written.

use std::collections::HashSet;
use std::sync::Arc;

use pollux_model::ResourceName;
use pollux_model::resource::{Properties, Resource};
use pollux_store::property_indexes::{IndexedProperty, PropertyIndex, ValueKind};

/// An index: of which instance, on what.
pub(super) type Key = (ResourceName, IndexedProperty);

/// What a declaration comes to: `temperature` and `in.part` an index on strings and one on numbers, `temperature:number` and
/// `temperature:text` one of them. `None` if it is no property that can have an index.
pub(crate) fn parse(text: &str) -> Option<Vec<IndexedProperty>> {
    let (path, kinds) = match text.split_once(':') {
        None => (text, &[ValueKind::Number, ValueKind::Text][..]),
        Some((path, "number")) => (path, &[ValueKind::Number][..]),
        Some((path, "text")) => (path, &[ValueKind::Text][..]),
        Some(_) => return None,
    };
    let path: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
    kinds.iter().map(|kind| IndexedProperty::new(path.clone(), *kind)).collect()
}

/// Those of a resource, each once.
pub(crate) fn of(resource: &Resource) -> Vec<IndexedProperty> {
    let Properties::Twins(twins) = &resource.properties else { return Vec::new() };
    properties(&twins.indexes)
}

/// What these declarations come to, each once.
pub(crate) fn properties(declared: &[String]) -> Vec<IndexedProperty> {
    let mut all: Vec<IndexedProperty> = declared.iter().filter_map(|text| parse(text)).flatten().collect();
    all.sort();
    all.dedup();
    all
}

/// Those of all resources.
pub(super) fn all(resources: &[Arc<Resource>]) -> HashSet<Key> {
    let each =
        resources.iter().flat_map(|one| of(one).into_iter().map(|property| (one.name.clone(), property)));
    each.collect()
}

pub(super) fn key(index: &PropertyIndex) -> Key {
    (index.twins.clone(), index.property.clone())
}

pub(super) fn keys(indexes: &[PropertyIndex]) -> HashSet<Key> {
    indexes.iter().map(key).collect()
}
