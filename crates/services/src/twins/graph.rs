//! The graphs of digital twins instances in memory, so that queries need not ask the store.
//!
//! ```text
//!   store's writer: COMMIT ──▶ observer: changes the graph ──▶ whoever committed is answered
//!   first query of an instance ──▶ load: pages from the store; what is committed meanwhile is applied behind them
//!   query, GET and PATCH of a twin ──▶ graph, where it is whole; the store otherwise
//! ```
//!
//! A read model, never the truth: it is built from the store when an instance is first queried and forgotten with the
//! process. Since the store tells of each commit before it is acknowledged, a query sees every acknowledged write here as
//! it would there. Only a store that sees all commits itself can do so: with PostgreSQL, which several nodes share,
//! queries read the store.
//!
//! All graphs together are bounded by [`Limits::graph_memory`](crate::Limits::graph_memory): one that does not fit is
//! not held, and its queries read the store.
//!
//! | file | concern |
//! |---|---|
//! | `memory` | one instance's graph: nodes, edges, what they are found by |
//! | `entry` | a twin and a relationship as they are held |
//! | `index` | twins by the value of a property that was declared, or is asked for often |
//! | `load` | building a graph from the store while it changes |

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard};
use pollux_model::ResourceName;
use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::resource::ResourceKind;
use pollux_store::property_indexes::IndexedProperty;
use pollux_store::store::DynStore;
use pollux_store::{Observer, Write};
use tokio::sync::Notify;

use super::indexes::declared;
use crate::Context;

mod entry;
mod index;
mod load;
mod memory;

pub(super) use entry::{Edge, Scalar, Twin};
pub(super) use index::Wanted;
pub(super) use memory::{Graph, NONE, Node};

/// Graphs of fewer twins need no index.
const SMALL: usize = 1000;
/// Properties remembered of which an index was missed.
const MISSED: usize = 1024;

/// All graphs of a process.
#[derive(Debug)]
pub(super) struct Graphs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Most bytes of all graphs together; 0: none is held.
    most: usize,
    held: RwLock<Held>,
    /// Told when a graph is whole, or was given up.
    settled: Notify,
    /// Properties that an index was missed on once.
    missed: Mutex<HashSet<(ResourceName, String)>>,
    /// Knows which indexes instances declare. Does not keep the store open.
    context: Weak<Context>,
}

impl Inner {
    fn new(most: usize, context: Weak<Context>) -> Arc<Self> {
        let (held, settled, missed) = <(RwLock<Held>, Notify, Mutex<_>)>::default();
        Arc::new(Self { most, held, settled, missed, context })
    }

    /// The properties that an instance declares an index on, as far as there are indexes in memory: directly in the twin.
    fn declared(&self, instance: &ResourceName) -> Vec<String> {
        let Some(context) = self.context.upgrade() else { return Vec::new() };
        let Some(resource) = context.table.named(ResourceKind::Twins, instance) else { return Vec::new() };
        let mut names: Vec<String> = declared::of(&resource).iter().filter_map(direct).collect();
        names.dedup();
        names
    }
}

