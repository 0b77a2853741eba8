//! Reads JSON into nodes by the tables of [`crate::metamodel`]: which keys an element may have, of which type, how
//! many. Every fault is reported and reading goes on, so that one call shows all of them. What the elements mean
//! together (names unique, references, schemas) is [`crate::element`]'s and [`crate::schema`]'s concern.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::dtmi::Dtmi;
use crate::error::Sink;
use crate::extension::{self, Adjunct, Extension};
use crate::limits::Limits;
use crate::literal::{self, Datatype, describe};
use crate::metamodel::{self, Count, Elements, Kind, PropertySpec, Range};
use crate::semantic::{self, SemanticType, Unit};
use crate::vocabulary;

mod types;

/// An element as read: its kind, identity and the values of its properties that were well formed.
#[derive(Debug)]
pub(crate) struct Node<'v> {
    pub(crate) kind: Kind,
    pub(crate) id: Option<Dtmi>,
    pub(crate) path: String,
    pub(crate) context: Context,
    pub(crate) semantic: Option<&'static SemanticType>,
    /// Cotypes of extensions.
    pub(crate) adjuncts: Vec<(Extension, &'static Adjunct)>,
    pub(crate) json: &'v Map<String, Value>,
    /// For an Interface: every `@context` around it, outermost first, and its own last.
    pub(crate) contexts: Vec<&'v Value>,
    pub(crate) properties: Vec<Entry<'v>>,
}

/// A property's values.
#[derive(Debug)]
pub(crate) struct Entry<'v> {
    pub(crate) name: &'static str,
    pub(crate) path: String,
    pub(crate) values: Vec<Val<'v>>,
}

