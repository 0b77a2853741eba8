//! The cotypes `ValueAnnotation` and `Override`, whose targets may be inherited.
//! Source: `DTDL.annotation.v2.md`, `DTDL.overriding.v2.md`.

use std::collections::HashSet;

use crate::element::{Content, Meta, Model};
use crate::error::Sink;
use crate::model_set::Interface;
use crate::schema::Schema;
use crate::semantic::{Edition, SemanticType};

use super::Entries;

/// Checks what a model's own contents annotate and override.
pub(super) fn check(model: &Model, entries: &Entries, sink: &mut Sink) {
    let Some(entry) = entries.get(&model.id) else { return };
    let mut overridden = HashSet::new();
    for (name, content) in &model.contents {
        let Some(annotates) = text(content.meta(), "annotates") else { continue };
        let target = Target::find(&entry.interface, annotates);
        let Some(target) = target.filter(|target| !target.meta.cotypes.contains(&"ValueAnnotation")) else {
            let message = format!(
                "'{name}' annotates '{annotates}', which is no Property or Telemetry of the Interface, or annotates itself"
            );
            sink.report(model.content_path(name), message);
            continue;
        };
        let Some(overrides) = text(content.meta(), "overrides") else { continue };
        let property = overrides.rsplit(':').next().unwrap_or(overrides);
        if let Some(message) = target.fault(property, content) {
            sink.report(
                model.content_path(name),
                format!("'{name}' overrides '{property}' of '{annotates}': {message}"),
            );
        }
        if !overridden.insert((annotates, property)) {
            sink.report(
                model.content_path(name),
                format!("'{property}' of '{annotates}' is overridden twice"),
            );
        }
    }
}

fn text<'m>(meta: &'m Meta, property: &str) -> Option<&'m str> {
    meta.extension_properties.get(property)?.as_str()
}

/// What is annotated.
struct Target<'m> {
    meta: &'m Meta,
    semantic: Option<&'static SemanticType>,
}

impl<'m> Target<'m> {
    fn find(interface: &'m Interface, name: &str) -> Option<Self> {
        let property =
            interface.properties.get(name).map(|p| Self { meta: &p.meta, semantic: p.semantic_type });
        let telemetry =
            || interface.telemetries.get(name).map(|t| Self { meta: &t.meta, semantic: t.semantic_type });
        property.or_else(telemetry)
    }

    /// What is wrong with overriding a property of it by `content`.
    fn fault(&self, property: &str, content: &Content) -> Option<String> {
        if property != "unit" {
            let is_there = self.meta.extension_properties.contains_key(property);
            return (!is_there).then(|| "no extension gives it such a property".to_owned());
        }
        let Some(semantic) = self.semantic else { return Some("it has no semantic type".to_owned()) };
        // Overriding is of DTDL v3 and later, where the units of one or another QuantitativeTypes are in force.
        let fits = [Edition::First, Edition::Third].into_iter().any(|edition| {
            let wanted = Schema::units(semantic.unit_type, edition);
            matches!(content, Content::Property(property) if *property.schema == wanted)
        });
        (!fits).then(|| format!("the schema must be {}", semantic.unit_type))
    }
}
