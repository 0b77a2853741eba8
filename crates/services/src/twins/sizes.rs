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
    if object(contents, limits)? > limits.digital_twin {
        return Err(refusal::too_large(noun, limits.digital_twin));
    }
    Ok(())
}

/// The size of an object without `$metadata`, which a component has too: no property and no key of a map is called so.
fn object(members: &Map<String, Value>, limits: &Limits) -> Result<usize> {
    let (mut size, mut count) = (2, 0_usize);
    for (name, value) in members.iter().filter(|(name, _)| name.as_str() != METADATA) {
        size += member(name, value, limits)?;
        count += 1;
    }
    Ok(size + count.saturating_sub(1))
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
        Value::Object(members) => object(members, limits)?,
        Value::Array(items) => {
            let mut size = 2 + items.len().saturating_sub(1);
            for item in items {
                size += size_of(name, item, limits)?;
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
    }

    #[test]
    fn the_whole_is_as_long_as_its_json() {
        let contents =
            json!({ "a": ["0123456", "0123456", [], {}], "bb": true, "c": { "d": 1.5, "e": null } });
        let length = contents.to_string().len();
        let Value::Object(contents) = contents else { panic!("an object") };
        let limited = |digital_twin| check("twin", &contents, &Limits { digital_twin, ..Limits::default() });
        limited(length).unwrap();
        assert_eq!(limited(length - 1).unwrap_err().code, ErrorCode::TooLarge);
    }

    #[test]
    fn metadata_is_not_counted() {
        let long = "x".repeat(100);
        assert!(!refused(
            json!({ "a": 1, "$metadata": { "$model": long }, "part": { "$metadata": { "b": long } } })
        ));
    }
}
