//! The JSON Patch that a replacement comes to: what `PUT` of a twin or relationship that is there already changes in it.

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use serde_json::{Map, Value};

use super::document::{self, METADATA, MODEL};
use super::json_patch::{Operation, Verb};

/// From one state of a twin to another: its model, properties, components and what is in them. Times in metadata are not
/// told: they follow from the rest.
pub(super) fn of_twins(before: &DigitalTwin, after: &DigitalTwin) -> Vec<Operation> {
    let mut patch = Vec::new();
    if before.model != after.model {
        let path = vec![METADATA.to_owned(), MODEL.to_owned()];
        patch.push(Operation { verb: Verb::Replace, path, value: after.model.clone().into() });
    }
    if let (Value::Object(before), Value::Object(after)) = (&before.document, &after.document) {
        compare(&[], before, after, &mut patch);
    }
    patch
}

/// From one state of a relationship to another: where it leads, its name, its properties.
pub(super) fn of_relationships(before: &Relationship, after: &Relationship) -> Vec<Operation> {
    let mut patch = Vec::new();
    for (name, before, after) in
        [("$targetId", &before.target, &after.target), ("$relationshipName", &before.name, &after.name)]
    {
        if before != after {
            let (path, value) = (vec![name.to_owned()], after.clone().into());
            patch.push(Operation { verb: Verb::Replace, path, value });
        }
    }
    if let (Value::Object(before), Value::Object(after)) = (&before.properties, &after.properties) {
        compare(&[], before, after, &mut patch);
    }
    patch
}

/// What was taken away first, as it was ordered; then the rest, as it is ordered now. Only components are looked into.
fn compare(
    at: &[String],
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    patch: &mut Vec<Operation>,
) {
    let path = |name: &String| [at, std::slice::from_ref(name)].concat();
    let told = |name: &&String| *name != METADATA;
    for name in before.keys().filter(told).filter(|name| !after.contains_key(*name)) {
        patch.push(Operation { verb: Verb::Remove, path: path(name), value: Value::Null });
    }
    for (name, value) in after.iter().filter(|(name, _)| told(name)) {
        let verb = match before.get(name) {
            None => Verb::Add,
            Some(same) if same == value => continue,
            Some(Value::Object(part)) if document::is_component(value) => {
                if let Value::Object(now) = value {
                    compare(&path(name), part, now, patch);
                }
                continue;
            }
            Some(_) => Verb::Replace,
        };
        patch.push(Operation { verb, path: path(name), value: value.clone() });
    }
}
