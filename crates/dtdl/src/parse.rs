//! Documents in; models, or every diagnostic, out.

use std::collections::HashMap;

use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::element::{self, Model};
use crate::error::{Diagnostic, Sink};
use crate::json;
use crate::limits::Limits;
use crate::locate::locate;
use crate::measure::{Excess, measure};
use crate::metamodel::Kind;
use crate::reader::{Node, Reader, Val};

/// Parses DTDL documents and checks each model for itself: syntax, types, names, limits, and the references that
/// stay within the model. References between models are checked by [`crate::ModelSet::with`].
///
/// `documents` is the body of ADT's `POST /models`: each item is an Interface, or an array of Interfaces. An
/// Interface defined inside another (as a Component's schema or under `extends`) becomes a model of its own, after
/// the one that holds it. The order is otherwise that of the documents.
///
/// # Errors
/// All diagnostics found, at least one, at most `limits.diagnostics` and one that counts the rest.
pub fn parse(documents: &[Value], limits: &Limits) -> Result<Vec<Model>, Vec<Diagnostic>> {
    match parse_located(documents, limits) {
        Ok(located) => Ok(located.into_iter().map(|(model, _)| model).collect()),
        Err(unread) => Err(unread.errors),
    }
}

/// As [`parse`], for one document as text: an Interface, or an array of Interfaces. Paths start at the document, `$`,
/// and every diagnostic has line and column.
///
/// # Errors
/// As there; or one, that the text is no JSON.
pub fn parse_text(text: &str, limits: &Limits) -> Result<Vec<Model>, Vec<Diagnostic>> {
    let document = json::read(text).map_err(|error| vec![error])?;
    parse(std::slice::from_ref(&document), limits).map_err(|mut errors| {
        for error in &mut errors {
            error.path = within(&error.path, "$[0]", "$");
        }
        locate(text, &mut errors);
        errors
    })
}

/// A path seen from another root: `$[0].contents` from `$[0]` as `$` is `$.contents`.
pub(crate) fn within(path: &str, root: &str, shown: &str) -> String {
    path.strip_prefix(root).map_or_else(|| path.to_owned(), |rest| format!("{shown}{rest}"))
}

/// Documents that could not be read, and what they refer to all the same: with it, a whole set can be told of models that
/// are missing without another round.
pub(crate) struct Unread {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) references: Vec<Reference>,
}

/// A reference to another model.
pub(crate) struct Reference {
    pub(crate) from: Option<Dtmi>,
    pub(crate) path: String,
    pub(crate) to: Dtmi,
}

/// Models, each with its path.
pub(crate) fn parse_located(documents: &[Value], limits: &Limits) -> Result<Vec<(Model, String)>, Unread> {
    let mut sink = Sink::new(limits.diagnostics);
    let mut reader = Reader { limits, sink: &mut sink, defined: HashMap::new(), contexts: Vec::new() };
    let mut nodes = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        let path = format!("$[{index}]");
        match measure(document, limits.model_bytes, limits.json_depth) {
            Ok(()) => {}
            Err(Excess::Bytes) if document.is_array() => {}
            Err(excess) => {
                reader.sink.report(path, excess_message(&excess, limits));
                continue;
            }
        }
        match document {
            Value::Array(items) => {
                for (inner, item) in items.iter().enumerate() {
                    let path = format!("{path}[{inner}]");
                    match measure(item, limits.model_bytes, limits.json_depth) {
                        Ok(()) => nodes.extend(reader.document(item, &path)),
                        Err(excess) => reader.sink.report(path, excess_message(&excess, limits)),
                    }
                }
            }
            single => nodes.extend(reader.document(single, &path)),
        }
    }
    let defined = std::mem::take(&mut reader.defined);
    let mut models = Vec::with_capacity(nodes.len());
    for node in &nodes {
        element::build(node, &defined, limits, &mut sink, &mut models);
    }
    let diagnostics = sink.finish();
    if diagnostics.is_empty() {
        return Ok(models);
    }
    let mut references = Vec::new();
    for node in &nodes {
        refer(node, None, &mut references);
    }
    Err(Unread { errors: diagnostics, references })
}

/// The models that an Interface, and those inside it, extend and have as parts.
/// Recursion is bounded by the depth of the document, which was measured.
fn refer(node: &Node<'_>, around: Option<&Dtmi>, references: &mut Vec<Reference>) {
    let from = if node.kind == Kind::Interface { node.id.as_ref() } else { around };
    for entry in &node.properties {
        let is_model = match node.kind {
            Kind::Interface => entry.name == "extends",
            Kind::Component => entry.name == "schema",
            _ => false,
        };
        for value in &entry.values {
            match value {
                Val::Reference(to) if is_model => {
                    references.push(Reference {
                        from: from.cloned(),
                        path: entry.path.clone(),
                        to: to.clone(),
                    });
                }
                Val::Node(child) => refer(child, from, references),
                _ => {}
            }
        }
    }
}

fn excess_message(excess: &Excess, limits: &Limits) -> String {
    match excess {
        Excess::Bytes => format!("the model is larger than {} bytes", limits.model_bytes),
        Excess::Depth => format!("the model is nested deeper than {} levels", limits.json_depth),
    }
}
