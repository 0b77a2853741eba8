//! Schemas from nodes: references inside the Interface followed, shared schemas built once, nesting bounded,
//! cycles found.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use indexmap::IndexMap;
use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::element::{Builder, Meta};
use crate::metamodel::{Kind, SCHEMAS};
use crate::reader::{Node, Val};
use crate::schema::{
    ArraySchema, EnumSchema, EnumValue, EnumValueKind, Field, Geospatial, MapSchema, ObjectSchema, Primitive,
    RecursiveSchema, Schema,
};
use crate::semantic::{self, Edition};

/// Identified schemas of one Interface.
#[derive(Default)]
pub(crate) struct SchemaCache(HashMap<Dtmi, State>);

#[derive(Clone)]
enum State {
    /// Being built: meeting it again is a cycle, which points here once it is done.
    Open(Arc<OnceLock<Weak<Schema>>>),
    Done(Option<Built>),
}

/// A schema and its levels of complex schemas; 0 for a term.
#[derive(Clone)]
struct Built {
    schema: Arc<Schema>,
    depth: usize,
}

impl<'n, 'v> Builder<'n, 'v> {
    /// The schema that is the value of `property` of a content or payload.
    pub(crate) fn schema(&mut self, node: &'n Node<'v>, property: &str) -> Option<Arc<Schema>> {
        self.schema_at(node, property, 1).map(|built| built.schema)
    }

    /// A schema of the Interface's `schemas`.
    pub(crate) fn root_schema(&mut self, node: &'n Node<'v>) -> Option<Arc<Schema>> {
        self.complex(node, 1, &node.path).map(|built| built.schema)
    }

    /// `level` is that of a complex schema met here: 1 outside, one more inside each.
    fn schema_at(&mut self, node: &'n Node<'v>, property: &str, level: usize) -> Option<Built> {
        let entry = node.entry(property)?;
        match entry.values.first()? {
            Val::Term(term) => term_schema(term, node.context.edition())
                .map(|schema| Built { schema: Arc::new(schema), depth: 0 }),
            Val::Node(child) => self.complex(child, level, &entry.path),
            Val::Reference(id) => {
                let child = self.resolve(id, SCHEMAS, &entry.path)?;
                self.check_version(node, property, child);
                self.complex(child, level, &entry.path)
            }
            _ => None,
        }
    }

    fn complex(&mut self, node: &'n Node<'v>, level: usize, path: &str) -> Option<Built> {
        let max = node.context.limits(self.limits).schema_depth;
        if let Some(id) = &node.id {
            match self.schemas.0.get(id) {
                Some(State::Open(target)) if node.context.version >= 4 => {
                    let recursive = RecursiveSchema { id: id.clone(), target: target.clone() };
                    return Some(Built { schema: Arc::new(Schema::Recursive(recursive)), depth: 0 });
                }
                Some(State::Open(_)) => {
                    let message =
                        format!("schema '{id}' contains itself; schemas can be recursive from DTDL v4 on");
                    self.sink.report(path, message);
                    return None;
                }
                Some(State::Done(built)) => {
                    let built = built.clone()?;
                    if level + built.depth > max + 1 {
                        self.sink.report(path, too_deep(max));
                        return None;
                    }
                    return Some(built);
                }
                None => {}
            }
        }
        if level > max {
            self.sink.report(path, too_deep(max));
            return None;
        }
        let Some(id) = &node.id else { return self.build_schema(node, level) };
        let target = Arc::new(OnceLock::new());
        self.schemas.0.insert(id.clone(), State::Open(target.clone()));
        let built = self.build_schema(node, level);
        if let Some(built) = &built {
            target.get_or_init(|| Arc::downgrade(&built.schema));
        }
        self.schemas.0.insert(id.clone(), State::Done(built.clone()));
        built
    }

