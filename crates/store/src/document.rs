//! Documents: the JSON text of model types.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// A value as it is stored.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Corrupt(format!("not writable as JSON: {error}")))
}

/// A stored value. The error names the table and the place, never the contents: they may be secret.
pub(crate) fn decode<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        StoreError::Corrupt(format!(
            "a document of table {table} does not have the form it must have (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}