fn direct(property: &IndexedProperty) -> Option<String> {
    match property.path() {
        [name] => Some(name.clone()),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Held {
    instances: HashMap<ResourceName, State>,
    /// Tells one loading of an instance from the next.
    loads: u64,
}

/// How far an instance's graph has come.
#[derive(Debug)]
enum State {
    /// It is read from the store, by the load of this number; these changes are to be applied behind it.
    Loading { load: u64, behind: Vec<Change>, bytes: usize },
    /// It is whole, and changes with each commit.
    Whole(Box<Graph>),
    /// It needs more memory than there is.
    TooLarge,
}

/// A change of a graph, made ready outside of the lock.
#[derive(Debug)]
enum Change {
    Twin(Twin),
    NoTwin(String),
    Relationship(Box<Relationship>),
    NoRelationship { source: String, id: String },
}

impl Change {
    fn apply(self, graph: &mut Graph) {
        match self {
            Self::Twin(twin) => graph.put_twin(twin),
            Self::NoTwin(id) => graph.delete_twin(&id),
            Self::Relationship(relationship) => graph.put_edge(&relationship),
            Self::NoRelationship { source, id } => graph.delete_edge(&source, &id),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Twin(twin) => twin.bytes(),
            Self::Relationship(relationship) => entry::bytes_of(relationship),
            Self::NoTwin(_) | Self::NoRelationship { .. } => 128,
        }
    }
}

/// What the store may be read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// The graph is in memory.
    Whole,
    /// It is being read.
    Loading,
    /// It does not fit.
    TooLarge,
    /// Graphs are not held in memory.
    Off,
}

impl Graphs {
    /// Nothing is read before it is wanted.
    pub(super) fn new(context: &Arc<Context>) -> Self {
        let most = context.limits.graph_memory;
        let inner = Inner::new(most, Arc::downgrade(context));
        let observer: Weak<Inner> = Arc::downgrade(&inner);
        if most > 0 && context.store.observe(observer) {
            return Self { inner };
        }
        Self { inner: Inner::new(0, Weak::new()) }
    }

    /// Whether graphs are held in memory.
    pub(super) fn are_held(&self) -> bool {
        self.inner.most > 0
    }

    /// Whether an instance's graph can be read. Where nobody has wanted it before, it is begun to be loaded.
    pub(super) fn want(&self, store: &DynStore, instance: &ResourceName) -> Presence {
        if self.inner.most == 0 {
            return Presence::Off;
        }
        match self.inner.held.read().instances.get(instance) {
            Some(State::Whole(_)) => return Presence::Whole,
            Some(State::Loading { .. }) => return Presence::Loading,
            Some(State::TooLarge) => return Presence::TooLarge,
            None => {}
        }
        if let Some(load) = self.inner.begin(instance) {
            tokio::spawn(load::load(Arc::clone(&self.inner), Arc::downgrade(store), instance.clone(), load));
        }
        Presence::Loading
    }

    /// Waits until a graph that is wanted is whole or given up.
    #[cfg(test)]
    pub(super) async fn settled(&self, store: &DynStore, instance: &ResourceName) -> Presence {
        self.want(store, instance);
        self.quiet(instance).await;
        self.want(store, instance)
    }

    /// Waits until the store is not read for a graph.
    #[cfg(test)]
    pub(super) async fn quiet(&self, instance: &ResourceName) {
        loop {
            let settled = self.inner.settled.notified();
            match self.inner.held.read().instances.get(instance) {
                Some(State::Loading { .. }) => {}
                _ => return,
            }
            settled.await;
        }
    }

    /// Forgets a graph, as if nobody had wanted it.
    #[cfg(test)]
    pub(super) fn forget(&self, instance: &ResourceName) {
        self.inner.forget(instance);
    }

    /// The graph, if it is whole. Commits wait while it is looked at.
    pub(super) fn read(&self, instance: &ResourceName) -> Option<impl std::ops::Deref<Target = Graph> + '_> {
        if self.inner.most == 0 {
            return None;
        }
        let held = self.inner.held.read();
        RwLockReadGuard::try_map(held, |held| match held.instances.get(instance) {
            Some(State::Whole(graph)) => Some(&**graph),
            _ => None,
        })
        .ok()
    }

    /// Says that all twins were looked at for want of an index on a property. When that happens again, one is made.
    pub(super) fn scanned(&self, instance: &ResourceName, property: &str) {
        if self.read(instance).is_none_or(|graph| graph.count(None) < SMALL) {
            return;
        }
        let mut missed = self.inner.missed.lock();
        if missed.remove(&(instance.clone(), property.to_owned())) {
            drop(missed);
            self.adopt(instance, property);
        } else if missed.len() < MISSED {
            missed.insert((instance.clone(), property.to_owned()));
        } else {
            missed.clear();
        }
    }

    /// Adopts the indexes that an instance declares, if its graph is whole; one that is read gets them in the end.
    pub(super) fn declare(&self, instance: &ResourceName) {
        for property in self.inner.declared(instance) {
            self.adopt(instance, &property);
        }
    }

    /// Adopts an index on a property, if the graph is whole and there is room. Queries go on meanwhile, commits wait.
    pub(super) fn adopt(&self, instance: &ResourceName, property: &str) {
        let held = self.inner.held.upgradable_read();
        let Some(State::Whole(graph)) = held.instances.get(instance) else { return };
        let Some(index) = graph.make_index(property) else { return };
        let all: usize = held.bytes();
        if all + index.bytes() > self.inner.most {
            return;
        }
        let declared = self.inner.declared(instance);
        let mut held = RwLockUpgradableReadGuard::upgrade(held);
        if let Some(State::Whole(graph)) = held.instances.get_mut(instance) {
            graph.adopt(property, index, &declared);
        }
    }
}

impl Held {
    fn bytes(&self) -> usize {
        let bytes = |state: &State| match state {
            State::Loading { bytes, .. } => *bytes,
            State::Whole(graph) => graph.bytes(),
            State::TooLarge => 0,
        };
        self.instances.values().map(bytes).sum()
    }
}

impl Inner {
    /// Begins to note changes; `None` if somebody was faster.
    fn begin(&self, instance: &ResourceName) -> Option<u64> {
        let mut held = self.held.write();
        if held.instances.contains_key(instance) {
            return None;
        }
        held.loads += 1;
        let load = held.loads;
        held.instances.insert(instance.clone(), State::Loading { load, behind: Vec::new(), bytes: 0 });
        Some(load)
    }

