//! Adds models to resolved ones: references checked, cycles found, contents merged in order of inheritance.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::dtmi::Dtmi;
use crate::element::{Content, Model};
use crate::error::Sink;
use crate::limits::Limits;
use crate::model_set::{Entry, Interface};

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
        nested_components(model, &entries, sink);
    }
    entries
}

fn missing(model: &Model, entries: &Entries, fresh: &IndexMap<Dtmi, Arc<Model>>, sink: &mut Sink) {
    sink.enter(Some(model.id.clone()));
    let is_here = |id: &Dtmi| entries.contains_key(id) || fresh.contains_key(id);
    for id in model.extends.iter().filter(|id| !is_here(id)) {
        sink.report("$.extends", format!("model '{id}' does not exist; upload it before, or together"));
    }
    for (name, content) in &model.contents {
        if let Content::Component(component) = content
            && !is_here(&component.schema)
        {
            let message = format!(
                "component '{name}' needs model '{}', which does not exist; upload it before, or together",
                component.schema
            );
            sink.report("$.contents", message);
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
    let mut merged = Merged::default();
    let mut lineage = HashMap::from([(model.id.versionless().into_owned(), model.id.version())]);
    let mut ancestors = HashSet::new();
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
    for parent in parents.into_iter().filter(|_| inherits) {
        for (family, version) in &parent.lineage {
            let known = lineage.entry(family.clone()).or_insert(*version);
            *known = (*known).max(*version);
        }
        ancestors.insert(parent.model.id.clone());
        ancestors.extend(parent.ancestors.iter().cloned());
        for (name, content) in contents(&parent.interface) {
            merged.add(name, content, &parent.model.id, sink);
        }
    }
    for (name, content) in &model.contents {
        merged.add(name, content.clone(), &model.id, sink);
    }
    Entry { model: model.clone(), interface: merged.interface(model.id.clone()), lineage, ancestors, depth }
}

/// Contents by name over all kinds, with the model that brought each.
#[derive(Default)]
struct Merged(IndexMap<String, (Content, Dtmi)>);

impl Merged {
    fn add(&mut self, name: &str, content: Content, from: &Dtmi, sink: &mut Sink) {
        match self.0.get(name) {
            None => {
                self.0.insert(name.to_owned(), (content, from.clone()));
            }
            // The same definition along two ways.
            Some((known, _)) if known.is_same(&content) => {}
            Some((_, other)) => {
                let message = format!(
                    "'{name}' comes from '{other}' and from '{from}'; names are unique over all that is extended"
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

fn contents(interface: &Interface) -> impl Iterator<Item = (&String, Content)> {
    let properties = interface.properties.iter().map(|(name, c)| (name, Content::Property(c.clone())));
    let telemetries = interface.telemetries.iter().map(|(name, c)| (name, Content::Telemetry(c.clone())));
    let commands = interface.commands.iter().map(|(name, c)| (name, Content::Command(c.clone())));
    let relationships =
        interface.relationships.iter().map(|(name, c)| (name, Content::Relationship(c.clone())));
    let components = interface.components.iter().map(|(name, c)| (name, Content::Component(c.clone())));
    properties.chain(telemetries).chain(commands).chain(relationships).chain(components)
}

/// DTDL v2: a Component's Interface has no Components, its own or inherited.
fn nested_components(model: &Model, entries: &Entries, sink: &mut Sink) {
    sink.enter(Some(model.id.clone()));
    for (name, content) in &model.contents {
        if let Content::Component(component) = content
            && let Some(part) = entries.get(&component.schema)
            && let Some(inner) = part.interface.components.keys().next()
        {
            let message = format!(
                "component '{name}' is of model '{}', which has a component itself ('{inner}'); components cannot be nested",
                component.schema
            );
            sink.report("$.contents", message);
        }
    }
}
