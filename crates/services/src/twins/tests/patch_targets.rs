//! What must hold for any JSON Patch of any object. Shared with `fuzz/`: only what RFC 6902 says, without models.

use serde_json::{Map, Value};

use super::json_patch::{self, Verb};

/// A line with a patch, then an object: refused, or each operation does what it says and nothing else.
pub(crate) fn twins_patch(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let mut read = || serde_json::from_slice::<Value>(parts.next().unwrap_or_default()).ok();
    let (Some(patch), document) = (read(), read()) else { return };
    let mut at = match document {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let operations = match json_patch::parse(&patch) {
        Ok(operations) => operations,
        Err(error) => {
            assert!(!error.message.is_empty() && error.message.len() < 2000, "{}", error.message);
            return;
        }
    };
    assert_eq!(Some(operations.len()), patch.as_array().map(Vec::len));
    for operation in operations {
        assert!(!operation.path.is_empty() && operation.path.iter().all(|segment| !segment.is_empty()));
        // What is told of an operation is read as the same again.
        let again = json_patch::parse(&Value::Array(vec![operation.document()]));
        assert_eq!(again.ok().as_deref(), Some(std::slice::from_ref(&operation)));
        let before = Value::Object(at.clone());
        let there = find(&before, &operation.path).is_some();
        let parent = find(&before, &operation.path[..operation.path.len() - 1]).is_some_and(Value::is_object);
        let done = operation.apply(&mut at, &operation.path).is_ok();
        assert_eq!(done, parent && (there || operation.verb == Verb::Add));
        let mut after = Value::Object(at.clone());
        let expected = (done && operation.verb != Verb::Remove).then_some(&operation.value);
        if done {
            assert_eq!(find(&after, &operation.path), expected);
            // All else is as it was.
            let mut before = before;
            forget(&mut before, &operation.path);
            forget(&mut after, &operation.path);
            assert_eq!(before, after);
        } else {
            assert_eq!(before, after);
        }
    }
}

fn find<'v>(document: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(document, |at, segment| at.as_object()?.get(segment))
}

fn forget(document: &mut Value, path: &[String]) {
    let Some((leaf, parents)) = path.split_last() else { return };
    let parent = parents.iter().try_fold(document, |at, segment| at.as_object_mut()?.get_mut(segment));
    if let Some(members) = parent.and_then(Value::as_object_mut) {
        members.shift_remove(leaf);
    }
}
