//! What the aliases of a row are bound to in a graph, and what conditions and answers see of it.

use std::cell::RefCell;
use std::sync::Arc;

use pollux_model::Timestamp;
use pollux_model::digital_twin::Relationship;
use pollux_query::twins::{Bindings, Columns, Condition, ModelTree as _, Need, Query};
use pollux_query::{Number, Path, Segment, Value as Cell};
use serde_json::{Value, json};

use super::super::super::graph::{Edge, Graph, NONE, Scalar, Twin};
use super::super::super::models::Models;
use super::super::super::relationship_document;
use super::super::plan::Plan;
use super::super::walk::{self, Hop};

/// The twins and relationships of a row, by alias.
pub(super) struct Bound<'b> {
    models: &'b Models,
    nodes: Vec<u32>,
    edges: Vec<u32>,
    /// Whether twins of a model can be what an alias stands for, by where the model's id is kept.
    fitting: Memo,
    /// Whether a model is of another, by where their ids are kept.
    kinds: Memo,
}

/// What was decided of the models met last. Models are few, so that most are met again soon.
struct Memo(RefCell<[Option<(Key, bool)>; 64]>);

/// A model, and what it was asked.
type Key = (usize, usize);

impl Memo {
    fn new() -> Self {
        Self(RefCell::new([None; 64]))
    }

    fn forget(&mut self) {
        *self.0.get_mut() = [None; 64];
    }

    /// What was decided before, or is now.
    fn get(&self, key: Key, decide: impl FnOnce() -> bool) -> bool {
        // Ids are kept at places that are multiples of 8.
        let at = ((key.0 >> 3) ^ key.1) % 64;
        match self.0.borrow()[at] {
            Some((known, decided)) if known == key => return decided,
            _ => {}
        }
        let decided = decide();
        self.0.borrow_mut()[at] = Some((key, decided));
        decided
    }
}

/// A row with its documents.
pub(crate) struct Whole {
    documents: Vec<Option<Value>>,
    root: String,
    hops: Vec<Hop>,
}

impl Whole {
    /// The row's documents.
    pub(crate) fn bindings(&self) -> Bindings<'_> {
        bindings(&self.documents)
    }

    /// As of a row from the store.
    pub(crate) fn identity(&self) -> Vec<String> {
        walk::identity(&self.root, &self.hops)
    }
}

fn bindings(documents: &[Option<Value>]) -> Bindings<'_> {
    let mut bindings = Bindings::default();
    for (alias, document) in (0..).zip(documents) {
        if let Some(document) = document {
            bindings.bind(alias, document);
        }
    }
    bindings
}

impl<'b> Bound<'b> {
    pub(super) fn new(query: &Query, models: &'b Models) -> Self {
        let aliases = query.aliases().len().max(1);
        Self {
            models,
            nodes: vec![NONE; aliases],
            edges: vec![NONE; aliases],
            fitting: Memo::new(),
            kinds: Memo::new(),
        }
    }

    /// Forgets what is known by places that may be others' now.
    pub(super) fn forget(&mut self) {
        self.nodes.fill(NONE);
        self.edges.fill(NONE);
        self.fitting.forget();
        self.kinds.forget();
    }

    /// The node an alias is bound to.
    pub(super) fn node(&self, alias: u16) -> u32 {
        self.nodes.get(usize::from(alias)).copied().unwrap_or(NONE)
    }

    /// Binds an alias to a twin; `false` if it is none of these models.
    pub(super) fn twin(&mut self, graph: &Graph, alias: u16, node: u32, models: Option<&[String]>) -> bool {
        let Some(twin) = graph.node(node).and_then(|node| node.twin.as_ref()) else { return false };
        self.nodes[usize::from(alias)] = node;
        let Some(models) = models else { return true };
        let fits = || models.iter().any(|model| **model == *twin.model);
        self.fitting.get((place(&twin.model), usize::from(alias)), fits)
    }

    /// Binds an alias to whatever has this node's id.
    pub(super) fn id(&mut self, alias: u16, node: u32) {
        self.nodes[usize::from(alias)] = node;
    }

    /// Binds an alias to a relationship.
    pub(super) fn edge(&mut self, alias: u16, edge: u32) {
        self.edges[usize::from(alias)] = edge;
    }

    /// Whether a condition on what is bound holds.
    pub(super) fn holds(&self, query: &Query, graph: &Graph, condition: &Condition<'_>) -> bool {
        let view = View { bound: self, graph };
        query.holds_by(condition, &view).unwrap_or_else(|| {
            let mut documents = vec![None; self.nodes.len()];
            for alias in condition.aliases() {
                documents[usize::from(alias)] = self.document(graph, alias, Need::Document);
            }
            query.holds(condition, &bindings(&documents), self.models)
        })
    }

    /// The row with the documents that a query needs.
    pub(super) fn whole(&self, graph: &Graph, plan: &Plan<'_>, root: String, hops: Vec<Hop>) -> Whole {
        Whole { documents: self.documents(graph, plan), root, hops }
    }

    pub(super) fn documents(&self, graph: &Graph, plan: &Plan<'_>) -> Vec<Option<Value>> {
        let aliases = (0..).zip(&self.nodes).map(|(alias, _)| alias);
        aliases.map(|alias| self.document(graph, alias, plan.need(alias))).collect()
    }

