//! How a patch changes a collection, and how its metadata tells of it.
//!
//! A member set to `null` is removed; an object is merged; anything else replaces. `$lastUpdated` (and, for desired
//! properties, `$lastUpdatedVersion`) is stamped on what changed and on everything above it.

use pollux_model::Timestamp;
use serde_json::{Map, Value, json};

/// A fresh metadata node.
pub(super) fn stamped(now: Timestamp, version: Option<u64>) -> Map<String, Value> {
    let mut node = Map::new();
    stamp(&mut node, now, version);
    node
}

fn stamp(node: &mut Map<String, Value>, now: Timestamp, version: Option<u64>) {
    node.insert("$lastUpdated".into(), json!(now));
    if let Some(version) = version {
        node.insert("$lastUpdatedVersion".into(), json!(version));
    }
}

/// Applies a patch to properties and their metadata. `version` is stamped where the side keeps one.
pub(super) fn merge(
    properties: &mut Map<String, Value>,
    metadata: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    now: Timestamp,
    version: Option<u64>,
) {
    stamp(metadata, now, version);
    for (key, change) in patch {
        match change {
            Value::Null => {
                properties.remove(key);
                metadata.remove(key);
            }
            Value::Object(inner) => {
                let below = properties.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
                if !below.is_object() {
                    *below = Value::Object(Map::new());
                    metadata.remove(key);
                }
                let beside = metadata.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
                if let (Value::Object(below), Value::Object(beside)) = (below, beside) {
                    merge(below, beside, inner, now, version);
                }
            }
            value => {
                properties.insert(key.clone(), value.clone());
                metadata.insert(key.clone(), Value::Object(stamped(now, version)));
            }
        }
    }
}

/// Applies a patch to tags, which have no metadata.
pub(super) fn merge_plain(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match change {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let below = target.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
                if !below.is_object() {
                    *below = Value::Object(Map::new());
                }
                if let Value::Object(below) = below {
                    merge_plain(below, inner);
                }
            }
            value => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The patch that leads from `before` to `after`, of what is not as it was alone.
pub(super) fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match (before.get(key), value) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(key.clone(), Value::Object(changes(old, new)));
            }
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

/// The patch that leads from `before` to `after`: what a replacement means to a device that follows changes. Values are not
/// compared: what stays is named again, as the real service names it (issue 954 of Azure/azure-iot-sdk-csharp).
pub(super) fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match (before.get(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(key.clone(), Value::Object(difference(old, new)));
            }
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_names_what_stays_and_a_change_does_not() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let before = map(json!({"a": 1, "b": {"c": 1, "d": [1]}, "gone": {"x": 1}}));
        let after = map(json!({"a": 1, "b": {"c": 2, "d": [1]}, "new": true}));
        let (change, replacement) = (changes(&before, &after), difference(&before, &after));
        assert_eq!(json!(change), json!({"gone": null, "b": {"c": 2}, "new": true}));
        assert_eq!(json!(replacement), json!({"gone": null, "a": 1, "b": {"c": 2, "d": [1]}, "new": true}));
        for patch in [change, replacement] {
            let mut patched = before.clone();
            merge_plain(&mut patched, &patch);
            assert_eq!(patched, after);
        }
        assert!(changes(&after, &after).is_empty());
        assert_eq!(difference(&after, &after), after);
    }
}
