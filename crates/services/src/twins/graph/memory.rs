//! One instance's graph.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pollux_model::digital_twin::Relationship;

use super::index::Index;
use super::{Edge, Twin};

/// No node, no edge.
pub(crate) const NONE: u32 = u32::MAX;
/// Properties that have an index at most, unless more are declared; adopting another one drops the one that was adopted
/// first, of those that are not declared.
const INDEXES: usize = 16;

/// Twins and relationships by number, and what they are found by.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Option<Edge>>,
    free_nodes: Vec<u32>,
    free_edges: Vec<u32>,
    by_id: HashMap<Arc<str>, u32>,
    in_order: BTreeMap<Arc<str>, u32>,
    by_model: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u32>>,
    /// Names of relationships and properties, each once.
    names: HashMap<Arc<str>, Arc<str>>,
    indexes: Vec<(Box<str>, Index)>,
    /// Changes with everything else.
    version: u64,
    bytes: usize,
}

/// A twin, or the end of a relationship whose twin is not there: while a graph is loaded, its parts may come in any order.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) id: Arc<str>,
    pub(crate) twin: Option<Arc<Twin>>,
    /// Edges that leave, in the order of their ids.
    pub(crate) leaving: Vec<u32>,
    /// Edges that arrive, in the order of their sources and ids.
    pub(crate) arriving: Vec<u32>,
}