    /// The row that `project` gives.
    pub(super) fn project(&self, query: &Query, plan: &Plan<'_>, graph: &Graph) -> Value {
        query.project(&bindings(&self.documents(graph, plan)))
    }

    pub(super) fn view<'v>(&'v self, graph: &'v Graph) -> View<'v> {
        View { bound: self, graph }
    }

    fn document(&self, graph: &Graph, alias: u16, need: Need) -> Option<Value> {
        let at = usize::from(alias);
        if let Some(edge) = self.edges.get(at).and_then(|edge| graph.edge(*edge)) {
            return (need > Need::Nothing).then(|| edge_document(graph, edge));
        }
        let node = graph.node(*self.nodes.get(at)?)?;
        match need {
            Need::Nothing => None,
            Need::Id => Some(json!({ "$dtId": &*node.id })),
            Need::Document => serde_json::from_str(&node.twin.as_ref()?.text).ok(),
        }
    }
}

/// A relationship as [`relationship_document`] shows it.
fn edge_document(graph: &Graph, edge: &Edge) -> Value {
    let id = |node: u32| graph.node(node).map_or_else(String::new, |node| node.id.to_string());
    let properties = edge.properties.as_deref().and_then(|text| serde_json::from_str(text).ok());
    relationship_document(&Relationship {
        id: edge.id.to_string(),
        source: id(edge.source),
        target: id(edge.target),
        name: edge.name.to_string(),
        etag: edge.etag.clone(),
        properties: properties.unwrap_or_else(|| json!({})),
        // Not shown.
        updated: Timestamp::default(),
    })
}

fn place(text: &str) -> usize {
    text.as_ptr().addr()
}

/// A row, to the evaluator.
pub(super) struct View<'v> {
    bound: &'v Bound<'v>,
    graph: &'v Graph,
}

impl<'v> View<'v> {
    /// The twin or relationship of an alias, as text; `None` if it has none.
    pub(super) fn text(&self, alias: u16) -> Option<Text> {
        if let Some(edge) = self.edge(alias) {
            return Some(Text::Made(edge_document(self.graph, edge).to_string()));
        }
        self.twin(alias).map(|twin| Text::Held(Arc::clone(&twin.text)))
    }

    fn edge(&self, alias: u16) -> Option<&'v Edge> {
        self.graph.edge(*self.bound.edges.get(usize::from(alias))?)
    }

    fn twin(&self, alias: u16) -> Option<&'v Arc<Twin>> {
        self.graph.node(self.bound.node(alias))?.twin.as_ref()
    }

    fn of_edge(&self, edge: &'v Edge, name: &str) -> Option<Cell<'v>> {
        let id = |node: u32| self.graph.node(node).map_or("", |node| &*node.id);
        match name {
            "$relationshipId" => Some(text(&edge.id)),
            "$relationshipName" => Some(text(&edge.name)),
            "$sourceId" => Some(text(id(edge.source))),
            "$targetId" => Some(text(id(edge.target))),
            "$etag" => None,
            _ => edge.properties.is_none().then_some(Cell::Undefined),
        }
    }
}

/// Text of a document.
pub(super) enum Text {
    Held(Arc<str>),
    Made(String),
}

impl Columns for View<'_> {
    fn value<'s>(&'s self, path: &'s Path) -> Option<Cell<'s>> {
        let (first, rest) = path.segments.split_first()?;
        // Documents are objects: they have no elements.
        let Segment::Name(name) = first else { return Some(Cell::Undefined) };
        if let Some(edge) = self.edge(path.root) {
            return self.of_edge(edge, name).filter(|_| rest.is_empty());
        }
        let node = self.graph.node(self.bound.node(path.root));
        match (name.as_str(), rest) {
            ("$dtId", []) => Some(node.map_or(Cell::Undefined, |node| text(&node.id))),
            ("$metadata", [Segment::Name(member)]) if member == "$model" => {
                Some(self.twin(path.root).map_or(Cell::Undefined, |twin| text(&twin.model)))
            }
            ("$dtId" | "$etag" | "$metadata", _) => None,
            (name, rest) => match self.twin(path.root).and_then(|twin| twin.column(name)) {
                None => Some(Cell::Undefined),
                Some(Scalar::Structured) => None,
                // What is no object and no array has nothing in it.
                Some(_) if !rest.is_empty() => Some(Cell::Undefined),
                Some(Scalar::Null) => Some(Cell::Null),
                Some(Scalar::Bool(value)) => Some(Cell::Bool(*value)),
                Some(Scalar::Int(value)) => Some(Cell::Number(Number::Int((*value).into()))),
                Some(Scalar::Unsigned(value)) => Some(Cell::Number(Number::Int((*value).into()))),
                Some(Scalar::Float(value)) => Some(Cell::Number(Number::Float(*value))),
                Some(Scalar::Text(value)) => Some(text(value)),
            },
        }
    }

    fn is_of_model(&self, root: u16, model: &str, exact: bool) -> Option<bool> {
        let actual = &self.twin(root)?.model;
        let key = (place(actual), (place(model) << 1) | usize::from(exact));
        Some(self.bound.kinds.get(key, || self.bound.models.is_of_model(actual, model, exact)))
    }
}

fn text(text: &str) -> Cell<'_> {
    Cell::String(text.into())
}
