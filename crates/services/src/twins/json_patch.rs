//! JSON Patch (RFC 6902) as far as ADT allows it: `add`, `replace`, `remove`; paths through objects only.

use pollux_model::ids::shown;
use pollux_model::{Error, Result};
use serde_json::{Map, Value, json};

use super::refusal;

/// Most operations in one patch. Ours: keeps the work for one request bounded.
const MOST_OPERATIONS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Replace,
    Remove,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// The pointer's segments, unescaped; not empty.
    pub(super) path: Vec<String>,
    /// Null for `remove`.
    pub(super) value: Value,
}

impl Operation {
    /// The path as a pointer, cut for messages.
    pub(super) fn pointer(&self) -> String {
        shown(&format!("/{}", self.path.join("/")))
    }

    /// As JSON, with members in the order in which notifications have them.
    pub(super) fn document(&self) -> Value {
        let escaped = |segment: &String| format!("/{}", segment.replace('~', "~0").replace('/', "~1"));
        let path: String = self.path.iter().map(escaped).collect();
        match self.verb {
            Verb::Add => json!({ "value": self.value, "path": path, "op": "add" }),
            Verb::Replace => json!({ "value": self.value, "path": path, "op": "replace" }),
            Verb::Remove => json!({ "path": path, "op": "remove" }),
        }
    }

    /// Applies the operation to `root`; `path` is its path from there.
    pub(super) fn apply(&self, root: &mut Map<String, Value>, path: &[String]) -> Result<()> {
        let unresolved = || refusal::patch(format_args!("Could not resolve path {}", self.pointer()));
        let (leaf, parents) = path.split_last().ok_or_else(unresolved)?;
        let mut at = root;
        for segment in parents {
            at = at.get_mut(segment).and_then(Value::as_object_mut).ok_or_else(unresolved)?;
        }
        let found = match self.verb {
            Verb::Add => {
                at.insert(leaf.clone(), self.value.clone());
                true
            }
            Verb::Replace => at.get_mut(leaf).map(|slot| *slot = self.value.clone()).is_some(),
            Verb::Remove => at.shift_remove(leaf).is_some(),
        };
        if found { Ok(()) } else { Err(not_found(leaf)) }
    }
}

/// Reads a patch document.
///
/// # Errors
/// [`pollux_model::ErrorCode::JsonPatchInvalid`].
pub(super) fn parse(patch: &Value) -> Result<Vec<Operation>> {
    let Value::Array(items) = patch else {
        return Err(refusal::patch("A patch document is an array of operations"));
    };
    if items.len() > MOST_OPERATIONS {
        return Err(refusal::patch(format_args!("A patch may have up to {MOST_OPERATIONS} operations")));
    }
    items.iter().map(operation).collect()
}

fn operation(item: &Value) -> Result<Operation> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let verb = match text("op") {
        Some("add") => Verb::Add,
        Some("replace") => Verb::Replace,
        Some("remove") => Verb::Remove,
        Some(other) => {
            return Err(refusal::patch(format_args!("Unsupported operation type {}", shown(other))));
        }
        None => return Err(refusal::patch("Parameter op must not be empty")),
    };
    let path = segments(text("path").ok_or_else(|| refusal::patch("Parameter path must not be empty"))?)?;
    let value = match (verb, item.get("value")) {
        (Verb::Remove, _) => Value::Null,
        (_, Some(value)) => value.clone(),
        (_, None) => return Err(refusal::patch("Parameter value must be given for add and replace")),
    };
    Ok(Operation { verb, path, value })
}

/// RFC 6901: `/a~1b/c` is `a/b`, then `c`.
fn segments(pointer: &str) -> Result<Vec<String>> {
    let bad =
        || refusal::patch(format_args!("{} is not a JSON pointer such as /property/member", shown(pointer)));
    let inner = pointer.strip_prefix('/').ok_or_else(bad)?;
    let unescape = |segment: &str| {
        let rest = segment.replace("~0", "").replace("~1", "");
        if segment.is_empty() || rest.contains('~') {
            return Err(bad());
        }
        Ok(segment.replace("~1", "/").replace("~0", "~"))
    };
    inner.split('/').map(unescape).collect()
}

fn not_found(leaf: &str) -> Error {
    let leaf = shown(leaf);
    refusal::patch(format_args!("The target location specified by path segment '{leaf}' was not found"))
}
