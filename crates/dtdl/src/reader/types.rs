//! `@type`: which kind of element, which semantic type and other cotypes, and whether a cotype without meaning here
//! opens the element to properties without meaning here.

use serde_json::{Map, Value};

use crate::context::Context;
use crate::dtmi::Dtmi;
use crate::extension::{Adjunct, Extension, Rule};
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
    pub(super) adjuncts: Vec<(Extension, &'static Adjunct)>,
    /// A cotype that nothing known here defines is present: unknown properties are then not checked.
    pub(super) open: bool,
}

/// One entry of `@type`.
enum Type {
    Material(Kind),
    Semantic(&'static SemanticType),
    Adjunct(Extension, &'static Adjunct),
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
            return allowed.default.map(|kind| Types {
                kind,
                semantic: None,
                adjuncts: Vec::new(),
                open: false,
            });
        };
        let texts = self.type_names(value, &path)?;
        let mut kinds: Vec<Kind> = Vec::new();
        let mut semantics: Vec<&'static SemanticType> = Vec::new();
        let mut adjuncts: Vec<(Extension, &'static Adjunct)> = Vec::new();
        let mut open = false;
        for text in texts {
            match self.classify(text, &path, context)? {
                Type::Material(kind) if !kinds.contains(&kind) => kinds.push(kind),
                Type::Semantic(semantic) if !semantics.contains(&semantic) => semantics.push(semantic),
                Type::Adjunct(by, row) if !adjuncts.iter().any(|(_, other)| other.name == row.name) => {
                    adjuncts.push((by, row));
                }
                Type::Undefined => open = true,
                Type::Material(_) | Type::Semantic(_) | Type::Adjunct(..) => {}
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
        if semantics.len() > 1 || (!semantics.is_empty() && !kind.takes_semantic_type(context.version)) {
            let message =
                format!("{kind:?} may not have semantic types, or has several; it takes at most one");
            self.sink.report(path, message);
            return None;
        }
        self.cotypes(kind, &adjuncts, &path, context.version);
        Some(Types { kind, semantic: semantics.first().copied(), adjuncts, open })
    }

    /// Checks the cotypes of extensions against the kind and against each other.
    fn cotypes(&mut self, kind: Kind, adjuncts: &[(Extension, &'static Adjunct)], path: &str, version: u8) {
        let has = |name: &str| adjuncts.iter().any(|(_, row)| row.name == name);
        for (extension, row) in adjuncts {
            if !row.kinds.contains(&kind) {
                let message = format!("{} is a cotype of {}, not of {kind:?}", row.name, names(row.kinds));
                self.sink.report(path, message);
            }
            self.usable(*extension, row.name, path, version);
            for rule in row.rules {
                match rule {
                    Rule::Beside(other) if !has(other) => {
                        self.sink.report(path, format!("{} needs the cotype {other} beside it", row.name));
                    }
                    Rule::NotBeside(other) if has(other) => {
                        self.sink.report(path, format!("{} and {other} exclude each other", row.name));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether an extension's types can be used in a version of the language.
    fn usable(&mut self, extension: Extension, name: &str, path: &str, version: u8) -> bool {
        let versions = extension.versions();
        let is_usable = versions.contains(&version);
        if !is_usable {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            let message = format!(
                "{name} of '{}' can be used in DTDL version {}, not {version}; use the extension's version for it",
                extension.context(),
                versions.join(" or ")
            );
            self.sink.report(path, message);
        }
        is_usable
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
        let kind = vocabulary::class_term(text, version).and_then(|term| Kind::from_term(term, version));
        if let Some(kind) = kind {
            return Some(Type::Material(kind));
        }
        if let Some(row) = self.semantic(text, path, context) {
            return Some(Type::Semantic(row));
        }
        if let Some((extension, row)) = context.extensions.adjunct(text) {
            return Some(Type::Adjunct(extension, row));
        }
        let is_dtmi = text.starts_with("dtmi:");
        if is_dtmi && let Err(error) = Dtmi::parse(text) {
            self.sink.report(path, error.to_string());
            return None;
        }
        if is_tenable(text, context) {
            return Some(Type::Undefined);
        }
        self.sink.report(path, format!("'{text}' is no type that an element can have"));
        None
    }

    fn semantic(&mut self, text: &str, path: &str, context: Context) -> Option<&'static SemanticType> {
        let version = context.version;
        if version == 2
            && let Some(row) = vocabulary::semantic_term(text, version).and_then(semantic::semantic_type)
        {
            return Some(row);
        }
        let found = context.extensions.iter().find_map(|extension| {
            let term = extension.class_term(text)?;
            let row = match extension {
                Extension::IotCentralV2 => semantic::iotcentral_type(term),
                by if by.is_quantitative() => semantic::quantitative_type(term, by.edition()),
                _ => None,
            };
            row.map(|row| (extension, row))
        });
        let (extension, row) = found?;
        self.usable(extension, row.name, path, version);
        Some(row)
    }
}

/// Whether a cotype that has no meaning here may stand: in DTDL v2 a term that the language does not define;
/// otherwise, a term or DTMI, and only where a context is in force that is not known here.
fn is_tenable(text: &str, context: Context) -> bool {
    let is_dtmi = text.starts_with("dtmi:");
    match context.version {
        2 => context.undefined || !(is_dtmi || vocabulary::is_defined(text)),
        _ => context.undefined && (is_dtmi || vocabulary::is_term(text)),
    }
}

/// The term of a schema of the language or of an extension in force.
pub(super) fn schema_term(text: &str, context: Context) -> Option<&str> {
    let version = context.version;
    let primitive = vocabulary::primitive_term(text, version)
        .filter(|term| Primitive::from_term(term).is_some_and(|primitive| primitive.exists_in(version)));
    let geospatial =
        || vocabulary::geospatial_term(text, version).filter(|t| Geospatial::from_term(t).is_some());
    let scaled = || vocabulary::scaled_decimal_term(text, version);
    let extension = || {
        // Schemas, unlike cotypes, can be used in later versions of the language too.
        context.extensions.iter().filter(|by| by.versions()[0] <= version).find_map(|by| match by {
            Extension::IotCentralV2 => {
                by.schema_term(text).filter(|term| matches!(*term, "vector" | "geopoint"))
            }
            by if by.is_quantitative() => {
                by.enum_term(text).filter(|term| semantic::is_unit_type(term, by.edition()))
            }
            _ => None,
        })
    };
    primitive.or_else(geospatial).or_else(scaled).or_else(extension)
}

fn names(kinds: &[Kind]) -> String {
    let names: Vec<_> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    names.join(", ")
}
