//! Items as a file has them: what a client may say of them, without etags and the times we gave.

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use serde_json::{Map, Value};

use crate::twins::document::{ID, METADATA, MODEL, SOURCE_TIME, is_component};

pub(super) const RELATIONSHIP_ID: &str = "$relationshipId";
pub(super) const SOURCE_ID: &str = "$sourceId";

/// A twin: `$dtId`, `$metadata` with `$model` and each `sourceTime`, properties and components.
pub(super) fn twin(twin: &DigitalTwin) -> Value {
    let mut line = Map::new();
    line.insert(ID.into(), twin.id.as_str().into());
    let mut model = Map::new();
    model.insert(MODEL.into(), twin.model.as_str().into());
    if let Value::Object(document) = &twin.document {
        contents(document, model, &mut line);
    }
    Value::Object(line)
}

/// A relationship, whose source a file calls `$dtId`.
pub(super) fn relationship(relationship: &Relationship) -> Value {
    let mut line = Map::new();
    for (name, value) in [
        (ID, &relationship.source),
        (RELATIONSHIP_ID, &relationship.id),
        ("$targetId", &relationship.target),
        ("$relationshipName", &relationship.name),
    ] {
        line.insert(name.into(), value.as_str().into());
    }
    if let Value::Object(properties) = &relationship.properties {
        line.extend(properties.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    Value::Object(line)
}

/// Metadata and members of a twin or component.
fn contents(document: &Map<String, Value>, mut metadata: Map<String, Value>, line: &mut Map<String, Value>) {
    let given = document.get(METADATA).and_then(Value::as_object);
    for (name, about) in given.into_iter().flatten() {
        if let Some(time) = about.get(SOURCE_TIME) {
            let mut kept = Map::new();
            kept.insert(SOURCE_TIME.into(), time.clone());
            metadata.insert(name.clone(), Value::Object(kept));
        }
    }
    line.insert(METADATA.into(), Value::Object(metadata));
    for (name, value) in document.iter().filter(|(name, _)| name.as_str() != METADATA) {
        let value = match value {
            Value::Object(part) if is_component(value) => {
                let mut component = Map::new();
                contents(part, Map::new(), &mut component);
                Value::Object(component)
            }
            value => value.clone(),
        };
        line.insert(name.clone(), value);
    }
}
