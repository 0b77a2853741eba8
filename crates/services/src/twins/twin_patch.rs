//! What a JSON Patch does to a twin: contents, components, the model, the source time of a property; nothing else that
//! begins with `$`. Metadata is kept in step, and the result is checked against the model as a whole.

use std::collections::{BTreeMap, BTreeSet};

use pollux_dtdl::{Dtmi, Interface};
use pollux_model::digital_twin::DigitalTwin;
use pollux_model::{Etag, Result, Timestamp};
use serde_json::{Map, Value, json};

use super::document::{self, LAST_UPDATE, METADATA, MODEL, SOURCE_TIME};
use super::json_patch::{Operation, Verb};
use super::models::Models;
use super::{refusal, sizes};
use crate::Limits;

/// What the patched twin is given.
pub(super) struct Stamp<'l> {
    pub(super) etag: Etag,
    pub(super) now: Timestamp,
    pub(super) limits: &'l Limits,
}

/// A property: the component it is in, if any, and its name.
type Place = (Option<String>, String);

/// The patched twin.
///
/// # Errors
/// [`pollux_model::ErrorCode::JsonPatchInvalid`] for what cannot be applied,
/// [`pollux_model::ErrorCode::ValidationFailed`] for a result that does not hold by the model,
/// [`pollux_model::ErrorCode::ModelDecommissioned`], [`pollux_model::ErrorCode::TooLarge`].
pub(super) fn apply(
    twin: DigitalTwin,
    operations: &[Operation],
    models: &Models,
    stamp: Stamp<'_>,
) -> Result<DigitalTwin> {
    let Value::Object(contents) = twin.document else { return Err(pollux_model::Error::internal()) };
    let model = new_model(operations)?.unwrap_or_else(|| twin.model.clone());
    if model != twin.model {
        models.known(&model)?;
        models.in_use(&model)?;
    }
    let dtmi = Dtmi::parse(&model).ok();
    let interface = dtmi.as_ref().and_then(|id| models.set.get(id));
    let changed = Patch {
        contents,
        interface,
        touched: BTreeSet::new(),
        source_times: BTreeMap::new(),
        now: stamp.now,
    }
    .run(operations, &model)?;
    check(operations, models, dtmi.as_ref().filter(|_| interface.is_some()), &model, &changed)?;
    sizes::check("twin", &changed, stamp.limits)?;
    Ok(DigitalTwin { model, etag: stamp.etag, document: Value::Object(changed), updated: stamp.now, ..twin })
}

/// The model the patch asks for.
fn new_model(operations: &[Operation]) -> Result<Option<String>> {
    let mut wanted = None;
    for operation in operations {
        if operation.path != [METADATA, MODEL] {
            continue;
        }
        match (operation.verb, &operation.value) {
            (Verb::Add | Verb::Replace, Value::String(model)) => wanted = Some(model.clone()),
            _ => return Err(refusal::patch("/$metadata/$model can only be replaced, by the id of a model")),
        }
    }
    Ok(wanted)
}

/// A twin whose model was deleted can lose properties, or get a model, and nothing else (article "Manage models",
/// section "After deletion: Twins without models").
fn check(
    operations: &[Operation],
    models: &Models,
    known: Option<&Dtmi>,
    model: &str,
    changed: &Map<String, Value>,
) -> Result<()> {
    let Some(dtmi) = known else {
        if operations.iter().all(|operation| operation.verb == Verb::Remove) {
            return Ok(());
        }
        return Err(refusal::invalid(
            "twin",
            [format!("{model} or one of its dependencies does not exist.")],
        ));
    };
    let violations = models.set.check_twin(dtmi, changed);
    if violations.is_empty() {
        return Ok(());
    }
    Err(refusal::invalid("twin", violations.into_iter().map(|violation| violation.message)))
}

struct Patch<'m> {
    contents: Map<String, Value>,
    interface: Option<&'m Interface>,
    touched: BTreeSet<Place>,
    /// `None`: to be removed.
    source_times: BTreeMap<Place, Option<Value>>,
    now: Timestamp,
}

