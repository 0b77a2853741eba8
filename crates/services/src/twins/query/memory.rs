//! All rows of a query from a graph in memory: the walk of `walk`, one relationship after the other.
//!
//! ```text
//!   roots: ids, an index on a property, a model's twins, all
//!   stack: a frame for each twin that was come to, with the edges of it that were not followed yet
//! ```
//!
//! Rows come in the same order as from the store, and a place in the walk is the same thing, so an answer may go on here
//! that began there, and the other way round. The graph is looked at for a moment at a time, so that commits need not
//! wait; if it changed in between, the walk is taken up again at its place as another page would.

use std::collections::VecDeque;
use std::sync::Arc;

use pollux_model::Result;
use pollux_query::PropertyPredicate;
use pollux_query::twins::{Need, Query, StepDirection};
use pollux_store::twins::{TwinFilter, after_relationship};

use super::super::graph::{Edge, Graph, Graphs, Node, Wanted};
use super::super::models::Models;
use super::plan::{Leg, Plan, Roots};
use super::row::Row;
use super::source::Source;
use super::walk::{Hop, Inside, Place, mark_place};
use bound::Bound;
use show::Shape;

mod bound;
mod roots;
mod show;

pub(super) use bound::Whole;
pub(super) use roots::Access;

/// Steps between two looks at the clock, and the most that commits wait for.
const STEPS: usize = 4096;
/// Rows made in one go at most, and bytes of them.
const ROWS: usize = 256;
const BYTES: usize = 256 * 1024;

/// What is wanted of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Their number.
    Count,
    /// How they are shown.
    Shown,
    /// Their documents, to be put in order or groups.
    Documents,
}

/// What comes of a look at the graph.
pub(super) enum Found {
    /// So many rows more.
    Counted(u64),
    Shown(Row),
    Documents(Box<Whole>),
}

/// What comes next.
pub(super) enum Next {
    Row(Found),
    Dry,
    Late,
    /// The graph is no longer in memory.
    Gone,
}

pub(super) struct Memory<'m> {
    query: &'m Query,
    plan: &'m Plan<'m>,
    graphs: &'m Graphs,
    shape: Shape<'m>,
    want: Want,
    predicates: Vec<(&'m str, Wanted)>,
    /// How the roots are found, once they were.
    pub(super) access: Option<Access>,
    /// A property whose index was missed, until that was told.
    scanned: Option<String>,
    /// Of the graph when it was looked at last.
    version: Option<u64>,
    bound: Bound<'m>,
    stack: Vec<Frame>,
    roots: VecDeque<u32>,
    /// Whether there are no more roots than those at hand.
    dry: bool,
    place: Place,
    ready: VecDeque<Found>,
    moved: bool,
    /// Rows bound behind the start and behind each leg.
    pub(super) rows: Vec<u64>,
}

/// A twin that was come to.
#[derive(Debug, Clone, Copy)]
struct Frame {
    leg: usize,
    hops: u32,
    node: u32,
    /// Whether edges that arrive are being followed.
    arriving: bool,
    /// How many of them were.
    next: usize,
    /// The frame it was come to from, and how.
    from: Option<(usize, Via)>,
}

/// An edge that was followed.
#[derive(Debug, Clone, Copy)]
struct Via {
    edge: u32,
    /// Against its direction, where either is allowed.
    incoming: bool,
    ended: bool,
}

impl<'m> Memory<'m> {
    pub(super) fn new(
        (query, plan, models): (&'m Query, &'m Plan<'m>, &'m Models),
        graphs: &'m Graphs,
        predicates: &'m [PropertyPredicate],
        want: Want,
        place: Place,
    ) -> Self {
        let indexable = predicates.iter().filter_map(|predicate| match predicate.path.as_slice() {
            // What begins with $ is no property: indexes do not have it.
            [property] if !property.starts_with('$') => Some((property.as_str(), Wanted::of(predicate)?)),
            _ => None,
        });
        Self {
            query,
            plan,
            graphs,
            shape: Shape::of(query),
            want,
            predicates: indexable.collect(),
            access: None,
            scanned: None,
            version: None,
            bound: Bound::new(query, models),
            stack: Vec::new(),
            roots: VecDeque::new(),
            dry: false,
            place,
            ready: VecDeque::new(),
            moved: false,
            rows: vec![0; plan.legs.len() + 1],
        }
    }

