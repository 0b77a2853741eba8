//! A row of an answer: a document, or the text of one.

use std::sync::Arc;

use serde_json::Value;

/// A row. Rows that are held as text are not read to be written again.
#[derive(Debug, Clone)]
pub enum Row {
    /// A document.
    Document(Value),
    /// JSON text made for this row.
    Text(String),
    /// JSON text of a twin as it is held.
    Shared(Arc<str>),
}

impl Row {
    /// The document.
    #[must_use]
    pub fn into_value(self) -> Value {
        let text: &str = match &self {
            Self::Document(_) => return if let Self::Document(value) = self { value } else { Value::Null },
            Self::Text(text) => text,
            Self::Shared(text) => text,
        };
        // Written by us, so it can be read.
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The row's JSON text.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Document(value) => value.to_string(),
            Self::Text(text) => text,
            Self::Shared(text) => text.to_string(),
        }
    }

    /// Adds the row's JSON text.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Document(value) => out.push_str(&value.to_string()),
            Self::Text(text) => out.push_str(text),
            Self::Shared(text) => out.push_str(text),
        }
    }

    /// How long its text is, as far as it is made: of a document not.
    #[must_use]
    pub fn text_len(&self) -> usize {
        match self {
            Self::Document(_) => 0,
            Self::Text(text) => text.len(),
            Self::Shared(text) => text.len(),
        }
    }

    /// How long its text is.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Document(value) => serde_json::to_vec(value).map_or(0, |bytes| bytes.len()),
            Self::Text(text) => text.len(),
            Self::Shared(text) => text.len(),
        }
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_value() == other.clone().into_value()
    }
}
