//! A twin and a relationship as they are held in memory.

use std::sync::Arc;

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::{Etag, Timestamp};
use serde_json::Value;

use super::super::document::{METADATA, shown_text};

/// About what a twin takes beside its text and values: nodes of maps, allocations.
const TWIN: usize = 384;
/// The same of a relationship.
const EDGE: usize = 180;
/// A column beside the text it may have.
const COLUMN: usize = 48;

/// A twin: the text that is shown of it, and those of its values that conditions can be decided by without reading that.
#[derive(Debug)]
pub(crate) struct Twin {
    pub(crate) id: Arc<str>,
    pub(crate) etag: Etag,
    /// Its model's id; the graph makes it the same allocation for all twins of the model.
    pub(crate) model: Arc<str>,
    /// The document as `twin_document` shows it.
    pub(crate) text: Arc<str>,
    /// Where in it the contents begin.
    contents: usize,
    updated: Timestamp,
    /// All of its members but `$metadata`, by name. The graph makes names the same allocation for all twins.
    pub(super) columns: Box<[(Arc<str>, Scalar)]>,
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Too large for the one above.
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
    /// An object, an array: only the text has it.
    Structured,
}

impl Twin {
    pub(super) fn new(twin: &DigitalTwin) -> Self {
        let members = twin.document.as_object();
        let columns = members.into_iter().flatten().filter(|(name, _)| *name != METADATA);
        let (text, contents) = shown_text(twin);
        Self {
            id: twin.id.as_str().into(),
            etag: twin.etag.clone(),
            model: twin.model.as_str().into(),
            text: text.into(),
            contents,
            updated: twin.updated,
            columns: columns.map(|(name, value)| (name.as_str().into(), Scalar::of(value))).collect(),
        }
    }

    /// The twin as it is stored; `None` if it cannot be read, which it always can: it was written here.
    pub(crate) fn stored(&self) -> Option<DigitalTwin> {
        let contents = self.text.get(self.contents..)?;
        let mut text = String::with_capacity(contents.len() + 1);
        text.push('{');
        text.push_str(contents);
        Some(DigitalTwin {
            id: (*self.id).into(),
            model: (*self.model).into(),
            etag: self.etag.clone(),
            document: serde_json::from_str(&text).ok()?,
            updated: self.updated,
        })
    }

    /// A member of the document; `None` if it has none of this name. `$metadata` is not among them.
    pub(crate) fn column(&self, name: &str) -> Option<&Scalar> {
        self.columns.iter().find(|(column, _)| **column == *name).map(|(_, value)| value)
    }

    /// About what it takes.
    pub(super) fn bytes(&self) -> usize {
        let text = |value: &Scalar| if let Scalar::Text(text) = value { text.len() } else { 0 };
        let columns: usize = self.columns.iter().map(|(_, value)| COLUMN + text(value)).sum();
        TWIN + 3 * self.id.len() + self.text.len() + columns
    }
}

impl Scalar {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => Self::Int(value),
                (None, Some(value), _) => Self::Unsigned(value),
                (None, None, Some(value)) => Self::Float(value),
                (None, None, None) => Self::Structured,
            },
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Array(_) | Value::Object(_) => Self::Structured,
        }
    }
}

/// A relationship between two nodes of a graph.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) id: Box<str>,
    /// The nodes.
    pub(crate) source: u32,
    pub(crate) target: u32,
    pub(crate) name: Arc<str>,
    pub(crate) etag: Etag,
    /// Its properties as JSON text, if it has any.
    pub(crate) properties: Option<Box<str>>,
}

impl Edge {
    pub(super) fn new(relationship: &Relationship, source: u32, target: u32, name: Arc<str>) -> Self {
        let some = relationship.properties.as_object().is_some_and(|properties| !properties.is_empty());
        Self {
            id: relationship.id.as_str().into(),
            source,
            target,
            name,
            etag: relationship.etag.clone(),
            properties: some.then(|| relationship.properties.to_string().into()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        EDGE + self.id.len() + self.properties.as_deref().map_or(0, str::len)
    }
}

/// About what a relationship takes that is not in a graph.
pub(super) fn bytes_of(relationship: &Relationship) -> usize {
    let Relationship { id, source, target, name, .. } = relationship;
    2 * EDGE
        + id.len()
        + source.len()
        + target.len()
        + name.len()
        + 4 * relationship.properties.to_string().len()
}
