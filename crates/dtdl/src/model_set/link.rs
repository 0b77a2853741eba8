//! Adds models to resolved ones: references checked, cycles found, contents merged in order of inheritance.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::dtmi::Dtmi;
use crate::element::{Content, Model};
use crate::error::Sink;
use crate::limits::Limits;
use crate::model_set::{Entry, Interface};

mod annotations;

/// Members of a cycle named in a message.
const SHOWN: usize = 12;

type Entries = HashMap<Dtmi, Arc<Entry>>;

/// The entries of `known` and `models`; not to be used where something was reported.
pub(super) fn link(known: &Entries, models: Vec<Model>, limits: &Limits, sink: &mut Sink) -> Entries {
    let mut entries = known.clone();
    let mut fresh: IndexMap<Dtmi, Arc<Model>> = IndexMap::with_capacity(models.len());
    for model in models {
        sink.enter(Some(model.id.clone()));
        if known.contains_key(&model.id) || fresh.contains_key(&model.id) {
            sink.report("$.@id", format!("model '{}' exists already; use another version", model.id));
        } else {
            fresh.insert(model.id.clone(), Arc::new(model));
        }
    }
    for model in fresh.values() {
        missing(model, &entries, &fresh, sink);
    }
    for id in inheritance_order(&fresh, sink) {
        let entry = entry(&fresh[&id], &entries, limits, sink);
        entries.insert(id, Arc::new(entry));
    }
    for model in fresh.values() {
        sink.enter(Some(model.id.clone()));
        nested_components(model, &entries, sink);
        annotations::check(model, &entries, sink);
        element_count(model, &entries, limits, sink);
    }
    entries
}

fn missing(model: &Model, entries: &Entries, fresh: &IndexMap<Dtmi, Arc<Model>>, sink: &mut Sink) {
    sink.enter(Some(model.id.clone()));
    let version = |id: &Dtmi| {
        let known = || entries.get(id).map(|entry| entry.model.version);
        fresh.get(id).map(|model| model.version).or_else(known)
    };
    let is_here = |id: &Dtmi| version(id).is_some();
    for id in model.dependencies() {
        if let Some(later) = version(&id).filter(|version| *version > model.version) {
            let message = format!(
                "model '{id}' is written in DTDL version {later}, this one in version {}; an Interface can use those of \
                 its own version and earlier ones",
                model.version
            );
            sink.report("$", message);
        }
    }
    for id in model.extends.iter().filter(|id| !is_here(id)) {
        sink.report("$.extends", format!("model '{id}' does not exist; give it too"));
    }
    for (name, content) in &model.contents {
        if let Content::Component(component) = content
            && !is_here(&component.schema)
        {
            let message = format!(
                "component '{name}' needs model '{}', which does not exist; give it too",
                component.schema
            );
            sink.report(model.content_path(name), message);
        }
    }
}

/// The new models, each after those it extends. Members of an extends cycle, and what extends them, are left out;
/// the cycle is reported.
fn inheritance_order(fresh: &IndexMap<Dtmi, Arc<Model>>, sink: &mut Sink) -> Vec<Dtmi> {
    let mut waiting: HashMap<&Dtmi, usize> = HashMap::with_capacity(fresh.len());
    let mut children: HashMap<&Dtmi, Vec<&Dtmi>> = HashMap::new();
    let mut ready: Vec<&Dtmi> = Vec::new();
    for (id, model) in fresh {
        let parents: Vec<_> = model.extends.iter().filter(|parent| fresh.contains_key(*parent)).collect();
        for parent in &parents {
            children.entry(parent).or_default().push(id);
        }
        if parents.is_empty() {
            ready.push(id);
        } else {
            waiting.insert(id, parents.len());
        }
    }
    let mut order = Vec::with_capacity(fresh.len());
    while let Some(id) = ready.pop() {
        order.push(id.clone());
        for child in children.get(id).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(child) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(child);
                    ready.push(child);
                }
            }
        }
    }
    report_cycles(fresh, &waiting, sink);
    order
}

/// Each cycle once. Every waiting model has a waiting parent, so following parents must come to a cycle.
fn report_cycles(fresh: &IndexMap<Dtmi, Arc<Model>>, waiting: &HashMap<&Dtmi, usize>, sink: &mut Sink) {
    let mut seen: HashSet<&Dtmi> = HashSet::new();
    for start in fresh.keys().filter(|id| waiting.contains_key(id)) {
        let mut trail: Vec<&Dtmi> = Vec::new();
        let mut at = start;
        while seen.insert(at) {
            trail.push(at);
            at = fresh[at].extends.iter().find(|parent| waiting.contains_key(parent)).unwrap_or(at);
        }
        // Not in the trail: this way leads into a cycle that was reported before.
        if let Some(from) = trail.iter().position(|id| *id == at) {
            let names: Vec<_> = trail[from..].iter().take(SHOWN).map(|id| id.as_str()).collect();
            let more = if trail.len() - from > SHOWN { " -> …" } else { "" };
            sink.enter(Some(at.clone()));
            sink.report(
                "$.extends",
                format!("the model extends itself: {}{more} -> {at}", names.join(" -> ")),
            );
        }
    }
}

