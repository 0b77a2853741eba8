//! The rules of cotypes that concern more than `@type`: an element's schema, and its siblings.

use std::collections::HashSet;

use crate::element::Builder;
use crate::extension::{Adjunct, Rule, SchemaRule};
use crate::metamodel::SCHEMAS;
use crate::reader::{Node, Val};
use crate::schema::{Primitive, Schema};

impl SchemaRule {
    fn fits(self, schema: &Schema) -> bool {
        let primitive = match schema {
            Schema::Primitive(primitive) => Some(*primitive),
            _ => None,
        };
        let is_numeric = primitive.is_some_and(Primitive::is_numeric);
        let is_string = primitive == Some(Primitive::String);
        match self {
            Self::Object => schema.type_name() == "Object",
            Self::Enum => schema.type_name() == "Enum",
            Self::Map => schema.type_name() == "Map",
            Self::String => is_string,
            Self::Numeric => is_numeric,
            Self::NumericOrString => is_numeric || is_string,
            Self::Place => matches!(schema, Schema::Geospatial(_)) || schema == &Schema::geopoint(),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Object => "an Object",
            Self::Enum => "an Enum",
            Self::Map => "a Map",
            Self::String => "string",
            Self::Numeric => "a number",
            Self::NumericOrString => "a number or string",
            Self::Place => "a geospatial schema or geopoint",
        }
    }
}

impl<'n, 'v> Builder<'n, 'v> {
    /// Checks an element that has a schema against its semantic type and cotypes.
    pub(crate) fn check_value(&mut self, node: &'n Node<'v>, schema: Option<&Schema>) {
        self.check_semantics(node, schema);
        for adjunct in adjuncts(node) {
            for rule in adjunct.rules {
                match rule {
                    Rule::Schema(rule) if schema.is_some_and(|schema| !rule.fits(schema)) => {
                        let message = format!("{} needs a schema that is {}", adjunct.name, rule.describe());
                        self.sink.report(format!("{}.schema", node.path), message);
                    }
                    Rule::SchemaCotype(name) if !self.schema_has(node, name) => {
                        let message =
                            format!("{} needs a schema that is an Object with cotype {name}", adjunct.name);
                        self.sink.report(format!("{}.schema", node.path), message);
                    }
                    Rule::Conforms(property) => self.check_conforms(node, schema, property),
                    Rule::NotWritable if matches!(node.value("writable"), Some(Val::Boolean(true))) => {
                        let message = format!("{} cannot be writable", adjunct.name);
                        self.sink.report(format!("{}.writable", node.path), message);
                    }
                    _ => {}
                }
            }
        }
    }

    fn check_conforms(&mut self, node: &Node<'_>, schema: Option<&Schema>, property: &str) {
        let (Some(schema), Some(Val::Json(value))) = (schema, node.value(property)) else { return };
        // A bound of decimals is a number, although their values are strings.
        if schema == &Schema::Primitive(Primitive::Decimal) {
            return;
        }
        if let Err(violation) = schema.check(value) {
            let at =
                if violation.path.is_empty() { String::new() } else { format!(" at {}", violation.path) };
            let message = format!("does not fit the schema{at}: {}", violation.message);
            self.sink.report(format!("{}.{property}", node.path), message);
        }
    }

    fn schema_has(&mut self, node: &'n Node<'v>, cotype: &str) -> bool {
        let Some(entry) = node.entry("schema") else { return true };
        let schema = match entry.values.first() {
            Some(Val::Node(schema)) => Some(&**schema),
            Some(Val::Reference(id)) => self.resolve(id, SCHEMAS, &entry.path),
            _ => None,
        };
        schema.is_some_and(|schema| has(schema, cotype))
    }

    /// Checks the Fields of an Object against their and its cotypes.
    pub(crate) fn check_fields(&mut self, object: &'n Node<'v>, fields: &[&'n Node<'v>]) {
        for adjunct in adjuncts(object) {
            for rule in adjunct.rules {
                let Rule::FieldsHave(names) = rule else { continue };
                for field in fields.iter().filter(|field| !names.iter().any(|name| has(field, name))) {
                    let message =
                        format!("each Field of a {} needs a cotype of {}", adjunct.name, names.join(", "));
                    self.sink.report(format!("{}.@type", field.path), message);
                }
            }
        }
        let mut seen = HashSet::new();
        for field in fields {
            for adjunct in adjuncts(field) {
                let Some(owners) = within(adjunct) else { continue };
                let path = format!("{}.@type", field.path);
                if !owners.iter().any(|owner| has(object, owner)) {
                    let message = format!(
                        "{} needs an Object with cotype {} around it",
                        adjunct.name,
                        owners.join(" or ")
                    );
                    self.sink.report(path, message);
                } else if !seen.insert(adjunct.name) {
                    self.sink.report(path, format!("only one Field of an Object can be {}", adjunct.name));
                }
            }
        }
        self.check_indices(fields);
    }

    /// Checks `index` among siblings.
    pub(crate) fn check_indices(&mut self, siblings: &[&'n Node<'v>]) {
        let mut seen = HashSet::new();
        for node in siblings {
            let is_indexed = adjuncts(node).any(|adjunct| adjunct.rules.contains(&Rule::UniqueIndex));
            let Some(Val::Integer(index)) = node.value("index").filter(|_| is_indexed) else { continue };
            let path = format!("{}.index", node.path);
            if *index < 1 {
                self.sink.report(path, format!("is {index}; it must be 1 or more"));
            } else if !seen.insert(*index) {
                self.sink.report(path, format!("{index} is used twice; each sibling needs its own index"));
            }
        }
    }
}

fn adjuncts<'n>(node: &'n Node<'_>) -> impl Iterator<Item = &'static Adjunct> + use<'n> {
    node.adjuncts.iter().map(|(_, adjunct)| *adjunct)
}

fn has(node: &Node<'_>, cotype: &str) -> bool {
    node.adjuncts.iter().any(|(_, adjunct)| adjunct.name == cotype)
}

fn within(adjunct: &Adjunct) -> Option<&'static [&'static str]> {
    adjunct.rules.iter().find_map(|rule| match rule {
        Rule::Within(owners) => Some(*owners),
        _ => None,
    })
}
