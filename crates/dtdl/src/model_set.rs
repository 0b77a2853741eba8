//! A set of models whose references hold, with inheritance worked out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::dtmi::Dtmi;
use crate::element::{Command, Component, Model, Property, Relationship, Telemetry};
use crate::error::{Diagnostic, Sink};
use crate::limits::Limits;

mod link;

/// An immutable set of resolved models. Cloning shares it; changing it makes another set.
///
/// Everything asked per request ([`ModelSet::get`], [`ModelSet::is_of`]) is one or two hash look-ups: inherited
/// contents and ancestors are worked out when the set is made.
#[derive(Debug, Clone, Default)]
pub struct ModelSet(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Dtmi, Arc<Entry>>,
    /// For each model, those that name it in `extends` or as a Component's schema; sorted.
    referenced_by: HashMap<Dtmi, Vec<Dtmi>>,
    /// For each identifier without version, the models that are or extend some version of it, with the highest
    /// such version; sorted by identifier.
    families: Families,
}

/// Major and minor version.
type Version = (u32, u32);
type Families = HashMap<String, Vec<(Version, Dtmi)>>;

#[derive(Debug)]
struct Entry {
    model: Arc<Model>,
    interface: Interface,
    /// The identifiers without version of this model and all it extends, each with its highest version.
    lineage: HashMap<String, Version>,
    /// Everything it extends, directly or not; in order of inheritance, the farthest first.
    ancestors: IndexSet<Dtmi>,
    /// Levels of inheritance above it.
    depth: usize,
    /// Elements under its contents, with those of all it extends.
    elements: usize,
}

/// A model with everything it inherits: what a twin of this model can have. Each map is by name, inherited contents
/// first.
#[derive(Debug, Clone)]
pub struct Interface {
    /// The model.
    pub id: Dtmi,
    /// State.
    pub properties: IndexMap<String, Arc<Property>>,
    /// Streams.
    pub telemetries: IndexMap<String, Arc<Telemetry>>,
    /// Functions.
    pub commands: IndexMap<String, Arc<Command>>,
    /// Links.
    pub relationships: IndexMap<String, Arc<Relationship>>,
    /// Parts. Whether a part's Interface exists was checked.
    pub components: IndexMap<String, Arc<Component>>,
}

impl ModelSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This set and more models, which may refer to each other and to those here; with Azure's limits.
    ///
    /// # Errors
    /// See [`ModelSet::with_limits`].
    pub fn with(&self, models: Vec<Model>) -> Result<Self, Vec<Diagnostic>> {
        self.with_limits(models, &Limits::azure())
    }

    /// As [`ModelSet::with`], with other limits.
    ///
    /// # Errors
    /// All faults found: an identifier that is here already or twice among `models`; a dependency that is
    /// in neither; an extends cycle; too many levels of extends; a name that two inherited contents share; a
    /// Component whose Interface has Components itself. This set is unchanged.
    pub fn with_limits(&self, models: Vec<Model>, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        let mut sink = Sink::new(limits.diagnostics);
        let entries = link::link(&self.0.entries, models, limits, &mut sink);
        let diagnostics = sink.finish();
        if diagnostics.is_empty() { Ok(Self::index(entries)) } else { Err(diagnostics) }
    }

    /// This set without some models. Identifiers that are not here are ignored.
    ///
    /// # Errors
    /// One diagnostic for each model that stays and refers to one that goes. This set is unchanged.
    pub fn without(&self, ids: &[Dtmi]) -> Result<Self, Vec<Diagnostic>> {
        let leaving: HashSet<&Dtmi> = ids.iter().collect();
        let mut sink = Sink::new(Limits::azure().diagnostics);
        for id in ids {
            let staying: Vec<_> =
                self.referenced_by(id).into_iter().filter(|by| !leaving.contains(by)).collect();
            for by in staying {
                sink.enter(Some(id.clone()));
                sink.report("$", format!("'{by}' refers to '{id}'; remove it first, or together"));
            }
        }
        let diagnostics = sink.finish();
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let mut entries = self.0.entries.clone();
        entries.retain(|id, _| !leaving.contains(id));
        Ok(Self::index(entries))
    }

    /// The resolved view of a model.
    #[must_use]
    pub fn get(&self, id: &Dtmi) -> Option<&Interface> {
        self.0.entries.get(id).map(|entry| &entry.interface)
    }

    /// A model as its author wrote it.
    #[must_use]
    pub fn model(&self, id: &Dtmi) -> Option<&Arc<Model>> {
        self.0.entries.get(id).map(|entry| &entry.model)
    }

    /// All models, in no order.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.0.entries.values().map(|entry| &entry.model)
    }

    /// How many models there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Whether a twin of `model` is of `ancestor`, as ADT's `IS_OF_MODEL` has it: with `exact`, the same model;
    /// otherwise `model` or something it extends is `ancestor` or a higher version of it.
    /// Source: article "Query the Azure Digital Twins twin graph", "Query by model".
    #[must_use]
    pub fn is_of(&self, model: &Dtmi, ancestor: &Dtmi, exact: bool) -> bool {
        if exact || model == ancestor {
            return model == ancestor;
        }
        let Some(entry) = self.0.entries.get(model) else { return false };
        entry.lineage.get(&*ancestor.versionless()).is_some_and(|version| *version >= ancestor.version())
    }

    /// Whether `model` extends `ancestor`, directly or not, by that very version.
    #[must_use]
    pub fn extends(&self, model: &Dtmi, ancestor: &Dtmi) -> bool {
        self.0.entries.get(model).is_some_and(|entry| entry.ancestors.contains(ancestor))
    }

    /// All models of which [`ModelSet::is_of`] holds without `exact`: the model, higher versions of it and
    /// everything that extends any of these; sorted.
    #[must_use]
    pub fn descendants(&self, ancestor: &Dtmi) -> Vec<Dtmi> {
        let family = self.0.families.get(&*ancestor.versionless()).map(Vec::as_slice).unwrap_or_default();
        let wanted = ancestor.version();
        family.iter().filter(|(version, _)| *version >= wanted).map(|(_, id)| id.clone()).collect()
    }

    /// The models that name this one in `extends` or as a Component's schema; sorted.
    #[must_use]
    pub fn referenced_by(&self, id: &Dtmi) -> Vec<Dtmi> {
        self.0.referenced_by.get(id).cloned().unwrap_or_default()
    }

    fn index(entries: HashMap<Dtmi, Arc<Entry>>) -> Self {
        let mut referenced_by: HashMap<Dtmi, Vec<Dtmi>> = HashMap::new();
        let mut families = Families::new();
        let mut ids: Vec<&Dtmi> = entries.keys().collect();
        ids.sort_unstable();
        for id in ids {
            let entry = &entries[id];
            for dependency in entry.model.dependencies() {
                referenced_by.entry(dependency).or_default().push(id.clone());
            }
            for (family, version) in &entry.lineage {
                families.entry(family.clone()).or_default().push((*version, id.clone()));
            }
        }
        Self(Arc::new(Inner { entries, referenced_by, families }))
    }
}
