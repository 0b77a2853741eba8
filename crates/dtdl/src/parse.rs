//! Documents in; models, or every diagnostic, out.

use std::collections::HashMap;

use serde_json::Value;

use crate::element::{self, Model};
use crate::error::{Diagnostic, Sink};
use crate::limits::Limits;
use crate::locate::locate;
use crate::measure::{Excess, measure};
use crate::reader::Reader;

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
    parse_located(documents, limits).map(|located| located.into_iter().map(|(model, _)| model).collect())
}

/// As [`parse`], for one document as text: an Interface, or an array of Interfaces. Paths start at the document, `$`,
/// and every diagnostic has line and column.
///
/// # Errors
/// As there; or one, that the text is no JSON.
pub fn parse_text(text: &str, limits: &Limits) -> Result<Vec<Model>, Vec<Diagnostic>> {
    let document = read_json(text).map_err(|error| vec![error])?;
    parse(std::slice::from_ref(&document), limits).map_err(|mut errors| {
        for error in &mut errors {
            error.path = within(&error.path, "$[0]", "$");
        }
        locate(text, &mut errors);
        errors
    })
}

/// JSON, with or without a byte-order mark. Nesting is bounded by the JSON reader.
pub(crate) fn read_json(text: &str) -> Result<Value, Diagnostic> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let number = |n: usize| u32::try_from(n).ok().filter(|n| *n > 0);
        let mut diagnostic = Diagnostic::general("$", format!("the text is no JSON: {error}"));
        (diagnostic.line, diagnostic.column) = (number(error.line()), number(error.column()));
        diagnostic
    })
}

/// A path seen from another root: `$[0].contents` from `$[0]` as `$` is `$.contents`.
pub(crate) fn within(path: &str, root: &str, shown: &str) -> String {
    path.strip_prefix(root).map_or_else(|| path.to_owned(), |rest| format!("{shown}{rest}"))
}

/// Models, each with its path.
pub(crate) fn parse_located(
    documents: &[Value],
    limits: &Limits,
) -> Result<Vec<(Model, String)>, Vec<Diagnostic>> {
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
    if diagnostics.is_empty() { Ok(models) } else { Err(diagnostics) }
}

fn excess_message(excess: &Excess, limits: &Limits) -> String {
    match excess {
        Excess::Bytes => format!("the model is larger than {} bytes", limits.model_bytes),
        Excess::Depth => format!("the model is nested deeper than {} levels", limits.json_depth),
    }
}
