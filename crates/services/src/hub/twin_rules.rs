//! What tags and properties of a device twin may be: keys, values, depth, sizes.
//!
//! Azure article "Understand and use device twins in IoT Hub", section "Tags and properties format".

use pollux_model::{Error, ErrorCode, Result};
use serde_json::{Map, Value};

/// Levels of nesting.
const DEPTH: usize = 10;
/// Bytes of a key.
const KEY: usize = 1024;
/// Bytes of a string value.
const STRING: usize = 4096;
/// Integers outside this range are refused (the real service's safe range).
const INTEGERS: std::ops::RangeInclusive<i64> = -4_503_599_627_370_496..=4_503_599_627_370_495;

/// Checks a patch or a whole collection. `name` is said in messages: `tags`, `properties.desired`, ….
pub(super) fn check(name: &str, properties: &Map<String, Value>) -> Result<()> {
    object(name, properties, 1)
}

/// Checks the size of what would be stored.
pub(super) fn check_size(name: &str, properties: &Map<String, Value>, most: usize) -> Result<()> {
    let size: usize = properties.iter().map(|(key, value)| key.len() + size_of(value)).sum();
    if size <= most {
        return Ok(());
    }
    Err(Error::new(ErrorCode::TooLarge, format!("{name} would be {size} bytes; at most {most} are allowed")))
}

fn object(name: &str, properties: &Map<String, Value>, depth: usize) -> Result<()> {
    if depth > DEPTH {
        return Err(Error::invalid(format!("{name} is nested deeper than {DEPTH} levels")));
    }
    for (key, inner) in properties {
        self::key(name, key)?;
        value(name, key, inner, depth)?;
    }
    Ok(())
}

fn key(name: &str, key: &str) -> Result<()> {
    let bad = |c: char| c.is_control() || matches!(c, '.' | '$' | ' ');
    if key.is_empty() || key.len() > KEY || key.contains(bad) {
        let shown = pollux_model::ids::shown(key);
        return Err(Error::invalid(format!(
            "the key '{shown}' in {name} is not allowed: use 1 to {KEY} bytes without control characters, '.', '$' and spaces"
        )));
    }
    Ok(())
}

fn value(name: &str, key: &str, inner: &Value, depth: usize) -> Result<()> {
    match inner {
        Value::Object(map) => object(name, map, depth + 1),
        Value::Array(items) => {
            if depth + 1 > DEPTH {
                return Err(Error::invalid(format!("{name} is nested deeper than {DEPTH} levels")));
            }
            items.iter().try_for_each(|item| value(name, key, item, depth + 1))
        }
        Value::String(text) if text.len() > STRING => {
            Err(Error::invalid(format!("the string '{key}' in {name} is longer than {STRING} bytes")))
        }
        Value::Number(number)
            if number.is_u64() || number.as_i64().is_some_and(|n| !INTEGERS.contains(&n)) =>
        {
            let fits = number.as_i64().is_some_and(|n| INTEGERS.contains(&n));
            if fits {
                Ok(())
            } else {
                Err(Error::invalid(format!("the integer '{key}' in {name} is outside the safe range")))
            }
        }
        _ => Ok(()),
    }
}

/// Sizes as the article counts them: keys and strings by their bytes, numbers 8, booleans 4. It says nothing of empty
/// arrays and objects; were they nothing here, a device could keep any number of them.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Array(items) if items.is_empty() => 4,
        Value::Object(map) if map.is_empty() => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size_of).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size_of(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_counts_too() {
        let many = |item: Value| Map::from_iter([("a".to_owned(), Value::Array(vec![item; 1000]))]);
        for item in [json!([]), json!({}), json!([[]]), json!(null)] {
            assert!(check_size("tags", &many(item.clone()), 3999).is_err(), "{item}");
            assert!(check_size("tags", &many(item), 5000).is_ok());
        }
    }
}
