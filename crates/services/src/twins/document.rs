//! Twins and relationships as JSON documents: what the API shows, and what is made of what a client sends.

use pollux_model::Timestamp;
use pollux_model::digital_twin::{DigitalTwin, Relationship};
use serde_json::{Map, Value, json};

pub(super) const ID: &str = "$dtId";
pub(super) const METADATA: &str = "$metadata";
pub(super) const MODEL: &str = "$model";
pub(super) const LAST_UPDATE: &str = "$lastUpdateTime";
pub(super) const SOURCE_TIME: &str = "sourceTime";

/// A twin as ADT shows it: `$dtId`, `$etag`, properties and components, `$metadata`.
#[must_use]
pub fn twin_document(twin: &DigitalTwin) -> Value {
    shown(twin.clone())
}

/// As [`twin_document`], of a twin that is not needed further: queries make many.
pub(super) fn shown(twin: DigitalTwin) -> Value {
    let etag = format!("W/\"{}\"", twin.etag);
    let mut document = Map::new();
    document.insert(ID.into(), twin.id.into());
    document.insert("$etag".into(), etag.into());
    if let Value::Object(contents) = twin.document {
        document.extend(contents);
    }
    Value::Object(document)
}

/// As [`twin_document`], as text, and where in it the contents begin, behind the brace of theirs.
pub(super) fn shown_text(twin: &DigitalTwin) -> (String, usize) {
    // To `to_string` of a value each piece of it would be a call through a formatter.
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let contents = serde_json::to_string(&twin.document).unwrap_or_default();
    let (id, etag) = (text(&twin.id), text(&format!("W/\"{}\"", twin.etag)));
    let mut shown = String::with_capacity(contents.len() + id.len() + etag.len() + 24);
    for part in ["{\"", ID, "\":", &id, ",\"$etag\":", &etag] {
        shown.push_str(part);
    }
    let contents = contents.strip_prefix('{').unwrap_or("}");
    if contents != "}" {
        shown.push(',');
    }
    let at = shown.len();
    shown.push_str(contents);
    (shown, at)
}

/// A relationship as ADT shows it: the `$` members and its properties.
#[must_use]
pub fn relationship_document(relationship: &Relationship) -> Value {
    let mut document = json!({
        "$relationshipId": relationship.id,
        "$etag": format!("W/\"{}\"", relationship.etag),
        "$sourceId": relationship.source,
        "$relationshipName": relationship.name,
        "$targetId": relationship.target,
    });
    if let (Value::Object(document), Value::Object(properties)) = (&mut document, &relationship.properties) {
        document.extend(properties.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    document
}

/// What is stored of a twin's body: its contents with fresh metadata, in which only what a client may say of a
/// property's metadata (`sourceTime`) is kept. What is wrong is added to `findings`.
pub(super) fn assemble(
    body: Map<String, Value>,
    model: &str,
    is_component: impl Fn(&str) -> bool,
    now: Timestamp,
    findings: &mut Vec<String>,
) -> Map<String, Value> {
    let mut document = Map::new();
    let mut metadata = Map::new();
    let now = Value::from(now.to_string());
    metadata.insert(MODEL.into(), model.into());
    metadata.insert(LAST_UPDATE.into(), now.clone());
    let given = body.get(METADATA).and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in body {
        match value {
            _ if name.starts_with('$') => note_foreign(&name, findings),
            Value::Object(part) if is_component(&name) => {
                document.insert(name, Value::Object(component_at(part, &now, findings)));
            }
            value => {
                metadata.insert(name.clone(), property_metadata(&name, given.get(&name), &now, findings));
                document.insert(name, value);
            }
        }
    }
    document.insert(METADATA.into(), Value::Object(metadata));
    document
}

/// As [`assemble`], for one component.
pub(super) fn component(
    body: Map<String, Value>,
    now: Timestamp,
    findings: &mut Vec<String>,
) -> Map<String, Value> {
    component_at(body, &Value::from(now.to_string()), findings)
}

fn component_at(body: Map<String, Value>, now: &Value, findings: &mut Vec<String>) -> Map<String, Value> {
    let mut document = Map::new();
    let mut metadata = Map::new();
    metadata.insert(LAST_UPDATE.into(), now.clone());
    let given = body.get(METADATA).and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in body {
        if name.starts_with('$') {
            note_foreign(&name, findings);
        } else {
            metadata.insert(name.clone(), property_metadata(&name, given.get(&name), now, findings));
            document.insert(name, value);
        }
    }
    document.insert(METADATA.into(), Value::Object(metadata));
    document
}

/// The members that clients send back as they got them are ignored; others that look like ours are refused.
fn note_foreign(name: &str, findings: &mut Vec<String>) {
    if !matches!(name, ID | "$etag" | METADATA) {
        findings.push(format!("{name} is not a name for a property; names do not begin with $."));
    }
}

fn property_metadata(name: &str, given: Option<&Value>, now: &Value, findings: &mut Vec<String>) -> Value {
    let mut metadata = Map::new();
    metadata.insert("lastUpdateTime".into(), now.clone());
    match given.and_then(|given| given.get(SOURCE_TIME)) {
        None | Some(Value::Null) => {}
        Some(time) if is_time(time) => drop(metadata.insert(SOURCE_TIME.into(), time.clone())),
        Some(_) => findings
            .push(format!("sourceTime of {name} is not a date and time such as 2024-05-01T10:20:30Z.")),
    }
    Value::Object(metadata)
}

/// Whether a value can be a `sourceTime`.
pub(super) fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| Timestamp::parse(text).is_some())
}

/// Whether a member of a twin's document is a component.
pub(super) fn is_component(value: &Value) -> bool {
    value.get(METADATA).is_some_and(Value::is_object)
}
