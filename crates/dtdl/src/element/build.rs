//! The state of building one Interface: where its identified elements are, its schemas built so far, and the
//! checks that several kinds of element share.

use std::collections::HashMap;

use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::element::Model;
use crate::error::Sink;
use crate::limits::Limits;
use crate::metamodel::{self, Kind};
use crate::reader::{Node, Val};
use crate::schema::{Primitive, Schema, SchemaCache};
use crate::semantic::{self, Unit};

/// Where each `@id` of the set is defined, and as what.
pub(crate) type Defined = HashMap<Dtmi, (Kind, String)>;

/// Builds the model of an Interface and of the Interfaces inside it, and adds them to `models`, each with its path.
pub(crate) fn build(
    node: &Node<'_>,
    defined: &Defined,
    limits: &Limits,
    sink: &mut Sink,
    models: &mut Vec<(Model, String)>,
) {
    let mut pending = vec![node];
    while let Some(node) = pending.pop() {
        let outer = sink.enter(node.id.clone());
        let mut local = HashMap::new();
        let mut inner = Vec::new();
        collect(node, &mut local, &mut inner);
        pending.extend(inner.into_iter().rev());
        let mut builder = Builder { limits, sink, defined, local, schemas: SchemaCache::default() };
        let model = Model::build(node, &mut builder);
        models.extend(model.map(|model| (model, node.path.clone())));
        sink.enter(outer);
    }
}

/// Finds the identified elements of an Interface, and the Interfaces defined inside it, which are apart.
/// Recursion is bounded by the depth of the document, which was measured.
fn collect<'n, 'v>(
    node: &'n Node<'v>,
    local: &mut HashMap<&'n Dtmi, &'n Node<'v>>,
    inner: &mut Vec<&'n Node<'v>>,
) {
    for value in node.properties.iter().flat_map(|entry| &entry.values) {
        let Val::Node(child) = value else { continue };
        if child.kind == Kind::Interface {
            inner.push(child);
            continue;
        }
        if let Some(id) = &child.id {
            local.insert(id, child);
        }
        collect(child, local, inner);
    }
}

/// The Interface that is being built.
pub(crate) struct Builder<'n, 'v> {
    pub(crate) limits: &'n Limits,
    pub(crate) sink: &'n mut Sink,
    pub(crate) schemas: SchemaCache,
    pub(crate) local: HashMap<&'n Dtmi, &'n Node<'v>>,
    defined: &'n Defined,
}

impl<'n, 'v> Builder<'n, 'v> {
    /// The elements of a property: those given in place and those referred to, which must be in this Interface.
    pub(crate) fn local(&mut self, node: &'n Node<'v>, property: &str, kinds: &[Kind]) -> Vec<&'n Node<'v>> {
        let Some(entry) = node.entry(property) else { return Vec::new() };
        let mut found: Vec<&'n Node<'v>> = Vec::with_capacity(entry.values.len());
        for value in &entry.values {
            match value {
                Val::Node(child) => found.push(child),
                Val::Reference(id) => found.extend(self.resolve(id, kinds, &entry.path)),
                _ => {}
            }
        }
        for child in &found {
            self.check_version(node, property, child);
        }
        found
    }

    /// Reports an element whose version of the language does not fit that of the element that has it.
    pub(crate) fn check_version(&mut self, node: &Node<'_>, property: &str, child: &Node<'_>) {
        let (own, other) = (node.context.version, child.context.version);
        if other > own || (other < own && !metamodel::takes_earlier(property)) {
            let message = format!(
                "is written in DTDL version {other}; '{property}' here takes elements of version {own}"
            );
            self.sink.report(&*child.path, message);
        }
    }

    /// The element of this Interface with an identifier, of one of these kinds.
    pub(crate) fn resolve(&mut self, id: &Dtmi, kinds: &[Kind], path: &str) -> Option<&'n Node<'v>> {
        match self.local.get(id) {
            Some(node) if kinds.contains(&node.kind) => Some(node),
            Some(node) => {
                self.sink.report(path, format!("'{id}' is of type {:?}; {kinds:?} is needed", node.kind));
                None
            }
            None => {
                let message =
                    format!("'{id}' is not defined in this Interface; define it under 'schemas' or in place");
                self.sink.report(path, message);
                None
            }
        }
    }

