//! Instances: the body of a twin, its properties and components, and the properties of a relationship.
//! Messages are ADT's where they are known (recorded sessions of its SDK), with the detail after.
//!
//! Not here: sizes of requests and strings, and whether a relationship's target exists. What ADT does not enforce
//! (`writable`, multiplicity, payloads of commands and telemetry) is checked by functions of its own, for who wants it.

use serde_json::{Map, Value};

use crate::dtmi::Dtmi;
use crate::element::{Command, CommandPayload, Property, Relationship};
use crate::error::Violation;
use crate::literal::describe;
use crate::model_set::{Interface, ModelSet};
use crate::schema::Schema;

/// How ADT names the twin's root in messages.
const TWIN: &str = "Twin";

impl Interface {
    /// Checks the value of a property of this Interface, inherited ones included.
    ///
    /// # Errors
    /// There is no such property, or the value does not fit its schema. The path starts with the property's name.
    pub fn check_property(&self, name: &str, value: &Value) -> Result<(), Violation> {
        self.check_property_of(TWIN, name, value)
    }

    /// As [`Interface::check_property`], for a component's Interface: `owner` is the component's name in messages.
    ///
    /// # Errors
    /// As there.
    pub fn check_property_of(&self, owner: &str, name: &str, value: &Value) -> Result<(), Violation> {
        let property = self.properties.get(name).ok_or_else(|| unknown(owner, name))?;
        check(property, owner, value)
    }

    /// Checks a property of a relationship.
    ///
    /// # Errors
    /// The Interface has no such relationship (empty path), the relationship no such property, or the value does
    /// not fit its schema.
    pub fn check_relationship_property(
        &self,
        relationship: &str,
        name: &str,
        value: &Value,
    ) -> Result<(), Violation> {
        let relationship = self.relationships.get(relationship).ok_or_else(|| {
            Violation::here(format!("{relationship} is not a relationship on the DTDL for {}.", self.id))
        })?;
        relationship.check_property(name, value)
    }
}

/// A relationship as an instance: what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its name, `$relationshipName`.
    pub name: &'a str,
    /// Its properties; `$` members are ignored.
    pub properties: &'a Map<String, Value>,
    /// The model of the target, if the target is to be checked.
    pub target: Option<&'a Dtmi>,
    /// How many relationships of this name the source has without this one, if multiplicity is to be checked.
    pub others: Option<usize>,
}

impl Interface {
    /// Checks the value of a Telemetry, inherited ones included.
    ///
    /// # Errors
    /// There is no such Telemetry, or the value does not fit its schema.
    pub fn check_telemetry(&self, name: &str, value: &Value) -> Result<(), Violation> {
        let telemetry = self.telemetries.get(name).ok_or_else(|| unknown(TWIN, name))?;
        fits(&telemetry.schema, name, TWIN, value)
    }

    /// Whether a solution may write a property: ADT does not ask, a device that follows IoT Plug and Play does.
    ///
    /// # Errors
    /// There is no such property, or it is not writable.
    pub fn check_writable(&self, name: &str) -> Result<(), Violation> {
        let property = self.properties.get(name).ok_or_else(|| unknown(TWIN, name))?;
        if property.writable {
            return Ok(());
        }
        Err(Violation::here(format!("{name} is not writable on the DTDL for {TWIN}.")).under(name))
    }
}

impl Command {
    /// Checks what a caller sends; nothing where it sends nothing.
    ///
    /// # Errors
    /// It does not fit the schema; there is no request although one is needed, or one although the command has none.
    pub fn check_request(&self, value: Option<&Value>) -> Result<(), Violation> {
        check_payload(self.request.as_ref(), &self.name, "request", value)
    }

    /// Checks what a caller gets; nothing where it gets nothing.
    ///
    /// # Errors
    /// As [`Command::check_request`].
    pub fn check_response(&self, value: Option<&Value>) -> Result<(), Violation> {
        check_payload(self.response.as_ref(), &self.name, "response", value)
    }
}

/// In DTDL v4 a payload that is `nullable` may be null or missing. Source: `DTDL.v4.md`, "CommandRequest".
fn check_payload(
    payload: Option<&CommandPayload>,
    command: &str,
    which: &str,
    value: Option<&Value>,
) -> Result<(), Violation> {
    match (payload, value) {
        (None, None | Some(Value::Null)) => Ok(()),
        (None, Some(_)) => Err(Violation::here(format!("{command} has no {which}."))),
        (Some(payload), None | Some(Value::Null)) if payload.nullable => Ok(()),
        (Some(_), None) => Err(Violation::here(format!("{command} needs a {which}."))),
        (Some(payload), Some(value)) => fits(&payload.schema, &payload.name, command, value),
    }
}

impl Relationship {
    /// Checks the value of one of its properties.
    ///
    /// # Errors
    /// There is no such property, or the value does not fit its schema.
    pub fn check_property(&self, name: &str, value: &Value) -> Result<(), Violation> {
        let property = self.properties.get(name).ok_or_else(|| unknown(&self.name, name))?;
        check(property, &self.name, value)
    }