impl Graph {
    /// About what it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.indexes.iter().map(|(_, index)| index.bytes()).sum::<usize>()
    }

    /// Another number means that something may have changed, and that numbers of nodes and edges may have been given anew.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Tells this graph's versions from those of the one before it.
    pub(super) const fn stamp(&mut self, load: u64) {
        self.version = self.version.wrapping_add(load << 40);
    }

    pub(crate) fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }

    pub(crate) fn edge(&self, number: u32) -> Option<&Edge> {
        self.edges.get(number as usize)?.as_ref()
    }

    /// The twin of this id, and its node.
    pub(crate) fn find(&self, id: &str) -> Option<(u32, &Arc<Twin>)> {
        let number = *self.by_id.get(id)?;
        Some((number, self.node(number)?.twin.as_ref()?))
    }

    /// The edge of a source with this id.
    pub(crate) fn find_edge(&self, source: &str, id: &str) -> Option<u32> {
        let source = self.node(*self.by_id.get(source)?)?;
        let at = source.leaving.binary_search_by(|edge| self.edge_id(*edge).cmp(id)).ok()?;
        source.leaving.get(at).copied()
    }

    /// How many twins there are, of these models or in all.
    pub(crate) fn count(&self, models: Option<&[String]>) -> usize {
        let of = |model: &str| self.by_model.get(model).map_or(0, BTreeMap::len);
        match models {
            None => self.by_model.values().map(BTreeMap::len).sum(),
            Some(models) => models.iter().map(|model| of(model)).sum(),
        }
    }

    /// Twins of these models, or all, behind an id and in the order of ids, at most `limit`.
    pub(crate) fn twins(&self, models: Option<&[String]>, after: Option<&str>, limit: usize) -> Vec<u32> {
        use std::ops::Bound;
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::<&str>::Unbounded);
        let Some(models) = models else {
            let there = |number: &&u32| self.node(**number).is_some_and(|node| node.twin.is_some());
            return self
                .in_order
                .range::<str, _>(range)
                .map(|(_, number)| number)
                .filter(there)
                .take(limit)
                .copied()
                .collect();
        };
        let lists = models.iter().filter_map(|model| self.by_model.get(model.as_str()));
        let mut found: Vec<(&str, u32)> = lists
            .flat_map(|list| list.range::<str, _>(range).take(limit).map(|(id, number)| (&**id, *number)))
            .collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().take(limit).map(|(_, number)| number).collect()
    }

    /// The place in a node's edges behind the one with this key, whether or not that is there.
    pub(crate) fn behind(&self, node: &Node, arriving: bool, source: &str, id: &str) -> usize {
        if arriving {
            return node.arriving.partition_point(|edge| self.arrival(*edge) <= (source, id));
        }
        node.leaving.partition_point(|edge| self.edge_id(*edge) <= id)
    }

    pub(crate) fn index(&self, property: &str) -> Option<&Index> {
        self.indexes.iter().find(|(name, _)| **name == *property).map(|(_, index)| index)
    }

    /// An index on a property; `None` if there is one.
    pub(super) fn make_index(&self, property: &str) -> Option<Index> {
        if self.index(property).is_some() {
            return None;
        }
        let mut index = Index::default();
        for (number, node) in (0..).zip(&self.nodes) {
            if let Some(value) = node.twin.as_ref().and_then(|twin| twin.column(property)) {
                index.put(value, &node.id, number);
            }
        }
        Some(index)
    }

    pub(super) fn adopt(&mut self, property: &str, index: Index, declared: &[String]) {
        let is_declared = |name: &str| declared.iter().any(|declared| declared == name);
        if self.indexes.len() >= INDEXES {
            match self.indexes.iter().position(|(name, _)| !is_declared(name)) {
                Some(first) => drop(self.indexes.remove(first)),
                None if !is_declared(property) => return,
                None => {}
            }
        }
        self.indexes.push((property.into(), index));
    }

    /// Adopts all of these, as far as the whole graph then has room.
    pub(super) fn declare(&mut self, declared: &[String], room: usize) {
        for property in declared {
            if let Some(index) = self.make_index(property)
                && self.bytes() + index.bytes() <= room
            {
                self.adopt(property, index, declared);
            }
        }
    }

    pub(super) fn put_twin(&mut self, mut twin: Twin) {
        self.version += 1;
        let number = self.enter(&twin.id);
        twin.id = Arc::clone(&self.nodes[number as usize].id);
        for (name, _) in &mut twin.columns {
            *name = self.name(name);
        }
        self.bytes += twin.bytes();
        match self.nodes[number as usize].twin.take() {
            Some(was) if was.model == twin.model => {
                self.bytes = self.bytes.saturating_sub(was.bytes());
                twin.model = Arc::clone(&was.model);
                self.find_anew(number, Some(&was), Some(&twin));
            }
            was => {
                self.leave_model(number, was);
                let known = self.by_model.get_key_value(&*twin.model).map(|(model, _)| Arc::clone(model));
                twin.model = known.unwrap_or(twin.model);
                let of_model = self.by_model.entry(Arc::clone(&twin.model)).or_default();
                of_model.insert(Arc::clone(&twin.id), number);
                self.find_anew(number, None, Some(&twin));
            }
        }
        self.nodes[number as usize].twin = Some(Arc::new(twin));
    }

    pub(super) fn delete_twin(&mut self, id: &str) {
        self.version += 1;
        let Some(number) = self.by_id.get(id).copied() else { return };
        let was = self.nodes[number as usize].twin.take();
        self.leave_model(number, was);
        self.release(number);
    }

    pub(super) fn put_edge(&mut self, relationship: &Relationship) {
        let Relationship { id, source, target, name, .. } = relationship;
        self.delete_edge(source, id);
        let (source, target) = (self.enter(source), self.enter(target));
        let name = self.name(name);
        let edge = Edge::new(relationship, source, target, name);
        self.bytes += edge.bytes();
        let number = self.free_edges.pop().unwrap_or_else(|| {
            self.edges.push(None);
            u32::try_from(self.edges.len() - 1).unwrap_or(NONE)
        });
        self.edges[number as usize] = Some(edge);
        let node = &self.nodes[source as usize];
        let at = self.behind(node, false, &node.id, id);
        self.nodes[source as usize].leaving.insert(at, number);
        let source_id = Arc::clone(&self.nodes[source as usize].id);
        let at = self.behind(&self.nodes[target as usize], true, &source_id, id);
        self.nodes[target as usize].arriving.insert(at, number);
    }

    pub(super) fn delete_edge(&mut self, source: &str, id: &str) {
        self.version += 1;
        let Some(number) = self.find_edge(source, id) else { return };
        let Some((from, to)) = self.edge(number).map(|edge| (edge.source, edge.target)) else { return };
        let at = self.behind(&self.nodes[to as usize], true, source, id).saturating_sub(1);
        if self.nodes[to as usize].arriving.get(at) == Some(&number) {
            self.nodes[to as usize].arriving.remove(at);
        }
        let at = self.behind(&self.nodes[from as usize], false, source, id).saturating_sub(1);
        if self.nodes[from as usize].leaving.get(at) == Some(&number) {
            self.nodes[from as usize].leaving.remove(at);
        }
        if let Some(edge) = self.edges[number as usize].take() {
            self.bytes = self.bytes.saturating_sub(edge.bytes());
        }
        self.free_edges.push(number);
        self.release(from);
        self.release(to);
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name), Arc::clone(&name));
        name
    }

    /// The node of this id, made if need be.
    fn enter(&mut self, id: &str) -> u32 {
        if let Some(number) = self.by_id.get(id) {
            return *number;
        }
        let id: Arc<str> = id.into();
        let node = Node { id: Arc::clone(&id), ..Node::default() };
        let number = match self.free_nodes.pop() {
            Some(number) => {
                self.nodes[number as usize] = node;
                number
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        };
        self.in_order.insert(Arc::clone(&id), number);
        self.by_id.insert(id, number);
        number
    }

    /// Moves a node in the indexes from the values of one twin to those of another. Most changes leave what is indexed as
    /// it is, and finding a place in an index costs more than comparing.
    fn find_anew(&mut self, number: u32, was: Option<&Twin>, is: Option<&Twin>) {
        let Some(id) = was.or(is).map(|twin| Arc::clone(&twin.id)) else { return };
        for (property, index) in &mut self.indexes {
            let before = was.and_then(|twin| twin.column(property));
            let after = is.and_then(|twin| twin.column(property));
            if before == after {
                continue;
            }
            if let Some(value) = before {
                index.remove(value, &id, number);
            }
            if let Some(value) = after {
                index.put(value, &id, number);
            }
        }
    }

    /// Takes what was the twin of a node out of everything it is found by.
    fn leave_model(&mut self, number: u32, was: Option<Arc<Twin>>) {
        let Some(twin) = was else { return };
        self.bytes = self.bytes.saturating_sub(twin.bytes());
        if let Some(list) = self.by_model.get_mut(&*twin.model) {
            list.remove(&*twin.id);
            if list.is_empty() {
                self.by_model.remove(&*twin.model);
            }
        }
        self.find_anew(number, Some(&twin), None);
    }

    /// Forgets a node that nothing is known of any more.
    fn release(&mut self, number: u32) {
        let node = &self.nodes[number as usize];
        let known = node.twin.is_some() || !node.leaving.is_empty() || !node.arriving.is_empty();
        if known || node.id.is_empty() {
            return;
        }
        let node = std::mem::take(&mut self.nodes[number as usize]);
        self.by_id.remove(&node.id);
        self.in_order.remove(&node.id);
        self.free_nodes.push(number);
    }

    fn edge_id(&self, edge: u32) -> &str {
        self.edge(edge).map_or("", |edge| &edge.id)
    }

    fn arrival(&self, edge: u32) -> (&str, &str) {
        let Some(edge) = self.edge(edge) else { return ("", "") };
        (self.node(edge.source).map_or("", |node| &node.id), &edge.id)
    }
}
