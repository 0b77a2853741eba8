//! `@type`: which kind of element, which semantic type, and whether a cotype without meaning here opens the
//! element to properties without meaning here.

use serde_json::{Map, Value};

use crate::context::Context;
use crate::dtmi::Dtmi;
use crate::literal::describe;
use crate::metamodel::{Elements, Kind};
use crate::reader::Reader;
use crate::schema::{Geospatial, Primitive};
use crate::semantic::{self, SemanticType};
use crate::vocabulary;

/// What `@type` says.
pub(super) struct Types {
    pub(super) kind: Kind,
    pub(super) semantic: Option<&'static SemanticType>,
    /// A cotype that the language does not define is present: unknown properties are then not checked.
    pub(super) open: bool,
}

/// One entry of `@type`.
enum Type {
    Material(Kind),
    Semantic(&'static SemanticType),
    /// A cotype with a meaning that asks nothing here (IoT Central's).
    Known,
    Undefined,
}

impl Reader<'_, '_> {
    pub(super) fn types(
        &mut self,
        json: &Map<String, Value>,
        path: &str,
        context: Context,
        allowed: Elements,
    ) -> Option<Types> {
        let path = format!("{path}.@type");
        let Some(value) = json.get("@type") else {
            if allowed.default.is_none() {
                self.sink.report(path, format!("is missing; add {}", names(allowed.kinds)));
            }
            return allowed.default.map(|kind| Types { kind, semantic: None, open: false });
        };
        let texts = self.type_names(value, &path)?;
        let mut kinds: Vec<Kind> = Vec::new();
        let mut semantics: Vec<&'static SemanticType> = Vec::new();
        let mut open = false;
        for text in texts {
            match self.classify(text, &path, context)? {
                Type::Material(kind) if !kinds.contains(&kind) => kinds.push(kind),
                Type::Semantic(semantic) if !semantics.contains(&semantic) => semantics.push(semantic),
                Type::Undefined => open = true,
                Type::Material(_) | Type::Semantic(_) | Type::Known => {}
            }
        }
        let kind = match kinds.as_slice() {
            [kind] if allowed.kinds.contains(kind) => *kind,
            [kind] => {
                self.sink.report(path, format!("{kind:?} is not allowed here; use {}", names(allowed.kinds)));
                return None;
            }
            _ => {
                self.sink.report(path, format!("must have exactly one of {}", names(allowed.kinds)));
                return None;
            }
        };
        if semantics.len() > 1 || (!semantics.is_empty() && !kind.takes_semantic_type()) {
            self.sink.report(path, "a Property or Telemetry may have one semantic type, other elements none");
            return None;
        }
        Some(Types { kind, semantic: semantics.first().copied(), open })
    }

    fn type_names<'v>(&mut self, value: &'v Value, path: &str) -> Option<Vec<&'v str>> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let Value::String(text) = item else {
                self.sink
                    .report(path, format!("is {}; give a string or an array of strings", describe(item)));
                return None;
            };
            texts.push(text.as_str());
        }
        Some(texts)
    }

    fn classify(&mut self, text: &str, path: &str, context: Context) -> Option<Type> {
        let version = context.version;
        if let Some(kind) = vocabulary::class_term(text, version).and_then(Kind::from_term) {
            return Some(Type::Material(kind));
        }
        if let Some(row) = vocabulary::semantic_term(text, version).and_then(semantic::semantic_type) {
            return Some(Type::Semantic(row));
        }
        if let Some(term) = vocabulary::iotcentral_term(text).filter(|_| context.iotcentral) {
            if let Some(row) = semantic::iotcentral_type(term) {
                return Some(Type::Semantic(row));
            }
            if matches!(term, "State" | "Event" | "Location") {
                return Some(Type::Known);
            }
        }
        let is_dtmi = text.starts_with("dtmi:");
        if is_dtmi && let Err(error) = Dtmi::parse(text) {
            self.sink.report(path, error.to_string());
            return None;
        }
        if context.undefined || !(is_dtmi || vocabulary::is_defined(text)) {
            return Some(Type::Undefined);
        }
        self.sink.report(path, format!("'{text}' is no type that an element can have"));
        None
    }
}

/// The term of a schema of the language or of an extension in force.
pub(super) fn schema_term(text: &str, context: Context) -> Option<&str> {
    let primitive =
        vocabulary::primitive_term(text, context.version).filter(|t| Primitive::from_term(t).is_some());
    let geospatial =
        || vocabulary::geospatial_term(text, context.version).filter(|t| Geospatial::from_term(t).is_some());
    let iotcentral = || {
        vocabulary::iotcentral_term(text)
            .filter(|term| context.iotcentral && matches!(*term, "vector" | "geopoint"))
    };
    primitive.or_else(geospatial).or_else(iotcentral)
}

fn names(kinds: &[Kind]) -> String {
    let names: Vec<_> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    names.join(", ")
}