    /// Whether changes of an instance matter here.
    fn tracks(&self, instance: &ResourceName) -> bool {
        let held = self.held.read();
        matches!(held.instances.get(instance), Some(State::Loading { .. } | State::Whole(_)))
    }

    /// What a graph being loaded may grow to.
    fn room(&self) -> usize {
        self.most.saturating_sub(self.held.read().bytes())
    }

    /// Puts what was loaded in its place, with what changed meanwhile; `None` was too large, or could not be read.
    fn finish(&self, instance: &ResourceName, load: u64, loaded: Result<Graph, load::GivenUp>) {
        let mut held = self.held.write();
        let others = held.bytes();
        let Some(State::Loading { load: current, behind, bytes }) = held.instances.get_mut(instance) else {
            return;
        };
        if *current != load {
            return;
        }
        let (behind, noted) = (std::mem::take(behind), *bytes);
        let state = match loaded {
            Ok(mut graph) => {
                for change in behind {
                    change.apply(&mut graph);
                }
                graph.stamp(load);
                let room = self.most.saturating_sub(others - noted);
                let fits = graph.bytes() <= room;
                if fits {
                    graph.declare(&self.declared(instance), room);
                }
                Some(if fits { State::Whole(Box::new(graph)) } else { State::TooLarge })
            }
            Err(load::GivenUp::TooLarge) => Some(State::TooLarge),
            Err(load::GivenUp::Failed) => None,
        };
        if matches!(state, Some(State::TooLarge)) {
            too_large(instance, self.most);
        }
        match state {
            Some(state) => drop(held.instances.insert(instance.clone(), state)),
            None => drop(held.instances.remove(instance)),
        }
        tell(held.bytes());
        drop(held);
        self.settled.notify_waiters();
    }

    fn apply(&self, changes: Vec<(ResourceName, Change)>) {
        let mut gone = Vec::new();
        let mut held = self.held.write();
        for (instance, change) in changes {
            match held.instances.get_mut(&instance) {
                Some(State::Whole(graph)) => change.apply(graph),
                Some(State::Loading { behind, bytes, .. }) => {
                    *bytes += change.bytes();
                    behind.push(change);
                }
                Some(State::TooLarge) | None => {}
            }
        }
        let mut all = held.bytes();
        while all > self.most {
            let largest = held.instances.iter_mut().filter_map(|(name, state)| match state {
                State::Whole(graph) => Some((graph.bytes(), name, state)),
                State::Loading { bytes, .. } => Some((*bytes, name, state)),
                State::TooLarge => None,
            });
            let Some((bytes, name, state)) = largest.max_by_key(|(bytes, ..)| *bytes) else { break };
            too_large(name, self.most);
            gone.push(std::mem::replace(state, State::TooLarge));
            all -= bytes;
        }
        tell(all);
        // Taking a large graph apart takes a while; nobody need wait for it but this commit.
        drop(held);
        if !gone.is_empty() {
            self.settled.notify_waiters();
        }
    }

    fn forget(&self, instance: &ResourceName) {
        let gone = self.held.write().instances.remove(instance);
        drop(gone);
        self.settled.notify_waiters();
    }
}

impl Observer for Inner {
    fn committed(&self, writes: &mut dyn Iterator<Item = &Write>) {
        let mut changes = Vec::new();
        for write in writes {
            match write {
                Write::PutTwin { twins, twin, .. } if self.tracks(twins) => {
                    changes.push((twins.clone(), Change::Twin(Twin::new(twin))));
                }
                Write::DeleteTwin { twins, id, .. } => {
                    changes.push((twins.clone(), Change::NoTwin(id.clone())));
                }
                Write::PutRelationship { twins, relationship, .. } if self.tracks(twins) => {
                    changes.push((twins.clone(), Change::Relationship(relationship.clone())));
                }
                Write::DeleteRelationship { twins, source, id, .. } => {
                    let change = Change::NoRelationship { source: source.clone(), id: id.clone() };
                    changes.push((twins.clone(), change));
                }
                Write::DeleteResource { kind: ResourceKind::Twins, name, .. } => {
                    changes.retain(|(instance, _)| instance != name);
                    self.forget(name);
                }
                _ => {}
            }
        }
        if !changes.is_empty() {
            self.apply(changes);
        }
    }
}

fn too_large(instance: &ResourceName, most: usize) {
    metrics::counter!("pollux_twins_graphs_too_large_total").increment(1);
    tracing::warn!(
        %instance, most,
        "the twin graph does not fit into the memory allowed (limits.graph_memory); its queries read the store"
    );
}

fn tell(bytes: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is approximate")]
    metrics::gauge!("pollux_twins_graph_bytes").set(bytes as f64);
}

/// For a graph that is loaded: twins and relationships as the store gives them.
fn add_twin(graph: &mut Graph, twin: &DigitalTwin) {
    graph.put_twin(Twin::new(twin));
}

#[cfg(test)]
mod tests;