    /// The Interfaces of a property, given in place or by name; each once.
    pub(crate) fn interfaces(&mut self, node: &'n Node<'v>, property: &str) -> Vec<Dtmi> {
        let Some(entry) = node.entry(property) else { return Vec::new() };
        let mut ids: Vec<Dtmi> = Vec::with_capacity(entry.values.len());
        for value in &entry.values {
            let id = match value {
                Val::Node(child) => child.id.clone(),
                Val::Reference(id) => {
                    self.expect_interface(id, &entry.path);
                    Some(id.clone())
                }
                _ => None,
            };
            ids.extend(id.filter(|id| !ids.contains(id)));
        }
        ids
    }

    /// Reports an identifier that this set of documents defines as something else than an Interface.
    pub(crate) fn expect_interface(&mut self, id: &Dtmi, path: &str) {
        if let Some((kind, _)) = self.defined.get(id)
            && *kind != Kind::Interface
        {
            self.sink.report(path, format!("'{id}' is of type {kind:?}; an Interface is needed"));
        }
    }

    /// How many elements there are from this one on, itself included; Interfaces inside are apart.
    /// Recursion is bounded by the depth of the document.
    pub(crate) fn count(&self, node: &Node<'_>) -> usize {
        let children =
            node.properties.iter().flat_map(|entry| &entry.values).filter_map(|value| match value {
                Val::Node(child) if child.kind != Kind::Interface => Some(child),
                _ => None,
            });
        1 + children.map(|child| self.count(child)).sum::<usize>()
    }

    pub(crate) fn duplicate_name(&mut self, node: &Node<'_>, path: &str, of: &str) {
        let name = node.text("name").unwrap_or_default();
        self.sink.report(
            format!("{path}.name"),
            format!("'{name}' is used twice among the {of}; names are unique there"),
        );
    }

    /// Checks schema and unit against the semantic type.
    pub(crate) fn check_semantics(&mut self, node: &Node<'_>, schema: Option<&Schema>) {
        let Some(semantic) = node.semantic else { return };
        let version = node.context.version;
        let is_number = |schema: &Schema| matches!(schema, Schema::Primitive(p) if p.is_numeric());
        let fits =
            |schema: &Schema| if semantic.vector { schema == &Schema::vector() } else { is_number(schema) };
        if schema.is_some_and(|schema| !fits(schema)) {
            let wanted =
                if semantic.vector { "vector".to_owned() } else { Primitive::numeric_terms(version) };
            let message = format!("semantic type {} needs a schema that is one of {wanted}", semantic.name);
            self.sink.report(format!("{}.schema", node.path), message);
        }
        if let Some(unit) = self.unit(node)
            && unit.unit_type != semantic.unit_type
        {
            let units = semantic::units_of(semantic.unit_type, node.context.edition()).join(", ");
            let message = format!(
                "'{}' is no {}; semantic type {} takes {units}",
                unit.name, semantic.unit_type, semantic.name
            );
            self.sink.report(format!("{}.unit", node.path), message);
        }
    }

    pub(crate) fn unit(&self, node: &Node<'_>) -> Option<&'static Unit> {
        match node.value("unit")? {
            Val::Unit(unit) => Some(unit),
            _ => None,
        }
    }

    /// The document of an Interface, complete by itself: with all contexts around it, where there are any.
    pub(crate) fn source(&self, node: &Node<'_>) -> Value {
        let mut json = node.json.clone();
        let is_inner = node.contexts.len() > 1 || !json.contains_key("@context");
        if is_inner {
            let names = node.contexts.iter().flat_map(|context| match context {
                Value::Array(items) => items.as_slice(),
                single => std::slice::from_ref(*single),
            });
            let context = Value::Array(names.cloned().collect());
            json.shift_remove("@context");
            json.shift_insert(0, "@context".to_owned(), context);
        }
        Value::Object(json)
    }
}
