//! Size and depth of a JSON value, without recursion: run before anything that recurses.

use serde_json::Value;

/// Why a document is refused unread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Bytes,
    Depth,
}

/// Walks `value` with an explicit stack and stops at the first bound that is passed. Bytes are those of compact JSON,
/// with escapes in strings not counted, of each Interface by itself: one that is defined inside another is not part of
/// it. Source: `DTDL.v3.md`, "Interface".
pub(crate) fn measure(value: &Value, max_bytes: usize, max_depth: usize) -> Result<(), Excess> {
    let mut interfaces = vec![(value, 0_usize)];
    while let Some((interface, depth)) = interfaces.pop() {
        measure_one(interface, depth, max_bytes, max_depth, &mut interfaces)?;
    }
    Ok(())
}

fn measure_one<'v>(
    root: &'v Value,
    depth: usize,
    max_bytes: usize,
    max_depth: usize,
    interfaces: &mut Vec<(&'v Value, usize)>,
) -> Result<(), Excess> {
    let mut bytes = 0_usize;
    let mut stack = vec![(root, depth)];
    while let Some((value, depth)) = stack.pop() {
        if depth > max_depth {
            return Err(Excess::Depth);
        }
        if !std::ptr::eq(value, root) && is_interface(value) {
            interfaces.push((value, depth));
            continue;
        }
        bytes += 1 + match value {
            Value::Null => 4,
            Value::Bool(_) => 5,
            Value::Number(number) => number_bytes(number),
            Value::String(text) => text.len() + 2,
            Value::Array(items) => {
                stack.extend(items.iter().map(|item| (item, depth + 1)));
                2
            }
            Value::Object(members) => {
                bytes += members.keys().map(|key| key.len() + 3).sum::<usize>();
                stack.extend(members.values().map(|member| (member, depth + 1)));
                2
            }
        };
        if bytes > max_bytes {
            return Err(Excess::Bytes);
        }
    }
    Ok(())
}

/// Whether `@type` says so; a DTMI of the class is short for the same, but an Interface inside is then counted twice.
fn is_interface(value: &Value) -> bool {
    match value.get("@type") {
        Some(Value::String(name)) => name == "Interface",
        Some(Value::Array(names)) => names.iter().any(|name| name == "Interface"),
        _ => false,
    }
}

fn number_bytes(number: &serde_json::Number) -> usize {
    number.as_u64().map_or(12, |n| n.checked_ilog10().map_or(1, |digits| digits as usize + 1))
}
