//! Which telemetry field goes to which twin property.
//!
//! Fields that the app maps go where it says; every other field of the body's top level goes to the property of the
//! same name, if the twin's model has one. DTDL's `writable` says who may *command* a property; Azure Digital Twins
//! lets every client with write access set it ("Digital twin models"), so it does not stand in the way here.

use pollux_dtdl::{Interface, ModelSet};
use pollux_model::resource::TelemetryMapping;
use pollux_model::{Error, Result};
use serde_json::Value;

/// A value on its way to a twin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    /// `None`: the twin's own property; else the component's name.
    pub(super) component: Option<String>,
    pub(super) property: String,
    pub(super) value: Value,
}

impl Assignment {
    /// The JSON pointer of the value.
    pub(super) fn path(&self) -> String {
        match &self.component {
            Some(component) => format!("/{component}/{}", self.property),
            None => format!("/{}", self.property),
        }
    }

    /// The JSON pointer of the time the value was measured.
    pub(super) fn source_time_path(&self) -> String {
        match &self.component {
            Some(component) => format!("/{component}/$metadata/{}/sourceTime", self.property),
            None => format!("/$metadata/{}/sourceTime", self.property),
        }
    }
}

/// What a message means for a twin of this model.
pub(super) fn assignments(
    body: &Value,
    rules: &[TelemetryMapping],
    models: &ModelSet,
    interface: &Interface,
) -> Result<Vec<Assignment>> {
    let Some(fields) = body.as_object() else { return Ok(Vec::new()) };
    let applies = |rule: &&TelemetryMapping| match &rule.model {
        None => true,
        Some(model) => {
            pollux_dtdl::Dtmi::parse(model).is_ok_and(|model| models.is_of(&interface.id, &model, false))
        }
    };
    let rules: Vec<_> = rules.iter().filter(applies).collect();
    let mut found = Vec::new();
    for rule in &rules {
        if let Some(value) = body.pointer(&rule.field).filter(|_| !rule.property.is_empty()) {
            found.push(mapped(rule, value, models, interface)?);
        }
    }
    for (name, value) in fields {
        let field = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if interface.properties.contains_key(name.as_str()) && !rules.iter().any(|rule| rule.field == field) {
            let value = fitting(interface, name, value)?;
            found.push(Assignment { component: None, property: name.clone(), value });
        }
    }
    Ok(found)
}

fn mapped(
    rule: &TelemetryMapping,
    value: &Value,
    models: &ModelSet,
    interface: &Interface,
) -> Result<Assignment> {
    let parts: Vec<_> = rule.property.trim_start_matches('/').split('/').collect();
    let (component, property, of) = match parts.as_slice() {
        [property] => (None, *property, interface),
        [component, property] => {
            let schema = interface.components.get(*component).map(|component| &component.schema);
            let of = schema.and_then(|schema| models.get(schema)).ok_or_else(|| nowhere(rule, interface))?;
            (Some((*component).to_owned()), *property, of)
        }
        _ => return Err(nowhere(rule, interface)),
    };
    if !of.properties.contains_key(property) {
        return Err(nowhere(rule, interface));
    }
    Ok(Assignment { component, property: property.to_owned(), value: fitting(of, property, value)? })
}

fn nowhere(rule: &TelemetryMapping, interface: &Interface) -> Error {
    Error::invalid(format!(
        "the mapping of '{}' leads to '{}', which the model '{}' does not have",
        rule.field, rule.property, interface.id
    ))
}

/// The value if it fits the property's schema; a number in a string counts as the number, as it does for the sample.
fn fitting(interface: &Interface, name: &str, value: &Value) -> Result<Value> {
    let Err(violation) = interface.check_property(name, value) else { return Ok(value.clone()) };
    let number = value
        .as_str()
        .and_then(|text| serde_json::from_str::<serde_json::Number>(text.trim()).ok())
        .map(Value::Number);
    match number {
        Some(number) if interface.check_property(name, &number).is_ok() => Ok(number),
        _ => Err(Error::invalid(format!(
            "the field '{name}' does not fit the property of the model '{}': {violation}",
            interface.id
        ))),
    }
}
