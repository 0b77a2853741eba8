//! Indexes on the properties of twins, made and dropped while the store works.
//!
//! ```text
//!   make ──▶ usable: in `property_indexes` ──▶ twins_by_value ──▶ at least the twins that have such a value
//!                      │ used now and then: `keep_property_index`
//!                      └ drop
//! ```
//!
//! An index narrows down what is read and decides nothing: it gives at least the twins whose value is asked for and may
//! give more (numbers are compared as floating point numbers, strings by their beginning). Which are made, and when one is
//! dropped, is the service's to say. A backend that has no use for them has none.

use async_trait::async_trait;
use pollux_model::digital_twin::DigitalTwin;
use pollux_model::{ResourceName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StoreError;
use crate::store::Page;

/// Strings are compared by at most so many characters of their beginning.
pub(crate) const COMPARED: usize = 64;
/// Names of a path at most.
const DEEPEST: usize = 4;
/// Characters of a name at most.
const LONGEST: usize = 128;

/// Which values of a property an index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// Strings, and Booleans as `true` and `false`.
    Text,
    /// Numbers.
    Number,
}

/// A property that can have an index. Its names are letters, digits and `_`, as DTDL has them, so that they mean nothing
/// to a backend that writes them into a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct IndexedProperty {
    path: Vec<String>,
    kind: ValueKind,
}

#[derive(Serialize, Deserialize)]
struct Unchecked {
    path: Vec<String>,
    kind: ValueKind,
}

impl TryFrom<Unchecked> for IndexedProperty {
    type Error = &'static str;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        Self::new(unchecked.path, unchecked.kind).ok_or("no property that can have an index")
    }
}

impl From<IndexedProperty> for Unchecked {
    fn from(property: IndexedProperty) -> Self {
        Self { path: property.path, kind: property.kind }
    }
}

impl IndexedProperty {
    /// `path`: names from the twin's root down. `None` if it can have no index.
    #[must_use]
    pub fn new(path: Vec<String>, kind: ValueKind) -> Option<Self> {
        let plain = |name: &String| {
            let of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            (1..=LONGEST).contains(&name.len()) && name.bytes().all(of_word)
        };
        ((1..=DEEPEST).contains(&path.len()) && path.iter().all(plain)).then_some(Self { path, kind })
    }

    /// The names from the twin's root down.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Which of its values the index has.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        self.kind
    }

    /// The value that a twin has there.
    #[must_use]
    pub fn of<'t>(&self, twin: &'t Value) -> Option<&'t Value> {
        let value = self.path.iter().try_fold(twin, |at, name| at.as_object()?.get(name))?;
        let fits = match self.kind {
            ValueKind::Text => value.is_string() || value.is_boolean(),
            ValueKind::Number => value.is_number(),
        };
        fits.then_some(value)
    }
}

/// What is looked for in an index. Bounds are included.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// One of these strings; `true` and `false` stand for Booleans too.
    Texts(Vec<String>),
    /// Strings between these, in the order of code points.
    TextsBetween(Option<String>, Option<String>),
    /// Strings that begin so.
    TextsWith(String),
    /// One of these numbers.
    Numbers(Vec<f64>),
    /// Numbers between these.
    NumbersBetween(f64, f64),
}

impl Values {
    /// The kind of index that can find them.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Texts(_) | Self::TextsBetween(..) | Self::TextsWith(_) => ValueKind::Text,
            Self::Numbers(_) | Self::NumbersBetween(..) => ValueKind::Number,
        }
    }

    /// Whether a value is what is looked for.
    #[must_use]
    pub fn admit(&self, value: &Value) -> bool {
        let text = match value {
            Value::Bool(value) => Some(if *value { "true" } else { "false" }),
            value => value.as_str(),
        };
        match self {
            Self::Texts(texts) => text.is_some_and(|text| texts.iter().any(|one| one == text)),
            Self::TextsBetween(least, most) => text.is_some_and(|text| {
                least.as_deref().is_none_or(|least| text >= least)
                    && most.as_deref().is_none_or(|most| text <= most)
            }),
            Self::TextsWith(beginning) => text.is_some_and(|text| text.starts_with(beginning)),
            Self::Numbers(numbers) => value.as_f64().is_some_and(|value| numbers.contains(&value)),
            Self::NumbersBetween(least, most) => {
                value.as_f64().is_some_and(|value| (*least..=*most).contains(&value))
            }
        }
    }
}

/// An index that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyIndex {
    /// The instance whose twins it has.
    pub twins: ResourceName,
    /// The property.
    pub property: IndexedProperty,
    /// When it was used last, as far as that was told.
    pub used: Timestamp,
    /// What the backend calls it.
    pub name: String,
}

/// How many indexes there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MostIndexes {
    /// Of one instance.
    pub of_instance: usize,
    /// Of all.
    pub in_all: usize,
}

/// What came of making one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is there.
    Ready,
    /// Somebody else is making one.
    Busy,
    /// There are as many as there may be.
    Full,
    /// This store has no indexes on properties, or may not make them.
    Never,
}

/// Indexes on properties.
#[async_trait]
pub trait PropertyIndexes {
    /// Those that can be used, of all instances. One that another node made is there too.
    async fn property_indexes(&self) -> Result<Vec<PropertyIndex>, StoreError> {
        Ok(Vec::new())
    }

    /// Makes an index, if there is none yet and none is being made by anybody. Reads and commits go on meanwhile; this may
    /// take minutes. What an earlier try left behind is removed.
    async fn make_property_index(
        &self,
        _twins: &ResourceName,
        _property: &IndexedProperty,
        _most: MostIndexes,
        _now: Timestamp,
    ) -> Result<Made, StoreError> {
        Ok(Made::Never)
    }

    /// Remembers that an index was used.
    async fn keep_property_index(&self, _index: &PropertyIndex, _used: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    /// Drops an index, unless one is being made. Idempotent.
    async fn drop_property_index(&self, _index: &PropertyIndex) -> Result<(), StoreError> {
        Ok(())
    }

    /// Twins in order of id, after `after`: at least those of `models` that have one of these values, committed before
    /// this was asked. `None` if the index is gone, or too many twins are found.
    async fn twins_by_value(
        &self,
        _index: &PropertyIndex,
        _values: &Values,
        _models: Option<&[String]>,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Option<Page<DigitalTwin>>, StoreError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_plain_names_can_have_an_index() {
        let property = |names: &[&str]| {
            IndexedProperty::new(names.iter().map(ToString::to_string).collect(), ValueKind::Text)
        };
        assert!(property(&["Temperature"]).is_some());
        assert!(property(&["comp", "deep_1", "x"]).is_some());
        for names in [
            &[][..],
            &[""],
            &["a'b"],
            &["a\"b"],
            &["$metadata"],
            &["a b"],
            &["a\\"],
            &["ä"],
            &["a\0"],
            &["a", "b", "c", "d", "e"],
            &["x'); DROP TABLE digital_twins; --"],
        ] {
            assert!(property(names).is_none(), "{names:?}");
        }
        assert!(property(&["a".repeat(129).as_str()]).is_none());
        let text = json!({ "path": ["a'b"], "kind": "text" });
        assert!(serde_json::from_value::<IndexedProperty>(text).is_err());
    }
}
