//! What both backends read the same way: how ids compare, where a page goes on, how many rows to ask for.

use pollux_model::device::Device;
use pollux_model::digital_twin::Relationship;

use crate::error::StoreError;
use crate::modules::after_module;

/// An id as it compares where case does not matter.
pub(crate) fn folded(id: &str) -> String {
    id.to_lowercase()
}

/// How many rows to ask for, so that a page of `limit` also learns whether there is another.
pub(crate) fn fetch(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).map_or(i64::MAX, |limit| limit.saturating_add(1))
}

/// Where a page of relationships ends: source and id as a JSON array, for neither has a character that could separate
/// them.
pub(crate) fn relationship_mark(relationship: &Relationship) -> String {
    mark_of(&relationship.source, &relationship.id)
}

/// As [`relationship_mark`].
pub(crate) fn mark_of(source: &str, id: &str) -> String {
    serde_json::json!([source, id]).to_string()
}

/// The place such a mark stands for; the beginning when there is none.
pub(crate) fn relationship_place(after: Option<&str>) -> Result<(String, String), StoreError> {
    let foreign =
        |_| StoreError::Corrupt("a page of relationships is asked for with a foreign mark".to_owned());
    after.map_or_else(|| Ok(Default::default()), |mark| serde_json::from_str(mark).map_err(foreign))
}

/// Where a page of modules ends, as [`relationship_mark`]. Ids have no character that would have to be told apart.
pub(crate) fn module_mark(module: &Device) -> String {
    after_module(&module.address())
}

/// The place such a mark stands for; the beginning when there is none.
pub(crate) fn module_place(after: Option<&str>) -> Result<(String, String), StoreError> {
    let foreign = |_| StoreError::Corrupt("a page of modules is asked for with a foreign mark".to_owned());
    after.map_or_else(|| Ok(Default::default()), |mark| serde_json::from_str(mark).map_err(foreign))
}

/// The id after which a page of dead letters goes on.
pub(crate) fn dead_letter_place(after: Option<&str>) -> Result<i64, StoreError> {
    let foreign =
        |_| StoreError::Corrupt("a page of dead letters is asked for with a foreign mark".to_owned());
    after.map_or(Ok(0), str::parse).map_err(foreign)
}
