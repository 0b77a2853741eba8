//! The order of values that `ORDER BY`, `GROUP BY`, `MIN` and `MAX` go by. Unlike comparisons in conditions it is
//! total: undefined, null, Booleans, numbers, strings (by code point), arrays, objects.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::value::Number;

/// Values a row is ordered or grouped by, first the most important. Two keys of the same query compare by the
/// directions of its `ORDER BY`.
#[derive(Debug, Clone)]
pub struct SortKey {
    pub(crate) parts: Vec<SortPart>,
}

#[derive(Debug, Clone)]
pub(crate) struct SortPart {
    /// `None` is undefined.
    pub(crate) value: Option<Json>,
    pub(crate) descending: bool,
}

impl SortKey {
    pub(crate) fn ascending(values: Vec<Option<Json>>) -> Self {
        Self { parts: values.into_iter().map(|value| SortPart { value, descending: false }).collect() }
    }

    /// The key as JSON, from which the query reads it again.
    pub fn to_json(&self) -> Json {
        self.parts.iter().map(|part| part.value.iter().cloned().collect::<Json>()).collect()
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| 32 + part.value.as_ref().map_or(0, size)).sum()
    }

    /// What [`Self::to_json`] gave, with the directions of a query's terms.
    pub(crate) fn from_json(json: &Json, descending: impl IntoIterator<Item = bool>) -> Option<Self> {
        let values = json.as_array()?;
        let parts = values.iter().zip(descending).map(|(value, descending)| {
            let value = value.as_array()?.first().cloned();
            Some(SortPart { value, descending })
        });
        let parts = parts.collect::<Option<Vec<SortPart>>>()?;
        (parts.len() == values.len()).then_some(Self { parts })
    }
}

impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SortKey {}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = self.parts.iter().zip(&other.parts);
        let mut orders = parts.map(|(left, right)| {
            let order = compare_optional(left.value.as_ref(), right.value.as_ref());
            if left.descending { order.reverse() } else { order }
        });
        orders.find(|order| order.is_ne()).unwrap_or_else(|| self.parts.len().cmp(&other.parts.len()))
    }
}

fn compare_optional(left: Option<&Json>, right: Option<&Json>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => compare(left, right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// The total order.
pub(crate) fn compare(left: &Json, right: &Json) -> Ordering {
    match (left, right) {
        (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
        (Json::Number(left), Json::Number(right)) => {
            Number::from_json(left).compare(Number::from_json(right)).unwrap_or(Ordering::Equal)
        }
        (Json::String(left), Json::String(right)) => left.cmp(right),
        (Json::Array(left), Json::Array(right)) => {
            let mut orders = left.iter().zip(right).map(|(left, right)| compare(left, right));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        (Json::Object(left), Json::Object(right)) => {
            let sorted = |object: &serde_json::Map<String, Json>| {
                let mut names: Vec<String> = object.keys().cloned().collect();
                names.sort_unstable();
                names
            };
            let (left_names, right_names) = (sorted(left), sorted(right));
            let mut orders = left_names.iter().zip(&right_names).map(|(left_name, right_name)| {
                let values = || compare_optional(left.get(left_name), right.get(right_name));
                left_name.cmp(right_name).then_with(values)
            });
            orders.find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Json) -> u8 {
    match value {
        Json::Null => 0,
        Json::Bool(_) => 1,
        Json::Number(_) => 2,
        Json::String(_) => 3,
        Json::Array(_) => 4,
        Json::Object(_) => 5,
    }
}

fn size(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(|item| 32 + size(item)).sum(),
        Json::Object(members) => members.iter().map(|(name, value)| 64 + name.len() + size(value)).sum(),
    }
}
