//! What every element may have: identifier, display name, description, comment.

use indexmap::IndexMap;
use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::metamodel::PropertySpec;
use crate::reader::{Node, Val};

/// Texts by language tag, in the order given; `en` where the model gave no tag.
pub type Localized = IndexMap<String, String>;

/// Identity and documentation of an element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `@id`, where given.
    pub id: Option<Dtmi>,
    /// `displayName`.
    pub display_name: Localized,
    /// `description`.
    pub description: Localized,
    /// `comment`.
    pub comment: Option<String>,
    /// The cotypes that extensions known here bring, such as `Historized`; semantic types apart.
    pub cotypes: Vec<&'static str>,
    /// The properties that these cotypes bring, such as `annotates`, by their terms.
    pub extension_properties: IndexMap<&'static str, Value>,
}

impl Meta {
    pub(crate) fn read(node: &Node<'_>) -> Self {
        let localized = |name: &str| match node.value(name) {
            Some(Val::Localized(texts)) => texts.clone(),
            _ => Localized::new(),
        };
        Self {
            id: node.id.clone(),
            display_name: localized("displayName"),
            description: localized("description"),
            comment: node.text("comment").map(str::to_owned),
            cotypes: node.adjuncts.iter().map(|(_, adjunct)| adjunct.name).collect(),
            extension_properties: extension_properties(node),
        }
    }
}

fn extension_properties(node: &Node<'_>) -> IndexMap<&'static str, Value> {
    let specs = node.adjuncts.iter().flat_map(|(_, adjunct)| adjunct.properties);
    let read = |spec: &'static PropertySpec| {
        let value = match node.value(spec.name)? {
            Val::Text(text) => Value::from(*text),
            Val::Integer(number) => Value::from(*number),
            Val::Json(value) => (*value).clone(),
            _ => return None,
        };
        Some((spec.name, value))
    };
    specs.filter_map(read).collect()
}