impl Patch<'_> {
    fn run(mut self, operations: &[Operation], model: &str) -> Result<Map<String, Value>> {
        for operation in operations {
            self.one(operation)?;
        }
        for place in std::mem::take(&mut self.touched) {
            self.stamp(&place);
        }
        for (place, time) in std::mem::take(&mut self.source_times) {
            self.set_source_time(&place, time)?;
        }
        let mut metadata = match self.contents.shift_remove(METADATA) {
            Some(Value::Object(metadata)) => metadata,
            _ => Map::new(),
        };
        metadata.insert(MODEL.into(), model.into());
        metadata.insert(LAST_UPDATE.into(), self.now.to_string().into());
        // Put back as the last member: contents come first, as in every answer of the service.
        self.contents.insert(METADATA.into(), Value::Object(metadata));
        Ok(self.contents)
    }

    fn one(&mut self, operation: &Operation) -> Result<()> {
        let path: Vec<&str> = operation.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [METADATA, MODEL] => Ok(()),
            [METADATA, property, SOURCE_TIME] => self.note_source_time(operation, None, property),
            [part, METADATA, property, SOURCE_TIME] if self.is_component(part) => {
                self.note_source_time(operation, Some((*part).to_owned()), property)
            }
            [first, ..] if first.starts_with('$') => Err(untouchable(operation)),
            [part, inner, ..] if self.is_component(part) && inner.starts_with('$') => {
                Err(untouchable(operation))
            }
            [part] if self.is_component(part) => self.whole_component(operation, part),
            [part, property, ..] if self.is_component(part) => {
                let inside =
                    self.contents.get_mut(*part).and_then(Value::as_object_mut).ok_or_else(|| {
                        refusal::patch(format_args!("Could not resolve path {}", operation.pointer()))
                    })?;
                operation.apply(inside, &operation.path[1..])?;
                self.touched.insert((Some((*part).to_owned()), (*property).to_owned()));
                Ok(())
            }
            [property, ..] => {
                operation.apply(&mut self.contents, &operation.path)?;
                self.touched.insert((None, (*property).to_owned()));
                Ok(())
            }
            [] => Err(refusal::patch("Parameter path must not be empty")),
        }
    }

    fn is_component(&self, name: &str) -> bool {
        self.interface.is_some_and(|interface| interface.components.contains_key(name))
            || self.contents.get(name).is_some_and(document::is_component)
    }

    fn whole_component(&mut self, operation: &Operation, name: &str) -> Result<()> {
        let mut operation = operation.clone();
        if let Value::Object(part) = &mut operation.value {
            let (given, mut findings) = (std::mem::take(part), Vec::new());
            // Without `$metadata` it is left as it is, for the check against the model to say so.
            let whole = given.get(METADATA).is_some_and(Value::is_object);
            *part = if whole { document::component(given, self.now, &mut findings) } else { given };
            if !findings.is_empty() {
                return Err(refusal::invalid("twin", findings));
            }
        }
        self.touched.retain(|(part, _)| part.as_deref() != Some(name));
        operation.apply(&mut self.contents, &operation.path)
    }

    fn note_source_time(
        &mut self,
        operation: &Operation,
        part: Option<String>,
        property: &str,
    ) -> Result<()> {
        let time = match operation.verb {
            Verb::Remove => None,
            Verb::Add | Verb::Replace if document::is_time(&operation.value) => Some(operation.value.clone()),
            Verb::Add | Verb::Replace => {
                return Err(refusal::patch(format_args!(
                    "The value for {} must be a date and time such as 2024-05-01T10:20:30Z",
                    operation.pointer()
                )));
            }
        };
        self.source_times.insert((part, property.to_owned()), time);
        Ok(())
    }

    /// The metadata of a property that was written is made anew (an older source time would speak of the older value);
    /// that of one that was removed goes with it.
    fn stamp(&mut self, (part, property): &Place) {
        let Some(scope) = scope(&mut self.contents, part.as_deref()) else { return };
        let present = scope.contains_key(property);
        let Some(metadata) = scope.get_mut(METADATA).and_then(Value::as_object_mut) else { return };
        if part.is_some() {
            metadata.insert(LAST_UPDATE.into(), self.now.to_string().into());
        }
        if present {
            metadata.insert(property.clone(), json!({ "lastUpdateTime": self.now }));
        } else {
            metadata.shift_remove(property);
        }
        if let Some(metadata) = scope.shift_remove(METADATA) {
            scope.insert(METADATA.into(), metadata);
        }
    }

    fn set_source_time(&mut self, (part, property): &Place, time: Option<Value>) -> Result<()> {
        let entry = scope(&mut self.contents, part.as_deref())
            .and_then(|scope| scope.get_mut(METADATA)?.get_mut(property)?.as_object_mut())
            .ok_or_else(|| {
                let property = pollux_model::ids::shown(property);
                refusal::patch(format_args!(
                    "The property '{property}' is not set; its sourceTime cannot be changed"
                ))
            })?;
        match time {
            Some(time) => drop(entry.insert(SOURCE_TIME.into(), time)),
            None => drop(entry.shift_remove(SOURCE_TIME)),
        }
        Ok(())
    }
}

fn scope<'c>(contents: &'c mut Map<String, Value>, part: Option<&str>) -> Option<&'c mut Map<String, Value>> {
    match part {
        None => Some(contents),
        Some(part) => contents.get_mut(part)?.as_object_mut(),
    }
}

fn untouchable(operation: &Operation) -> pollux_model::Error {
    refusal::patch(format_args!(
        "{} cannot be changed; of what begins with $, only /$metadata/$model and /$metadata/<property>/sourceTime can",
        operation.pointer()
    ))
}
