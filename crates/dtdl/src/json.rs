//! Texts to JSON. What is read here must say each member once: a reader that takes the last of two would call a model
//! valid whose other half nobody checked (RFC 8259, section 4: what becomes of it differs from reader to reader).

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::Diagnostic;

/// JSON, with or without a byte-order mark. Nesting is bounded by the JSON reader.
pub(crate) fn read(text: &str) -> Result<Value, Diagnostic> {
    let text = text.trim_start_matches('\u{feff}');
    let value = serde_json::from_str(text).map_err(|error| located(&error, "the text is no JSON: "))?;
    serde_json::from_str::<Once>(text).map_err(|error| located(&error, ""))?;
    Ok(value)
}

/// A text that ends with a line ends before the first column of the next.
fn located(error: &serde_json::Error, prefix: &str) -> Diagnostic {
    let number = |n: usize| u32::try_from(n).ok();
    let mut diagnostic = Diagnostic::general("$", format!("{prefix}{error}"));
    diagnostic.line = number(error.line()).filter(|line| *line > 0);
    diagnostic.column = diagnostic.line.and_then(|_| number(error.column().max(1)));
    diagnostic
}

/// Any JSON in which no object has two members of one name.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names: HashSet<String> = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("'{name}' is given twice in one object")));
            }
            names.insert(name);
            members.next_value::<Self>()?;
        }
        Ok(self)
    }
}