    fn build_schema(&mut self, node: &'n Node<'v>, level: usize) -> Option<Built> {
        match node.kind {
            Kind::Array => {
                let element = self.schema_at(node, "elementSchema", level + 1)?;
                let schema = Schema::Array(ArraySchema { element: element.schema, meta: Meta::read(node) });
                Some(Built { schema: Arc::new(schema), depth: element.depth + 1 })
            }
            Kind::Enum => {
                let schema = Schema::Enum(self.enumeration(node)?);
                Some(Built { schema: Arc::new(schema), depth: 1 })
            }
            Kind::Map => self.map(node, level),
            Kind::Object => self.object(node, level),
            _ => None,
        }
    }

    fn map(&mut self, node: &'n Node<'v>, level: usize) -> Option<Built> {
        let key = self.local(node, "mapKey", &[Kind::MapKey]).into_iter().next();
        let value = self.local(node, "mapValue", &[Kind::MapValue]).into_iter().next()?;
        let built = self.schema_at(value, "schema", level + 1)?;
        self.check_value(value, Some(&built.schema));
        let (key_name, value_name) = (key?.text("name")?, value.text("name")?);
        let schema = Schema::Map(MapSchema::new(key_name, value_name, built.schema, Meta::read(node)));
        Some(Built { schema: Arc::new(schema), depth: built.depth + 1 })
    }

    fn object(&mut self, node: &'n Node<'v>, level: usize) -> Option<Built> {
        let mut fields = IndexMap::new();
        let mut depth = 0;
        let mut complete = true;
        let found = self.local(node, "fields", &[Kind::Field]);
        self.check_fields(node, &found);
        for field in found {
            let built = self.schema_at(field, "schema", level + 1);
            self.check_value(field, built.as_ref().map(|built| &*built.schema));
            let (Some(built), Some(name)) = (built, field.text("name")) else {
                complete = false;
                continue;
            };
            depth = depth.max(built.depth);
            let value = Field { name: name.to_owned(), schema: built.schema, meta: Meta::read(field) };
            if fields.insert(name.to_owned(), value).is_some() {
                self.duplicate_name(field, &field.path, "fields of an Object");
            }
        }
        let schema = Schema::Object(ObjectSchema::new(fields, Meta::read(node)));
        complete.then(|| Built { schema: Arc::new(schema), depth: depth + 1 })
    }

    fn enumeration(&mut self, node: &'n Node<'v>) -> Option<EnumSchema> {
        let value_schema = match node.text("valueSchema")? {
            "integer" => EnumValueKind::Integer,
            _ => EnumValueKind::String,
        };
        let mut values: Vec<EnumValue> = Vec::new();
        let found = self.local(node, "enumValues", &[Kind::EnumValue]);
        self.check_indices(&found);
        for item in found {
            let value = match (item.value("enumValue"), value_schema) {
                (Some(Val::Integer(number)), EnumValueKind::Integer) => Value::from(*number),
                (Some(Val::Text(text)), EnumValueKind::String) => Value::from(*text),
                (None, _) => continue,
                (Some(_), _) => {
                    let message = format!("does not fit valueSchema; give a value of type {value_schema:?}");
                    self.sink.report(format!("{}.enumValue", item.path), message);
                    continue;
                }
            };
            let Some(name) = item.text("name") else { continue };
            if values.iter().any(|other| other.name == name) {
                self.duplicate_name(item, &item.path, "values of an Enum");
            }
            if values.iter().any(|other| other.value == value) {
                let message =
                    format!("{value} is used twice among the values of an Enum; values are unique there");
                self.sink.report(format!("{}.enumValue", item.path), message);
            }
            values.push(EnumValue { name: name.to_owned(), value, meta: Meta::read(item) });
        }
        Some(EnumSchema { value_schema, values, meta: Meta::read(node) })
    }
}

fn too_deep(max: usize) -> String {
    format!("schemas are nested deeper than {max} levels")
}

fn term_schema(term: &str, edition: Edition) -> Option<Schema> {
    match term {
        "vector" => Some(Schema::vector()),
        "geopoint" => Some(Schema::geopoint()),
        "scaledDecimal" => Some(Schema::scaled_decimal()),
        _ if semantic::is_unit_type(term, edition) => Some(Schema::units(term, edition)),
        _ => Primitive::from_term(term)
            .map(Schema::Primitive)
            .or_else(|| Geospatial::from_term(term).map(Schema::Geospatial)),
    }
}