/// One value of a property.
#[derive(Debug)]
pub(crate) enum Val<'v> {
    Text(&'v str),
    Boolean(bool),
    Integer(i64),
    Localized(IndexMap<String, String>),
    /// A literal of an extension's property.
    Json(&'v Value),
    Unit(&'static Unit),
    /// An instance of the language, by its term: `integer`, `point`, `synchronous`.
    Term(&'v str),
    Reference(Dtmi),
    Node(Box<Node<'v>>),
}

impl<'v> Node<'v> {
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry<'v>> {
        self.properties.iter().find(|entry| entry.name == name)
    }

    /// The first value of a property.
    pub(crate) fn value(&self, name: &str) -> Option<&Val<'v>> {
        self.entry(name)?.values.first()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'v str> {
        match self.value(name)? {
            Val::Text(text) | Val::Term(text) => Some(text),
            _ => None,
        }
    }
}

/// The state of reading one set of documents.
pub(crate) struct Reader<'l, 'v> {
    pub(crate) limits: &'l Limits,
    pub(crate) sink: &'l mut Sink,
    /// Every `@id` defined so far, with where.
    pub(crate) defined: HashMap<Dtmi, (Kind, String)>,
    /// Every `@context` around the element being read, outermost first.
    pub(crate) contexts: Vec<&'v Value>,
}

impl<'v> Reader<'_, 'v> {
    /// Reads a top-level document, which must be an Interface.
    pub(crate) fn document(&mut self, value: &'v Value, path: &str) -> Option<Node<'v>> {
        let Value::Object(json) = value else {
            self.sink.report(path, format!("is {}; a model is an object", describe(value)));
            return None;
        };
        let context = Context::top(json.get("@context"), path, self.limits, self.sink)?;
        let elements = Elements { kinds: &[Kind::Interface], default: None, id_required: true };
        self.contexts = json.get("@context").into_iter().collect();
        self.element(json, path, context, elements)
    }

    fn element(
        &mut self,
        json: &'v Map<String, Value>,
        path: &str,
        context: Context,
        allowed: Elements,
    ) -> Option<Node<'v>> {
        let kind = self.types(json, path, context, allowed)?;
        let mut node = Node {
            kind: kind.kind,
            id: None,
            path: path.to_owned(),
            context,
            semantic: kind.semantic,
            adjuncts: kind.adjuncts,
            json,
            contexts: if kind.kind == Kind::Interface { self.contexts.clone() } else { Vec::new() },
            properties: Vec::with_capacity(json.len()),
        };
        node.id = self.identifier(&node, allowed.id_required);
        let is_interface = node.kind == Kind::Interface;
        let outer = is_interface.then(|| self.sink.enter(node.id.clone()));
        self.keywords(json, path, context.version);
        for (key, value) in json {
            if !key.starts_with('@') {
                self.property(&mut node, key, value, kind.open);
            }
        }
        self.missing(&node);
        if let Some(outer) = outer {
            self.sink.enter(outer);
        }
        Some(node)
    }

    /// DTDL v2 ignores keywords that it has no use for, later versions refuse them.
    fn keywords(&mut self, json: &Map<String, Value>, path: &str, version: u8) {
        for key in json.keys().filter(|key| key.starts_with('@')) {
            if key == "@graph" {
                self.sink.report(path, "'@graph' is not allowed; give several models as an array of objects");
            } else if version > 2 && !matches!(key.as_str(), "@id" | "@type" | "@context") {
                let key: String = key.chars().take(80).collect();
                self.sink.report(
                    path,
                    format!("'{key}' is not allowed; an element has '@id', '@type' and '@context'"),
                );
            }
        }
    }

    /// Reads `@id` and notes the definition.
    fn identifier(&mut self, node: &Node<'_>, required: bool) -> Option<Dtmi> {
        let path = format!("{}.@id", node.path);
        let is_interface = node.kind == Kind::Interface;
        let Some(value) = node.json.get("@id") else {
            if required || is_interface {
                self.sink.report(path, "is missing; add a DTMI such as 'dtmi:com:example:Thermostat;1'");
            }
            return None;
        };
        let Value::String(text) = value else {
            self.sink.report(path, format!("is {}; give a DTMI in a string", describe(value)));
            return None;
        };
        let limits = node.context.limits(self.limits);
        let max = if is_interface { limits.interface_id_chars } else { limits.id_chars };
        literal::within(text, max, &path, self.sink)?;
        let id = Dtmi::parse_user(text, node.context.version)
            .map_err(|error| self.sink.report(&*path, error.to_string()))
            .ok()?;
        if let Some((_, first)) = self.defined.get(&id) {
            let message =
                format!("'{id}' is defined twice, first at {first}; every element needs its own identifier");
            self.sink.report(path, message);
            return None;
        }
        self.defined.insert(id.clone(), (node.kind, node.path.clone()));
        Some(id)
    }

    fn property(&mut self, node: &mut Node<'v>, key: &'v str, value: &'v Value, open: bool) {
        let path = format!("{}.{key}", node.path);
        let Some(spec) = spec(node, key) else {
            if is_tenable(key, node.context.version, open) {
                return;
            }
            self.unknown_property(node, key, &path);
            return;
        };
        if node.entry(spec.name).is_some() {
            self.sink.report(
                path,
                format!("'{}' is given twice, as a term and as a DTMI; give it once", spec.name),
            );
            return;
        }
        let values = self.values(value, spec, &path, node.context);
        node.properties.push(Entry { name: spec.name, path, values });
    }

    fn unknown_property(&mut self, node: &Node<'_>, key: &str, path: &str) {
        let version = node.context.version;
        let names: Vec<_> = metamodel::properties(node.kind, version)
            .chain(node.adjuncts.iter().flat_map(|(_, adjunct)| adjunct.properties))
            .map(|spec| spec.name)
            .collect();
        let message = if key == "unit" && node.kind.takes_semantic_type(version) {
            let needs = if version == 2 { "" } else { " and the extension QuantitativeTypes" };
            format!(
                "'unit' needs a semantic type{needs} beside it, such as \"@type\": [\"{:?}\", \"Temperature\"]",
                node.kind
            )
        } else {
            let key: String = key.chars().take(80).collect();
            format!("{:?} has no property '{key}'; it has {}", node.kind, names.join(", "))
        };
        self.sink.report(path, message);
    }

    /// Reports required properties that are absent or empty.
    fn missing(&mut self, node: &Node<'v>) {
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let core = metamodel::properties(node.kind, node.context.version);
        for required in core.chain(node.adjuncts.iter().flat_map(|(_, adjunct)| adjunct.properties)) {
            // IoT Central's vectors have units, but need none.
            let needs_unit =
                required.name == "unit" && node.semantic.is_some_and(|semantic| !semantic.vector);
            let mut given = node.json.iter().filter(|(key, _)| {
                !key.starts_with('@') && spec(node, key).is_some_and(|spec| spec.name == required.name)
            });
            if (required.required || needs_unit) && !given.any(|(_, value)| !is_empty(value)) {
                self.sink.report(&*node.path, format!("{:?} needs '{}'", node.kind, required.name));
            }
        }
    }

    fn values(
        &mut self,
        value: &'v Value,
        spec: &PropertySpec,
        path: &str,
        context: Context,
    ) -> Vec<Val<'v>> {
        let one = |val: Option<Val<'v>>| val.into_iter().collect();
        let limits = context.limits(self.limits);
        match spec.range {
            Range::Text(max) => one(self.text(value, max(limits), context.version, path)),
            Range::Name => one(self.name(value, limits.name_chars, context.version, path)),
            Range::Localized(max) => {
                one(literal::localized(value, max(limits), context.version, path, self.sink)
                    .map(Val::Localized))
            }
            Range::Boolean => {
                one(literal::scalar(value, Datatype::Boolean, context.version, path, self.sink)
                    .and_then(Value::as_bool)
                    .map(Val::Boolean))
            }
            Range::Integer => {
                one(literal::scalar(value, Datatype::Integer, context.version, path, self.sink)
                    .and_then(Value::as_i64)
                    .map(Val::Integer))
            }
            Range::EnumValue => {
                one(literal::scalar(value, Datatype::StringOrInteger, context.version, path, self.sink)
                    .and_then(|value| {
                        value.as_str().map(Val::Text).or_else(|| value.as_i64().map(Val::Integer))
                    }))
            }
            Range::Number => {
                one(literal::scalar(value, Datatype::Number, context.version, path, self.sink).map(Val::Json))
            }
            Range::Duration => {
                one(literal::scalar(value, Datatype::Duration, context.version, path, self.sink)
                    .map(Val::Json))
            }
            Range::TopicPattern => {
                let wanted = "topic labels and tokens such as 'vehicles/{modelId}/telemetry'";
                one(self.formed(value, literal::is_topic_pattern, wanted, context.version, path))
            }
            Range::TopicLabel => {
                let wanted = "a label without spaces and without \", +, #, {, } and /";
                one(self.formed(value, literal::is_topic_label, wanted, context.version, path))
            }
            Range::PropertyName => one(self.formed(
                value,
                |text| !text.is_empty(),
                "the name of a property",
                context.version,
                path,
            )),
            Range::Anything => vec![Val::Json(value)],
            _ => self.references(value, spec, path, context),
        }
    }

    fn formed(
        &mut self,
        value: &'v Value,
        is_formed: fn(&str) -> bool,
        wanted: &str,
        version: u8,
        path: &str,
    ) -> Option<Val<'v>> {
        let text = literal::scalar(value, Datatype::String, version, path, self.sink)?.as_str()?;
        if !is_formed(text) {
            self.sink.report(path, format!("is {}; give {wanted}", describe(value)));
            return None;
        }
        Some(Val::Text(text))
    }

    fn text(&mut self, value: &'v Value, max: usize, version: u8, path: &str) -> Option<Val<'v>> {
        let text = literal::scalar(value, Datatype::String, version, path, self.sink)?.as_str()?;
        literal::within(text, max, path, self.sink)?;
        Some(Val::Text(text))
    }

    fn name(&mut self, value: &'v Value, max: usize, version: u8, path: &str) -> Option<Val<'v>> {
        let text = literal::scalar(value, Datatype::String, version, path, self.sink)?.as_str()?;
        literal::within(text, max, path, self.sink)?;
        if !literal::is_name(text) {
            let message = "is no name; a name has letters, digits and underscores, starts with a letter and does not end \
                           with an underscore";
            self.sink.report(path, format!("'{text}' {message}"));
            return None;
        }
        Some(Val::Text(text))
    }

    /// Values that are elements, references or terms: one, or an array of them.
    fn references(
        &mut self,
        value: &'v Value,
        spec: &PropertySpec,
        path: &str,
        context: Context,
    ) -> Vec<Val<'v>> {
        let Value::Array(items) = value else {
            return self.reference(value, spec, path, context).into_iter().collect();
        };
        let (min, max) = match spec.count {
            Count::One => (0, 1),
            Count::Set { min, max } => (min, max(context.limits(self.limits))),
        };
        if items.len() > max {
            self.sink.report(path, format!("has {} values; the limit is {max}", items.len()));
            return Vec::new();
        }
        // An empty array of a required property is reported once, as missing.
        if items.len() < min && !items.is_empty() {
            self.sink.report(path, format!("has {} values; at least {min} are needed", items.len()));
        }
        let read = |(index, item)| self.reference(item, spec, &format!("{path}[{index}]"), context);
        items.iter().enumerate().filter_map(read).collect()
    }

    fn reference(
        &mut self,
        value: &'v Value,
        spec: &PropertySpec,
        path: &str,
        context: Context,
    ) -> Option<Val<'v>> {
        match (value, spec.range) {
            (Value::Object(json), Range::Elements(elements)) => self.nested(json, path, context, elements),
            (Value::Object(json), Range::Schema) => {
                let elements = Elements { kinds: metamodel::SCHEMAS, default: None, id_required: false };
                self.nested(json, path, context, elements)
            }
            (Value::String(text), range) => self.named(text, range, path, context),
            (other, _) => {
                self.sink
                    .report(path, format!("is {}; that is not allowed for '{}'", describe(other), spec.name));
                None
            }
        }
    }

    fn nested(
        &mut self,
        json: &'v Map<String, Value>,
        path: &str,
        context: Context,
        elements: Elements,
    ) -> Option<Val<'v>> {
        let Some(own) = json.get("@context") else {
            return self.element(json, path, context, elements).map(|node| Val::Node(Box::new(node)));
        };
        let context = context.nested(own, path, self.limits, self.sink)?;
        self.contexts.push(own);
        let node = self.element(json, path, context, elements);
        self.contexts.pop();
        node.map(|node| Val::Node(Box::new(node)))
    }

    /// A term or a DTMI.
    fn named(&mut self, text: &'v str, range: Range, path: &str, context: Context) -> Option<Val<'v>> {
        let version = context.version;
        match range {
            Range::CommandType(terms) => {
                self.one_of(text, vocabulary::command_type_term(text, version), terms, path).map(Val::Term)
            }
            Range::Primitives(terms) => {
                self.one_of(text, vocabulary::primitive_term(text, version), terms, path).map(Val::Term)
            }
            Range::Unit => {
                let core = vocabulary::unit_term(text, version).filter(|_| version == 2);
                let unit = core.and_then(semantic::unit).or_else(|| {
                    let extension = context.extensions.quantitative()?;
                    semantic::quantitative_unit(extension.unit_term(text)?, extension.edition())
                });
                if unit.is_none() {
                    self.sink.report(path, format!("'{text}' is no unit"));
                }
                unit.map(Val::Unit)
            }
            Range::Schema => match types::schema_term(text, context) {
                Some(term) => Some(Val::Term(term)),
                None => self
                    .dtmi(text, "a schema, such as 'double', or the DTMI of one", path, context)
                    .map(Val::Reference),
            },
            _ => self.dtmi(text, "the DTMI of an element", path, context).map(Val::Reference),
        }
    }

    fn one_of(&mut self, text: &str, term: Option<&'v str>, terms: &[&str], path: &str) -> Option<&'v str> {
        let term = term.filter(|term| terms.contains(term));
        if term.is_none() {
            self.sink.report(path, format!("'{text}' is not allowed here; use {}", terms.join(" or ")));
        }
        term
    }

    fn dtmi(&mut self, text: &str, wanted: &str, path: &str, context: Context) -> Option<Dtmi> {
        if !text.starts_with("dtmi:") {
            let text: String = text.chars().take(80).collect();
            self.sink.report(path, format!("'{text}' is not known; give {wanted}"));
            return None;
        }
        literal::within(text, context.limits(self.limits).id_chars, path, self.sink)?;
        Dtmi::parse_user(text, context.version)
            .map_err(|error| self.sink.report(path, error.to_string()))
            .ok()
    }
}

/// The specification of a property, by its term or DTMI: of the language, or of a cotype.
fn spec(node: &Node<'_>, key: &str) -> Option<&'static PropertySpec> {
    let version = node.context.version;
    let core = vocabulary::property_term(key, version)
        .or_else(|| node.context.extensions.quantitative()?.property_term(key, ""))
        .and_then(|term| metamodel::property(node.kind, version, term))
        .filter(|spec| spec.name != "unit" || node.semantic.is_some());
    core.or_else(|| extension::property(&node.adjuncts, key))
}

/// Whether a property that has no meaning here may stand: beside a cotype that has none either, and after
/// DTDL v2 only in the form of a term or DTMI.
fn is_tenable(key: &str, version: u8, open: bool) -> bool {
    let is_formed = || match key.starts_with("dtmi:") {
        true => Dtmi::parse(key).is_ok(),
        false => vocabulary::is_term(key),
    };
    open && (version == 2 || is_formed())
}
