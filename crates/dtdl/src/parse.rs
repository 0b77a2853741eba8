//! Documents in; models, or every diagnostic, out.

use std::collections::HashMap;

use serde_json::Value;

use crate::element::{self, Model};
use crate::error::{Diagnostic, Sink};
use crate::limits::Limits;
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
