//! [`Error`]: why a link, session or connection ends, or a message is rejected (part 2, section 2.8.14).

use std::fmt;

use crate::composite::{Composite, FieldError, Fields, Reader, Writer};
use crate::value::Symbol;

/// A condition, and what there is to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// See [`super::condition`].
    pub condition: Symbol,
    /// For people.
    pub description: Option<String>,
    /// For programs.
    pub info: Fields,
}

impl Error {
    /// An error with a description.
    #[must_use]
    pub fn new(condition: Symbol, description: impl Into<String>) -> Self {
        Self { condition, description: Some(description.into()), info: Fields::default() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{}: {description}", self.condition),
            None => write!(f, "{}", self.condition),
        }
    }
}

impl Composite for Error {
    const NAME: &'static str = "error";
    const CODE: u64 = 0x1d;
    const FIELDS: usize = 3;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            condition: fields.required("condition")?,
            description: fields.optional("description")?,
            info: fields.or_default("info")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.condition);
        fields.optional(self.description.as_ref());
        fields.put(&self.info);
    }
}
