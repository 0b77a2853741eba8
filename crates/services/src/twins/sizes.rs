//! How large twins and relationships may be (article "Azure Digital Twins service limits").

use pollux_model::ids::shown;
use pollux_model::{Error, ErrorCode, Result};
use serde_json::{Map, Value};

use super::document::METADATA;
use super::refusal;
use crate::Limits;

/// Checks contents that hold by the model: whole, in each string, in each name.
///
/// What is counted is what a client says of it, as compact JSON: metadata is ours.
///
/// # Errors
/// [`ErrorCode::TooLarge`]: `noun` (twin or relationship), or what in it.
pub(super) fn check(noun: &str, contents: &Map<String, Value>, limits: &Limits) -> Result<()> {
    let mut size = 2;
    for (name, value) in contents.iter().filter(|(name, _)| name.as_str() != METADATA) {
        size += member(name, value, limits)? + 1;
    }
    // The last member is not followed by a comma.
    if size > limits.digital_twin + 1 {
        return Err(refusal::too_large(noun, limits.digital_twin));
    }
    Ok(())
}

/// The size of a member: `"name":value`. No deeper than JSON that was read (128).
fn member(name: &str, value: &Value, limits: &Limits) -> Result<usize> {
    if name.len() > limits.digital_twin_name {
        let (name, limit) = (shown(name), limits.digital_twin_name);
        return Err(too_large(format!("The name of the property '{name}' is larger than {limit} bytes.")));
    }
    Ok(name.len() + 3 + size_of(name, value, limits)?)
}

fn size_of(name: &str, value: &Value, limits: &Limits) -> Result<usize> {
    Ok(match value {
        Value::String(text) if text.len() > limits.digital_twin_string => {
            let (name, limit) = (shown(name), limits.digital_twin_string);
            return Err(too_large(format!("The string in '{name}' is larger than {limit} bytes.")));
        }
        Value::String(text) => text.len() + 2,
        Value::Object(members) => {
            let mut size = 2;
            // A component's metadata is ours as well; no property and no key of a map is called so.
            for (inner, value) in members.iter().filter(|(inner, _)| inner.as_str() != METADATA) {
                size += member(inner, value, limits)? + 1;
            }
            size
        }
        Value::Array(items) => {
            let mut size = 2;
            for item in items {
                size += size_of(name, item, limits)? + 1;
            }
            size
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string().len(),
    })
}

fn too_large(message: String) -> Error {
    Error::new(ErrorCode::TooLarge, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(contents: Value) -> bool {
        let Value::Object(contents) = contents else { panic!("an object") };
        let limits =
            Limits { digital_twin: 60, digital_twin_string: 10, digital_twin_name: 5, ..Limits::default() };
        check("twin", &contents, &limits).is_err_and(|error| error.code == ErrorCode::TooLarge)
    }

    #[test]
    fn wholes_strings_and_names_have_their_own_limits() {
        assert!(!refused(json!({ "a": "0123456789" })));
        assert!(refused(json!({ "a": "0123456789a" })));
        assert!(refused(json!({ "a": { "b": ["0123456789a"] } })), "however deep");
        assert!(refused(json!({ "a": "ääääää" })), "bytes count");
        assert!(refused(json!({ "a": { "sixsix": 1 } })), "keys of maps");
        let five = json!(["0123456", "0123456", "0123456", "0123456", "0123456"]);
        assert!(!refused(json!({ "a": five, "bb": true })), "59 bytes");
        assert!(refused(json!({ "a": five, "bb": true, "c": 1 })));
    }

    #[test]
    fn metadata_is_not_counted() {
        let long = "x".repeat(100);
        assert!(!refused(
            json!({ "a": 1, "$metadata": { "$model": long }, "part": { "$metadata": { "b": long } } })
        ));
    }
}