    /// The place behind all rows that were given. Of use only while none is at hand.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Whether no row is at hand, so that a page may end here.
    pub(super) fn may_end(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether nothing is left.
    pub(super) fn is_dry(&self) -> bool {
        self.ready.is_empty() && self.finished()
    }

    /// Whether all was seen.
    fn finished(&self) -> bool {
        self.version.is_some() && self.stack.is_empty() && self.roots.is_empty() && self.dry
    }

    /// The next row; `room`: how many the page can still have.
    pub(super) async fn next(&mut self, room: usize, source: &mut Source<'_>) -> Result<Next> {
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Ok(Next::Row(found));
            }
            if self.finished() {
                return Ok(Next::Dry);
            }
            if self.moved {
                if source.late() {
                    return Ok(Next::Late);
                }
                tokio::task::yield_now().await;
            }
            let Some(graph) = self.graphs.read(source.instance) else { return Ok(Next::Gone) };
            self.look(&graph, room.clamp(1, ROWS), source)?;
            drop(graph);
            self.moved = true;
            if let Some(property) = self.scanned.take() {
                self.graphs.scanned(source.instance, &property);
            }
        }
    }

    /// Goes on for a while.
    fn look(&mut self, graph: &Graph, room: usize, source: &mut Source<'_>) -> Result<()> {
        if self.version != Some(graph.version()) {
            self.take_up(graph, source)?;
            self.version = Some(graph.version());
        }
        let room = if self.want == Want::Count { usize::MAX } else { room };
        let (mut steps, mut bytes) = (0, 0);
        while steps < STEPS && self.ready.len() < room && bytes < BYTES {
            steps += 1;
            let more = match self.stack.last() {
                Some(_) => self.step(graph, &mut bytes, source)?,
                None => self.next_root(graph, &mut bytes, source)?,
            };
            if !more {
                break;
            }
        }
        self.note_place(graph);
        Ok(())
    }

    /// Takes the next root; `false` if there is none.
    fn next_root(&mut self, graph: &Graph, bytes: &mut usize, source: &mut Source<'_>) -> Result<bool> {
        if self.roots.is_empty() {
            if self.dry {
                return Ok(false);
            }
            self.more_roots(graph);
        }
        let Some(node) = self.roots.pop_front() else { return Ok(!self.dry) };
        let Some(id) = graph.node(node).map(|node| &node.id) else { return Ok(true) };
        self.place = Place { after: Some(id.to_string()), inside: None };
        if self.root(graph, node, source)? {
            self.reached(graph, 0, None, bytes);
        }
        Ok(true)
    }

    fn more_roots(&mut self, graph: &Graph) {
        let Roots::Twins(filter) = &self.plan.roots else {
            self.dry = true;
            return;
        };
        let after = self.place.after.as_deref();
        let (nodes, access, more) = roots::find(graph, filter, &self.predicates, after);
        self.dry = !more;
        if self.access.is_none()
            && let Access::Scan { missed: Some(property) } = &access
        {
            self.scanned = Some(property.clone());
        }
        self.access = Some(access);
        self.roots = nodes.into();
    }

    /// Binds a root, if it can be one.
    fn root(&mut self, graph: &Graph, node: u32, source: &mut Source<'_>) -> Result<bool> {
        source.spent.twins += 1;
        let Roots::Twins(TwinFilter { models, .. }) = &self.plan.roots else { return Ok(false) };
        if !self.bound.twin(graph, self.plan.start, node, models.as_deref()) {
            return Ok(false);
        }
        let holds = self.holds(graph, &self.plan.at_start, source)?;
        self.rows[0] += u64::from(holds);
        Ok(holds)
    }

    /// A row that is bound as far as a leg: all of it, or a frame to go on from.
    fn reached(&mut self, graph: &Graph, leg: usize, from: Option<(usize, Via)>, bytes: &mut usize) {
        let Some(next) = self.plan.legs.get(leg) else {
            self.give(graph, from, bytes);
            return;
        };
        let arriving = next.direction == StepDirection::Backward;
        self.stack.push(Frame { leg, hops: 0, node: self.bound.node(next.from), arriving, next: 0, from });
    }

    fn give(&mut self, graph: &Graph, from: Option<(usize, Via)>, bytes: &mut usize) {
        match self.want {
            Want::Count => {
                if let Some(Found::Counted(count)) = self.ready.front_mut() {
                    *count += 1;
                } else {
                    self.ready.push_back(Found::Counted(1));
                }
            }
            Want::Shown => {
                let row = self.shape.show(self.query, self.plan, graph, &self.bound);
                *bytes += row.bytes();
                self.ready.push_back(Found::Shown(row));
            }
            Want::Documents => {
                let root = self.place.after.clone().unwrap_or_default();
                let hops = self.hops(graph, from);
                let whole = self.bound.whole(graph, self.plan, root, hops);
                *bytes += 1024;
                self.ready.push_back(Found::Documents(Box::new(whole)));
            }
        }
    }

    /// Follows the next edge of the last frame; takes it away if there is none.
    fn step(&mut self, graph: &Graph, bytes: &mut usize, source: &mut Source<'_>) -> Result<bool> {
        let (plan, at) = (self.plan, self.stack.len() - 1);
        let frame = self.stack[at];
        let Some(leg) = plan.legs.get(frame.leg) else {
            self.stack.pop();
            return Ok(true);
        };
        let edges = graph.node(frame.node).map_or(&[][..], |node| frame.edges(node));
        let Some(&number) = edges.get(frame.next) else {
            if leg.direction == StepDirection::Either && !frame.arriving {
                self.stack[at] = Frame { arriving: true, next: 0, ..frame };
            } else {
                self.stack.pop();
            }
            return Ok(true);
        };
        self.stack[at].next += 1;
        if self.follows(graph, leg, frame, number) {
            source.spent.relationships += 1;
            source.affordable()?;
            self.go_on(graph, (at, frame), number);
            self.end(graph, (at, frame), number, bytes, source)?;
        }
        Ok(true)
    }

    /// Whether an edge can be followed: see `walk`.
    fn follows(&self, graph: &Graph, leg: &Leg, frame: Frame, number: u32) -> bool {
        let Some(edge) = graph.edge(number) else { return false };
        if !leg.names.is_empty() && !leg.names.iter().any(|name| **name == *edge.name) {
            return false;
        }
        if leg.direction == StepDirection::Either && frame.arriving && edge.source == edge.target {
            return false;
        }
        !self.query.is_pattern() || !self.trail(frame.from).any(|via| via.edge == number)
    }

    /// Where the leg goes on behind an edge.
    fn go_on(&mut self, graph: &Graph, (at, frame): (usize, Frame), number: u32) {
        let (Some(leg), Some(edge)) = (self.plan.legs.get(frame.leg), graph.edge(number)) else { return };
        if frame.hops + 1 >= leg.max {
            return;
        }
        let via = Via { edge: number, incoming: self.incoming(frame), ended: false };
        let arriving = leg.direction == StepDirection::Backward;
        let (node, from) = (frame.end(edge), Some((at, via)));
        self.stack.push(Frame { hops: frame.hops + 1, node, arriving, next: 0, from, ..frame });
    }

    /// Where the leg ends with an edge, if it can.
    fn end(
        &mut self,
        graph: &Graph,
        (at, frame): (usize, Frame),
        number: u32,
        bytes: &mut usize,
        source: &mut Source<'_>,
    ) -> Result<()> {
        let Some(edge) = graph.edge(number) else { return Ok(()) };
        if self.binds(graph, frame, number, frame.end(edge), source)? {
            self.rows[frame.leg + 1] += 1;
            let via = Via { edge: number, incoming: self.incoming(frame), ended: true };
            self.reached(graph, frame.leg + 1, Some((at, via)), bytes);
        }
        Ok(())
    }

    /// Binds what a leg ends with, if it can end here.
    fn binds(
        &mut self,
        graph: &Graph,
        frame: Frame,
        number: u32,
        node: u32,
        source: &mut Source<'_>,
    ) -> Result<bool> {
        let Some(leg) = self.plan.legs.get(frame.leg) else { return Ok(false) };
        let id = || graph.node(node).map_or("", |node| &*node.id);
        if frame.hops + 1 < leg.min
            || (leg.closes && self.bound.node(leg.to) != node)
            || (self.plan.ids[usize::from(leg.to)].is_some() && !self.plan.admits(leg.to, id()))
        {
            return Ok(false);
        }
        if !leg.closes {
            if self.plan.need(leg.to) == Need::Document {
                source.spent.twins += 1;
                if !self.bound.twin(graph, leg.to, node, self.plan.models(leg.to)) {
                    return Ok(false);
                }
            } else {
                self.bound.id(leg.to, node);
            }
        }
        if let Some(alias) = leg.relationship {
            self.bound.edge(alias, number);
        }
        self.holds(graph, &leg.conditions, source)
    }

    fn holds(&self, graph: &Graph, conditions: &[usize], source: &mut Source<'_>) -> Result<bool> {
        source.combine()?;
        let mut conditions = conditions.iter().filter_map(|&at| self.plan.conditions.get(at));
        Ok(conditions.all(|condition| self.bound.holds(self.query, graph, condition)))
    }

    /// The edges that lead to a frame, the last one first.
    fn trail(&self, from: Option<(usize, Via)>) -> impl Iterator<Item = Via> {
        std::iter::successors(from, |(at, _)| self.stack.get(*at).and_then(|frame| frame.from))
            .map(|(_, via)| via)
    }

    fn hops(&self, graph: &Graph, from: Option<(usize, Via)>) -> Vec<Hop> {
        let hop = |via: Via| {
            let edge = graph.edge(via.edge)?;
            let source = Arc::clone(&graph.node(edge.source)?.id);
            Some(Hop { source, id: (&*edge.id).into(), incoming: via.incoming, ended: via.ended })
        };
        let mut hops: Vec<Hop> = self.trail(from).filter_map(hop).collect();
        hops.reverse();
        hops
    }

    /// Notes where the walk stands.
    fn note_place(&mut self, graph: &Graph) {
        let Some(frame) = self.stack.last().copied() else {
            self.place.inside = None;
            return;
        };
        let last = frame.next.checked_sub(1).and_then(|last| {
            let edges = frame.edges(graph.node(frame.node)?);
            let edge = graph.edge(*edges.get(last)?)?;
            Some(after_relationship(&graph.node(edge.source)?.id, &edge.id))
        });
        let incoming = self.incoming(frame);
        self.place.inside = Some(Inside { trail: self.hops(graph, frame.from), incoming, after: last });
    }

    /// Whether a frame is at edges that arrive, where those that leave come first.
    fn incoming(&self, frame: Frame) -> bool {
        let either = |leg: &Leg| leg.direction == StepDirection::Either;
        frame.arriving && self.plan.legs.get(frame.leg).is_some_and(either)
    }

    /// Takes the walk up at its place, in a graph that may have changed.
    fn take_up(&mut self, graph: &Graph, source: &mut Source<'_>) -> Result<()> {
        self.stack.clear();
        self.roots.clear();
        self.dry = false;
        self.bound.forget();
        let (Some(inside), Some(key)) = (self.place.inside.take(), &self.place.after) else { return Ok(()) };
        let Some((node, _)) = graph.find(key) else { return Ok(()) };
        if !self.root(graph, node, source)? {
            return Ok(());
        }
        let mut bytes = 0;
        self.reached(graph, 0, None, &mut bytes);
        for hop in &inside.trail {
            if !self.take_hop(graph, hop, source)? {
                return Ok(());
            }
        }
        let Some(at) = self.stack.len().checked_sub(1) else { return Ok(()) };
        self.stack[at].arriving |= inside.incoming;
        if let Some((source, id)) = inside.after.as_deref().and_then(mark_place) {
            self.pass(graph, at, &source, &id);
        }
        Ok(())
    }

    /// Puts a frame behind one of its edges.
    fn pass(&mut self, graph: &Graph, at: usize, source: &str, id: &str) {
        let frame = self.stack[at];
        if let Some(node) = graph.node(frame.node) {
            self.stack[at].next = graph.behind(node, frame.arriving, source, id);
        }
    }

    /// Goes one hop of a trail again; `false` if it is no longer there.
    fn take_hop(&mut self, graph: &Graph, hop: &Hop, source: &mut Source<'_>) -> Result<bool> {
        let Some(at) = self.stack.len().checked_sub(1) else { return Ok(false) };
        let Some(leg) = self.plan.legs.get(self.stack[at].leg) else { return Ok(false) };
        self.stack[at].arriving |= hop.incoming;
        self.pass(graph, at, &hop.source, &hop.id);
        let frame = self.stack[at];
        let found = graph.find_edge(&hop.source, &hop.id).filter(|number| {
            let edges = graph.node(frame.node).map_or(&[][..], |node| frame.edges(node));
            let last = frame.next.checked_sub(1).and_then(|last| edges.get(last));
            last == Some(number) && self.follows(graph, leg, frame, *number)
        });
        source.spent.relationships += 1;
        let Some(number) = found else { return Ok(false) };
        self.go_on(graph, (at, frame), number);
        if hop.ended {
            self.end(graph, (at, frame), number, &mut 0, source)?;
        }
        let here = |frame: &Frame| frame.from.is_some_and(|(from, via)| from == at && via.ended == hop.ended);
        Ok(self.stack.last().is_some_and(here))
    }
}

impl Frame {
    /// The node at the other end of one of its edges.
    fn end(self, edge: &Edge) -> u32 {
        if self.arriving { edge.source } else { edge.target }
    }

    fn edges(self, node: &Node) -> &[u32] {
        if self.arriving { &node.arriving } else { &node.leaving }
    }
}