fn entry(model: &Arc<Model>, entries: &Entries, limits: &Limits, sink: &mut Sink) -> Entry {
    sink.enter(Some(model.id.clone()));
    let limits = limits.of(model.version, model.limit_set);
    let parents: Vec<_> = model.extends.iter().filter_map(|id| entries.get(id)).collect();
    let depth = parents.iter().map(|parent| parent.depth + 1).max().unwrap_or(0);
    // Only the first level too many is reported, and nothing is inherited from there on, so that work stays bounded.
    let inherits = depth <= limits.extends_depth;
    if depth == limits.extends_depth + 1 {
        let message = format!(
            "the model has {depth} levels of extends above it; the limit is {}",
            limits.extends_depth
        );
        sink.report("$.extends", message);
    }
    let mut lineage = HashMap::from([(model.id.versionless().into_owned(), model.id.version())]);
    let mut ancestors = IndexSet::new();
    for parent in parents.into_iter().filter(|_| inherits) {
        // Whoever has this ancestor has all of its ancestors too.
        if ancestors.contains(&parent.model.id) {
            continue;
        }
        for (family, version) in &parent.lineage {
            let known = lineage.entry(family.clone()).or_insert(*version);
            *known = (*known).max(*version);
        }
        ancestors.extend(parent.ancestors.iter().cloned());
        ancestors.insert(parent.model.id.clone());
        if ancestors.len() > limits.extends_count {
            let message =
                format!("the model extends more than {} Interfaces, directly or not", limits.extends_count);
            sink.report("$.extends", message);
            break;
        }
    }
    let mut merged = Merged::default();
    for ancestor in ancestors.iter().filter_map(|id| entries.get(id)) {
        merged.own(&ancestor.model, sink);
    }
    merged.own(model, sink);
    let inherited = ancestors.iter().filter_map(|id| entries.get(id)).map(|entry| entry.model.elements);
    let elements = inherited.fold(model.elements, usize::saturating_add);
    let interface = merged.interface(model.id.clone());
    Entry { model: model.clone(), interface, lineage, ancestors, depth, elements }
}

/// Reports a model with too many elements under its contents, those of all it extends and of its Components counted.
/// Source: `DTDL.v3.md`, "Interface".
fn element_count(model: &Model, entries: &Entries, limits: &Limits, sink: &mut Sink) {
    let Some(entry) = entries.get(&model.id) else { return };
    let parts: HashSet<&Dtmi> =
        entry.interface.components.values().map(|component| &component.schema).collect();
    let parts = parts.into_iter().filter_map(|id| entries.get(id)).map(|entry| entry.elements);
    let elements = parts.fold(entry.elements, usize::saturating_add);
    let most = limits.of(model.version, model.limit_set).elements;
    if elements > most {
        let message = format!(
            "there are {elements} elements under the contents of the model, of all it extends and of its Components; \
             the limit is {most}"
        );
        sink.report("$.contents", message);
    }
}

/// Contents by name over all kinds, with the model that brought each.
#[derive(Default)]
struct Merged(IndexMap<String, (Content, Dtmi)>);

impl Merged {
    fn own(&mut self, model: &Model, sink: &mut Sink) {
        for (name, content) in &model.contents {
            self.add(name, content.clone(), model, sink);
        }
    }

    fn add(&mut self, name: &str, content: Content, from: &Model, sink: &mut Sink) {
        match self.0.get(name) {
            None => {
                self.0.insert(name.to_owned(), (content, from.id.clone()));
            }
            // The same definition along two ways.
            Some((known, _)) if known.is_same(&content) => {}
            Some((_, other)) => {
                let message = format!(
                    "'{name}' comes from '{other}' and from '{}'; names are unique over all that is extended",
                    from.id
                );
                sink.report("$.contents", message);
            }
        }
    }

    fn interface(self, id: Dtmi) -> Interface {
        let mut interface = Interface {
            id,
            properties: IndexMap::new(),
            telemetries: IndexMap::new(),
            commands: IndexMap::new(),
            relationships: IndexMap::new(),
            components: IndexMap::new(),
        };
        for (name, (content, _)) in self.0 {
            match content {
                Content::Property(property) => {
                    interface.properties.insert(name, property);
                }
                Content::Telemetry(telemetry) => {
                    interface.telemetries.insert(name, telemetry);
                }
                Content::Command(command) => {
                    interface.commands.insert(name, command);
                }
                Content::Relationship(relationship) => {
                    interface.relationships.insert(name, relationship);
                }
                Content::Component(component) => {
                    interface.components.insert(name, component);
                }
            }
        }
        interface
    }
}

/// A Component's Interface has no Components, its own or inherited.
fn nested_components(model: &Model, entries: &Entries, sink: &mut Sink) {
    for (name, content) in &model.contents {
        if let Content::Component(component) = content
            && let Some(part) = entries.get(&component.schema)
            && let Some(inner) = part.interface.components.keys().next()
        {
            let message = format!(
                "component '{name}' is of model '{}', which has a component itself ('{inner}'); components cannot be nested",
                component.schema
            );
            sink.report(model.content_path(name), message);
        }
    }
}