    /// Checks a relationship's body as ADT's `PUT …/relationships/{id}` takes it; `$` members are ignored.
    #[must_use]
    pub fn check_body(&self, body: &Map<String, Value>) -> Vec<Violation> {
        let members = body.iter().filter(|(name, _)| !name.starts_with('$'));
        members.filter_map(|(name, value)| self.check_property(name, value).err()).collect()
    }
}

impl ModelSet {
    /// Checks a twin's body as ADT's `PUT /digitaltwins/{id}` takes it, against `model`; no violations mean that it
    /// is accepted.
    ///
    /// Members that start with `$` are ignored. Every component of the model must be there as an object, with
    /// `$metadata` (empty, if nothing else). Other members must be properties with values that fit; properties may
    /// be absent. Source: article "Manage digital twins", "Initialize properties".
    #[must_use]
    pub fn check_twin(&self, model: &Dtmi, contents: &Map<String, Value>) -> Vec<Violation> {
        let Some(interface) = self.get(model) else {
            return vec![Violation::here(format!("{model} or one of its dependencies does not exist."))];
        };
        let mut violations = Vec::new();
        for (name, value) in contents.iter().filter(|(name, _)| !name.starts_with('$')) {
            match interface.components.get(name) {
                Some(component) => self.check_component(&component.schema, name, value, &mut violations),
                None => violations.extend(interface.check_property(name, value).err()),
            }
        }
        for name in interface.components.keys().filter(|name| !contents.contains_key(*name)) {
            let message = format!(
                "Component {name} is missing; every component of the model must be given, as \
                                   {{\"$metadata\": {{}}}} if nothing is known of it."
            );
            violations.push(Violation::here(message).under(name));
        }
        violations
    }

    /// Checks the body of one component of a twin of `model`, as in a patch that replaces it.
    #[must_use]
    pub fn check_component_body(&self, model: &Dtmi, name: &str, value: &Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        match self.get(model).map(|interface| interface.components.get(name)) {
            None => violations
                .push(Violation::here(format!("{model} or one of its dependencies does not exist."))),
            Some(None) => violations.push(unknown(TWIN, name)),
            Some(Some(component)) => self.check_component(&component.schema, name, value, &mut violations),
        }
        violations
    }

    /// Checks a relationship of a twin of `source`: its name, its properties, and as far as [`Link`] tells of them the
    /// model of its target and its multiplicity.
    #[must_use]
    pub fn check_relationship(&self, source: &Dtmi, link: &Link<'_>) -> Vec<Violation> {
        let Some(interface) = self.get(source) else {
            return vec![Violation::here(format!("{source} or one of its dependencies does not exist."))];
        };
        let name = link.name;
        let Some(relationship) = interface.relationships.get(name) else {
            let message = format!("{name} is not a relationship on the DTDL for {source}.");
            return vec![Violation::here(message)];
        };
        let mut violations = relationship.check_body(link.properties);
        if let (Some(wanted), Some(target)) = (&relationship.target, link.target)
            && !self.is_of(target, wanted, false)
        {
            let message = format!("The target of {name} must be of the model {wanted}; it is of {target}.");
            violations.push(Violation::here(message));
        }
        let most = relationship
            .max_multiplicity
            .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        if link.others.is_some_and(|others| others >= most) {
            violations.push(Violation::here(format!("There can be {most} relationships {name} at most.")));
        }
        violations
    }

    fn check_component(&self, schema: &Dtmi, name: &str, value: &Value, violations: &mut Vec<Violation>) {
        let Value::Object(members) = value else {
            let message =
                format!("Expected an object for component {name} on {TWIN}; found {}.", describe(value));
            violations.push(Violation::here(message).under(name));
            return;
        };
        if !members.get("$metadata").is_some_and(Value::is_object) {
            let message = format!("Component {name} must have the object $metadata; it can be empty.");
            violations.push(Violation::here(message).under(name));
        }
        let Some(part) = self.get(schema) else { return };
        for (inner, value) in members.iter().filter(|(inner, _)| !inner.starts_with('$')) {
            let checked = part.check_property_of(name, inner, value);
            violations.extend(checked.err().map(|violation| violation.under(name)));
        }
    }
}

fn unknown(owner: &str, name: &str) -> Violation {
    let shown: String = name.chars().take(80).collect();
    Violation::here(format!("{shown} does not appear on the DTDL for {owner}.")).under(name)
}

fn check(property: &Property, owner: &str, value: &Value) -> Result<(), Violation> {
    fits(&property.schema, &property.name, owner, value)
}

fn fits(schema: &Schema, name: &str, owner: &str, value: &Value) -> Result<(), Violation> {
    schema.check(value).map_err(|violation| {
        let expected = schema.type_name();
        let at = if violation.path.is_empty() { String::new() } else { format!("at {}: ", violation.path) };
        let detail = capitalised(&format!("{at}{}", violation.message));
        let message = format!("Expected value of type {expected} for {name} on {owner}. {detail}.");
        Violation { path: violation.path, message }.under(name)
    })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
