//! The JSON patch that leads from one document to another (RFC 6902), object by object.

use serde_json::{Map, Value, json};

/// The patch; empty where there is nothing to change.
pub(super) fn json_patch(before: &Value, after: &Value) -> Value {
    let mut operations = Vec::new();
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        compare("", before, after, &mut operations);
    }
    Value::Array(operations)
}

fn compare(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, operations: &mut Vec<Value>) {
    let below = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        operations.push(json!({"op": "remove", "path": below(name)}));
    }
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => compare(&below(name), old, new, operations),
            (Some(_), new) => operations.push(json!({"op": "replace", "path": below(name), "value": new})),
            (None, new) => operations.push(json!({"op": "add", "path": below(name), "value": new})),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_leads_on() {
        let before = json!({"a": 1, "b": {"c": {"x": 1}, "d": 2, "e/~": 1}, "g": {"h": 1}});
        let after = json!({"b": {"c": {"x": 1, "y": 2}, "d": 3}, "f": {"new": true}, "g": 5});
        assert_eq!(
            json_patch(&before, &after),
            json!([
                {"op": "remove", "path": "/a"},
                {"op": "remove", "path": "/b/e~1~0"},
                {"op": "add", "path": "/b/c/y", "value": 2},
                {"op": "replace", "path": "/b/d", "value": 3},
                {"op": "add", "path": "/f", "value": {"new": true}},
                {"op": "replace", "path": "/g", "value": 5},
            ])
        );
        assert_eq!(json_patch(&after, &after), json!([]));
    }
}
