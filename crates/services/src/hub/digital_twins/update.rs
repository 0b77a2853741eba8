//! A JSON patch of a digital twin as a change of desired properties (article "Manage IoT Plug and Play digital twins").

use pollux_model::device::DeviceTwin;
use pollux_model::{Error, ErrorCode, Result, ids};
use serde_json::{Map, Value, json};

use super::super::twin_merge::changes;
use super::view::{MARKER, is_component};

/// Operations in one patch. Ours.
const OPERATIONS: usize = 1000;
/// Levels of a property's value ("Rules for setting the desired value of a digital twin property").
const DEPTH: usize = 5;
/// Characters of a name.
const NAME: usize = 64;

/// One operation.
#[derive(Debug)]
pub(super) struct Operation<'p> {
    place: Place<'p>,
    /// What is to stand there; `None`: nothing.
    value: Option<&'p Value>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'p> {
    /// A component, or a property of the root.
    Root(&'p str),
    /// A property of a component.
    Inner(&'p str, &'p str),
}

/// Reads a patch.
///
/// # Errors
/// [`ErrorCode::JsonPatchInvalid`].
pub(super) fn operations(patch: &Value) -> Result<Vec<Operation<'_>>> {
    let all = patch.as_array().ok_or_else(|| invalid("the patch must be a list of operations"))?;
    if all.is_empty() || all.len() > OPERATIONS {
        return Err(invalid(format!("the patch must have 1 to {OPERATIONS} operations")));
    }
    all.iter().map(operation).collect()
}

fn operation(one: &Value) -> Result<Operation<'_>> {
    let text = |member: &str| one.get(member).and_then(Value::as_str);
    let (Some(op), Some(path)) = (text("op"), text("path")) else {
        return Err(invalid("each operation needs op and path"));
    };
    let place = place(path)?;
    let value = match (op, one.get("value")) {
        ("add" | "replace", Some(value)) => Some(value),
        ("add" | "replace", None) => return Err(invalid(format!("{op} needs a value"))),
        ("remove", _) => None,
        _ => return Err(invalid(format!("'{}' is none of add, replace and remove", ids::shown(op)))),
    };
    match (place, value) {
        (_, None) => {}
        (Place::Root(_), Some(Value::Object(component))) if component.contains_key("$metadata") => {
            if component.get("$metadata") != Some(&json!({})) {
                return Err(invalid("the $metadata of a component must be an empty object"));
            }
            for (name, value) in component.iter().filter(|(name, _)| *name != "$metadata") {
                check_name(name)?;
                check_value(value, 1)?;
            }
        }
        (_, Some(value)) => check_value(value, 1)?,
    }
    Ok(Operation { place, value })
}

fn place(path: &str) -> Result<Place<'_>> {
    let shown = || ids::shown(path);
    let mut names = path.strip_prefix('/').map(|rest| rest.split('/')).into_iter().flatten();
    let place = match (names.next(), names.next(), names.next()) {
        (Some(name), None, _) => Place::Root(name),
        (Some(component), Some(name), None) => Place::Inner(component, name),
        _ => {
            let message = format!("'{}' must be /property, /component or /component/property", shown());
            return Err(invalid(message));
        }
    };
    match place {
        Place::Root(name) => check_name(name)?,
        Place::Inner(component, name) => {
            check_name(component)?;
            check_name(name)?;
        }
    }
    Ok(place)
}

/// A name of DTDL v2.
fn check_name(name: &str) -> Result<()> {
    let bytes = name.as_bytes();
    let good = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.len() <= NAME
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if good { Ok(()) } else { Err(invalid(format!("'{}' is no name that DTDL allows", ids::shown(name)))) }
}

fn check_value(value: &Value, depth: usize) -> Result<()> {
    match value {
        Value::Null => Err(invalid("a value cannot be null: remove the property")),
        Value::Array(_) => Err(invalid("a property's value can have no arrays")),
        Value::Object(_) if depth > DEPTH => Err(invalid(format!("a value may have {DEPTH} levels at most"))),
        Value::Object(inner) => inner.iter().try_for_each(|(name, value)| {
            check_name(name)?;
            check_value(value, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// The patch of desired properties that these operations come to.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] where what is there does not follow the conventions, [`ErrorCode::JsonPatchInvalid`] where what
/// is to be removed is not there.
pub(super) fn desired(twin: &DeviceTwin, operations: &[Operation<'_>]) -> Result<Map<String, Value>> {
    let before = &twin.desired.properties;
    let mut after = before.clone();
    for Operation { place, value } in operations {
        match (*place, value) {
            (Place::Root(name), Some(Value::Object(component))) if component.contains_key("$metadata") => {
                refuse_property(twin, &after, name)?;
                let mut whole = component.clone();
                whole.shift_remove("$metadata");
                whole.insert(MARKER.to_owned(), json!("c"));
                after.insert(name.to_owned(), Value::Object(whole));
            }
            (Place::Root(name), Some(value)) => {
                if component_in(&after, name) || component_in(&twin.reported.properties, name) {
                    return Err(foreign(name));
                }
                after.insert(name.to_owned(), (*value).clone());
            }
            (Place::Root(name), None) => {
                let known = after.shift_remove(name).is_some();
                found(known || twin.reported.properties.contains_key(name), name)?;
            }
            (Place::Inner(component, name), Some(value)) => {
                refuse_property(twin, &after, component)?;
                let inner = after.entry(component).or_insert_with(|| json!({ MARKER: "c" }));
                if let Value::Object(inner) = inner {
                    inner.insert(name.to_owned(), (*value).clone());
                }
            }
            (Place::Inner(component, name), None) => {
                refuse_property(twin, &after, component)?;
                let inner = after.get_mut(component).and_then(Value::as_object_mut);
                let removed = inner.map(|inner| (inner.shift_remove(name).is_some(), inner.len() <= 1));
                let reported = twin.reported.properties.get(component).and_then(|inner| inner.get(name));
                found(removed.is_some_and(|(known, _)| known) || reported.is_some(), name)?;
                if removed == Some((true, true)) {
                    after.shift_remove(component);
                }
            }
        }
    }
    Ok(changes(before, &after))
}

fn component_in(properties: &Map<String, Value>, name: &str) -> bool {
    properties.get(name).and_then(Value::as_object).is_some_and(is_component)
}

/// Refuses to treat as a component what is a property.
fn refuse_property(twin: &DeviceTwin, desired: &Map<String, Value>, name: &str) -> Result<()> {
    let property = |side: &Map<String, Value>| side.contains_key(name) && !component_in(side, name);
    if property(desired) || property(&twin.reported.properties) { Err(foreign(name)) } else { Ok(()) }
}

/// As the real service says it.
fn foreign(name: &str) -> Error {
    Error::invalid(format!(
        "'{}' exists within the device twin and is not digital twin conformant property",
        ids::shown(name)
    ))
}

fn found(known: bool, name: &str) -> Result<()> {
    if known { Ok(()) } else { Err(invalid(format!("there is no '{}' to remove", ids::shown(name)))) }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::JsonPatchInvalid, message)
}
