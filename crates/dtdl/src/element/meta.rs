//! What every element may have: identifier, display name, description, comment.

use indexmap::IndexMap;

use crate::dtmi::Dtmi;
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
        }
    }
}
