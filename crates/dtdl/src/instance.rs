//! Instances: the body of a twin, its properties and components, and the properties of a relationship.
//! Messages are ADT's where they are known (recorded sessions of its SDK), with the detail after.
//!
//! Not here: who may write (`writable` is not enforced by ADT either), sizes of requests and strings, and whether a
//! relationship's target exists.

use serde_json::{Map, Value};

use crate::dtmi::Dtmi;
use crate::element::{Property, Relationship};
use crate::error::Violation;
use crate::literal::describe;
use crate::model_set::{Interface, ModelSet};

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
    property.schema.check(value).map_err(|violation| {
        let expected = property.schema.type_name();
        let name = &property.name;
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
