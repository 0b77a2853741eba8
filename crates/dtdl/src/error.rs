//! What is reported to a caller: [`Diagnostic`] about a model, [`Violation`] about an instance.

use std::fmt;

use crate::dtmi::Dtmi;

/// One thing wrong with a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The Interface concerned, where its `@id` could be read.
    pub model: Option<Dtmi>,
    /// Where, as a JSON path into the array of documents given to [`crate::parse`]: `$[0].contents[2].schema`.
    /// For a fault between models (from [`crate::ModelSet`]) the path is relative to the model: `$.extends`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Line in the text, from 1, where the model was parsed from text.
    pub line: Option<u32>,
    /// Column in the line, from 1, in characters, where the model was parsed from text.
    pub column: Option<u32>,
}

impl Diagnostic {
    /// A diagnostic about no model in particular.
    #[must_use]
    pub fn general(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { model: None, path: path.into(), message: message.into(), line: None, column: None }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(model) = &self.model {
            write!(f, "{model} ")?;
        }
        write!(f, "at {}", self.path)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, " (line {line}, column {column})")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// One thing wrong with an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// Where in the value that was checked, as a JSON Pointer (RFC 6901); empty for the value itself.
    pub path: String,
    /// What is wrong, and what would be right; a sentence in the words of ADT where ADT's are known.
    pub message: String,
}

impl Violation {
    /// A violation at the value itself.
    pub(crate) fn here(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    /// The same violation seen from the container that holds the value under `key`.
    pub(crate) fn under(mut self, key: &str) -> Self {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        self.path.insert_str(0, &format!("/{escaped}"));
        self
    }
}

/// Collects diagnostics up to a bound and remembers which model is being read.
#[derive(Debug)]
pub(crate) struct Sink {
    model: Option<Dtmi>,
    kept: Vec<Diagnostic>,
    dropped: usize,
    bound: usize,
}

impl Sink {
    pub(crate) fn new(bound: usize) -> Self {
        Self { model: None, kept: Vec::new(), dropped: 0, bound }
    }

    /// Names the model that the next diagnostics are about; gives back the one before, to be restored.
    pub(crate) fn enter(&mut self, model: Option<Dtmi>) -> Option<Dtmi> {
        std::mem::replace(&mut self.model, model)
    }

    pub(crate) fn report(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.kept.len() >= self.bound {
            self.dropped += 1;
            return;
        }
        let model = self.model.clone();
        self.kept.push(Diagnostic {
            model,
            path: path.into(),
            message: message.into(),
            line: None,
            column: None,
        });
    }

    /// Everything reported, in the order found; empty means accepted.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        if self.dropped > 0 {
            let message = format!("{} more errors are not listed", self.dropped);
            self.kept.push(Diagnostic { model: None, path: "$".into(), message, line: None, column: None });
        }
        self.kept
    }
}
