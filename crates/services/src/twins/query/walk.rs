//! All rows of a query, one after the other: a walk through the graph along the plan's legs.
//!
//! ```text
//!   queue 0: roots          r1 r2 r3 ..      What is at the front of the last queue comes next. If it is whole, it is
//!   queue 1: behind a hop   p1 p2 ..         a row; otherwise it and those behind it are taken together and what one
//!   queue 2: behind two     q1 q2 ..         hop from them finds becomes the next queue.
//! ```
//!
//! The order is that of the roots, then that of the relationships of each hop, whatever was read together. So a place in
//! the walk is the relationships that lead to it, and the walk can be taken up again there although the graph changed:
//! what came is met if it stands behind that place, what went is not, and nothing is met twice.
//!
//! What is held in memory is one queue for each hop, of no more than [`TOGETHER`] partial rows and [`AT_ONCE`]
//! relationships, however many rows there are.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use pollux_model::Result;
use pollux_model::digital_twin::Relationship;
use pollux_query::twins::{Bindings, Need, Query, StepDirection};
use pollux_store::twins::{Direction, after_relationship};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::models::Models;
use super::super::relationship_document;
use super::plan::{Leg, Plan};
use super::source::{RootBatch, Source};

/// How many partial rows are taken together.
const TOGETHER: usize = 64;
/// How many relationships are read at once.
const AT_ONCE: usize = 500;

/// A place in a walk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The root that was taken up last.
    pub(super) after: Option<String>,
    /// How far below that root; `None` when all of it was seen.
    pub(super) inside: Option<Inside>,
}

/// A place below a root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inside {
    /// The relationships from the root to here.
    pub(super) trail: Vec<Hop>,
    /// Whether those that lead here are being followed, rather than those that leave.
    pub(super) incoming: bool,
    /// The store's key behind which relationships of the last twin are to be followed.
    pub(super) after: Option<String>,
}

/// A relationship that was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hop {
    #[serde(rename = "s")]
    pub(super) source: Arc<str>,
    #[serde(rename = "i")]
    pub(super) id: Arc<str>,
    /// Against its direction, where either is allowed.
    #[serde(rename = "n")]
    pub(super) incoming: bool,
    /// Whether its leg ended with it.
    #[serde(rename = "e")]
    pub(super) ended: bool,
}

/// The hops to a partial row, the last one first.
type Trail = Option<Arc<Link>>;

struct Link {
    hop: Hop,
    before: Trail,
}

/// A row as far as it is bound.
#[derive(Clone)]
pub(super) struct Partial {
    root: Arc<Root>,
    /// For each alias its document, where it is needed.
    documents: Vec<Option<Arc<Value>>>,
    /// For each twin its id.
    ids: Vec<Option<Arc<str>>>,
    /// The leg it stands in, and how many of its hops were taken.
    leg: usize,
    hops: u32,
    /// The twin it has come to.
    at: Arc<str>,
    incoming: bool,
    after: Option<String>,
    trail: Trail,
}

/// A root's key, and the one before.
struct Root {
    key: String,
    before: Option<String>,
}

impl Partial {
    /// The row's documents.
    pub(super) fn bindings(&self) -> Bindings<'_> {
        let mut bindings = Bindings::default();
        for (alias, document) in (0..).zip(&self.documents) {
            if let Some(document) = document {
                bindings.bind(alias, document);
            }
        }
        bindings
    }

    /// What tells the row from all others of the query, and does not change.
    pub(super) fn identity(&self) -> Vec<String> {
        identity(&self.root.key, &self.hops_so_far())
    }

    fn hops_so_far(&self) -> Vec<Hop> {
        let mut hops: Vec<Hop> = links(&self.trail).map(|link| link.hop.clone()).collect();
        hops.reverse();
        hops
    }

    fn untouched(&self) -> bool {
        self.trail.is_none() && !self.incoming && self.after.is_none()
    }
}

/// What tells a row from all others of its query: its root, and the hops to it.
pub(super) fn identity(root: &str, hops: &[Hop]) -> Vec<String> {
    let shown = hops.iter().flat_map(|hop| {
        [hop.source.to_string(), hop.id.to_string(), format!("{}{}", hop.incoming, hop.ended)]
    });
    std::iter::once(root.to_owned()).chain(shown).collect()
}

/// Source and id of the relationship that a mark stands at.
pub(super) fn mark_place(mark: &str) -> Option<(String, String)> {
    serde_json::from_str(mark).ok()
}

fn links(trail: &Trail) -> impl Iterator<Item = &Link> {
    std::iter::successors(trail.as_deref(), |link| link.before.as_deref())
}

/// What comes next.
pub(super) enum Next {
    Row(Box<Partial>),
    /// The roots at hand are done.
    Dry,
    /// The page's time is up.
    Late,
}

pub(super) struct Walk<'w> {
    query: &'w Query,
    plan: &'w Plan<'w>,
    models: &'w Models,
    queues: Vec<VecDeque<Partial>>,
    /// Whether this page has taken a hop.
    moved: bool,
    /// Rows bound behind the start and behind each leg.
    pub(super) bound: Vec<u64>,
}

/// Documents by the alias they are read for, and by id.
type Documents = HashMap<u16, HashMap<String, Arc<Value>>>;

/// What stands in the next queue, before the documents of new twins are there.
enum Draft {
    Whole(Partial),
    Found(Partial, Arc<Relationship>),
}

impl<'w> Walk<'w> {
    pub(super) fn new(query: &'w Query, plan: &'w Plan<'w>, models: &'w Models) -> Self {
        Self { query, plan, models, queues: Vec::new(), moved: false, bound: vec![0; plan.legs.len() + 1] }
    }

    /// Whether nothing is at hand.
    pub(super) fn is_dry(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    /// Where the walk stands; `None` if it is dry.
    pub(super) fn place(&self) -> Option<Place> {
        let front = self.queues.iter().rev().find_map(VecDeque::front)?;
        if front.untouched() {
            return Some(Place { after: front.root.before.clone(), inside: None });
        }
        let inside =
            Inside { trail: front.hops_so_far(), incoming: front.incoming, after: front.after.clone() };
        Some(Place { after: Some(front.root.key.clone()), inside: Some(inside) })
    }

    /// Takes up roots, all of them behind `after`.
    pub(super) fn begin(
        &mut self,
        batch: RootBatch,
        after: Option<String>,
        source: &mut Source<'_>,
    ) -> Result<()> {
        let mut before = after;
        let mut queue = VecDeque::new();
        for (key, document) in batch.roots {
            let root = Arc::new(Root { key: key.clone(), before: before.replace(key) });
            queue.extend(self.root(root, document, source)?);
        }
        self.queues.push(queue);
        Ok(())
    }

    /// A root that can be one.
    fn root(&mut self, root: Arc<Root>, document: Value, source: &mut Source<'_>) -> Result<Option<Partial>> {
        let aliases = self.query.aliases().len().max(1);
        let at: Arc<str> = document.get("$dtId").and_then(Value::as_str).unwrap_or_default().into();
        let start = usize::from(self.plan.start);
        let mut partial = Partial {
            root,
            documents: vec![None; aliases],
            ids: vec![None; aliases],
            leg: 0,
            hops: 0,
            at: Arc::clone(&at),
            incoming: false,
            after: None,
            trail: None,
        };
        partial.documents[start] = Some(Arc::new(document));
        partial.ids[start] = Some(at);
        if let Some(leg) = self.plan.legs.first() {
            partial.at = partial.ids[usize::from(leg.from)].clone().unwrap_or_default();
        }
        Ok(self.holds(&self.plan.at_start, &partial, source)?.then(|| {
            self.bound[0] += 1;
            partial
        }))
    }

    /// The next row.
    pub(super) async fn next(&mut self, source: &mut Source<'_>) -> Result<Next> {
        loop {
            let Some(queue) = self.queues.last_mut() else { return Ok(Next::Dry) };
            match queue.front() {
                None => drop(self.queues.pop()),
                Some(front) if front.leg == self.plan.legs.len() => {
                    let row = queue.pop_front();
                    return Ok(row.map_or(Next::Dry, |row| Next::Row(Box::new(row))));
                }
                // A page that moves nothing would be asked for again, for ever.
                Some(_) if self.moved && source.late() => return Ok(Next::Late),
                Some(_) => {
                    self.moved = true;
                    self.expand(source).await?;
                }
            }
        }
    }

    /// Takes those at the front of the last queue one hop further.
    async fn expand(&mut self, source: &mut Source<'_>) -> Result<()> {
        let Some(queue) = self.queues.last_mut() else { return Ok(()) };
        let mut taken: VecDeque<Partial> = queue.drain(..queue.len().min(TOGETHER)).collect();
        let found = self.related(&taken, source).await?;
        let mut drafts = Vec::new();
        while let Some(partial) = taken.pop_front() {
            let Some(leg) = self.plan.legs.get(partial.leg) else {
                drafts.push(Draft::Whole(partial));
                continue;
            };
            let Some(found) = found.get(&Kind::of(&partial)).and_then(|found| found.get(&partial.at)) else {
                taken.push_front(partial);
                break;
            };
            let fits = found.relationships.iter().filter(|found| self.follows(&partial, leg, found));
            drafts.extend(fits.map(|found| Draft::Found(partial.clone(), Arc::clone(found))));
            if found.next.is_some() {
                drafts.push(Draft::Whole(Partial { after: found.next.clone(), ..partial }));
            } else if leg.direction == StepDirection::Either && !partial.incoming {
                drafts.push(Draft::Whole(Partial { incoming: true, after: None, ..partial }));
            }
        }
        // Those that were not reached wait for their turn.
        if let Some(queue) = self.queues.last_mut() {
            for partial in taken.into_iter().rev() {
                queue.push_front(partial);
            }
        }
        if self.queues.last().is_some_and(VecDeque::is_empty) {
            self.queues.pop();
        }
        let next = self.bind(drafts, source).await?;
        self.queues.push(next);
        Ok(())
    }

    /// The relationships of all twins that partial rows have come to, as far as they were reached.
    async fn related(
        &self,
        taken: &VecDeque<Partial>,
        source: &mut Source<'_>,
    ) -> Result<HashMap<Kind, HashMap<Arc<str>, Found>>> {
        let mut asked: BTreeMap<Kind, Vec<Arc<str>>> = BTreeMap::new();
        for partial in taken.iter().filter(|partial| partial.leg < self.plan.legs.len()) {
            let ends = asked.entry(Kind::of(partial)).or_default();
            if !ends.contains(&partial.at) {
                ends.push(Arc::clone(&partial.at));
            }
        }
        let mut found = HashMap::new();
        for (kind, ends) in asked {
            let Some(leg) = self.plan.legs.get(kind.leg) else { continue };
            let direction = direction(leg, kind.incoming);
            let twins: Vec<String> = ends.iter().map(ToString::to_string).collect();
            let page = source.related(&twins, direction, &leg.names, kind.after.as_deref(), AT_ONCE).await?;
            let last = page.of.len();
            let mut next = page.next;
            let lists = (1..).zip(page.of).map(|(n, relationships)| Found {
                relationships: relationships.into_iter().map(Arc::new).collect(),
                next: if n == last { next.take() } else { None },
            });
            let lists: HashMap<Arc<str>, Found> = ends.into_iter().zip(lists).collect();
            found.insert(kind, lists);
        }
        Ok(found)
    }

    /// Whether a relationship that was found can be followed: in a pattern each is only once, and one that leads from a
    /// twin to itself is the same in both directions.
    fn follows(&self, partial: &Partial, leg: &Leg, relationship: &Relationship) -> bool {
        let loops = leg.direction == StepDirection::Either && partial.incoming;
        if loops && relationship.source == relationship.target {
            return false;
        }
        let same = |hop: &Hop| *hop.source == *relationship.source && *hop.id == *relationship.id;
        !self.query.is_pattern() || !links(&partial.trail).any(|link| same(&link.hop))
    }

    /// The partial rows that come of what was found, with the documents they need.
    async fn bind(&mut self, drafts: Vec<Draft>, source: &mut Source<'_>) -> Result<VecDeque<Partial>> {
        let mut wanted: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
        for draft in &drafts {
            if let Draft::Found(parent, relationship) = draft
                && let Some(leg) = self.plan.legs.get(parent.leg)
                && self.ends(parent, leg, end(leg, parent.incoming, relationship))
                && !leg.closes
                && self.plan.need(leg.to) == Need::Document
            {
                wanted.entry(leg.to).or_default().insert(end(leg, parent.incoming, relationship).to_owned());
            }
        }
        let documents = self.documents(wanted, source).await?;
        let mut queue = VecDeque::new();
        for draft in drafts {
            match draft {
                Draft::Whole(partial) => queue.push_back(partial),
                Draft::Found(parent, relationship) => {
                    let (ended, on) = self.children(&parent, &relationship, &documents, source)?;
                    queue.extend(ended);
                    queue.extend(on);
                }
            }
        }
        Ok(queue)
    }

    /// The documents of twins, for each alias that they are to be bound to.
    async fn documents(
        &self,
        wanted: BTreeMap<u16, BTreeSet<String>>,
        source: &mut Source<'_>,
    ) -> Result<Documents> {
        let mut documents = Documents::new();
        for (alias, ids) in wanted {
            documents.insert(alias, source.documents(ids, self.plan.models(alias)).await?);
        }
        Ok(documents)
    }

    /// Whether the leg can end at this twin.
    fn ends(&self, parent: &Partial, leg: &Leg, end: &str) -> bool {
        let same = || parent.ids[usize::from(leg.to)].as_deref() == Some(end);
        parent.hops + 1 >= leg.min && self.plan.admits(leg.to, end) && (!leg.closes || same())
    }

    /// The row behind a relationship where the leg ends with it, and the one where the leg goes on.
    fn children(
        &mut self,
        parent: &Partial,
        relationship: &Relationship,
        documents: &Documents,
        source: &mut Source<'_>,
    ) -> Result<(Option<Partial>, Option<Partial>)> {
        let Some(leg) = self.plan.legs.get(parent.leg) else { return Ok((None, None)) };
        let end = end(leg, parent.incoming, relationship);
        let hop = |ended| Hop {
            source: relationship.source.as_str().into(),
            id: relationship.id.as_str().into(),
            incoming: parent.incoming,
            ended,
        };
        let trail = |ended| Some(Arc::new(Link { hop: hop(ended), before: parent.trail.clone() }));
        let mut ended = None;
        if self.ends(parent, leg, end) {
            let mut row = Partial {
                leg: parent.leg + 1,
                hops: 0,
                incoming: false,
                after: None,
                trail: trail(true),
                ..parent.clone()
            };
            if self.reach(&mut row, leg, relationship, end, documents)
                && self.holds(&leg.conditions, &row, source)?
            {
                self.bound[row.leg] += 1;
                ended = Some(row);
            }
        }
        let on = (parent.hops + 1 < leg.max).then(|| Partial {
            hops: parent.hops + 1,
            at: end.into(),
            incoming: false,
            after: None,
            trail: trail(false),
            ..parent.clone()
        });
        Ok((ended, on))
    }

    /// Binds what a leg ends with; `false` if the twin is gone, or of a model that cannot match.
    fn reach(
        &self,
        row: &mut Partial,
        leg: &Leg,
        relationship: &Relationship,
        end: &str,
        documents: &Documents,
    ) -> bool {
        let to = usize::from(leg.to);
        if !leg.closes {
            row.documents[to] = match self.plan.need(leg.to) {
                Need::Nothing => None,
                Need::Id => Some(Arc::new(json!({ "$dtId": end }))),
                Need::Document => match documents.get(&leg.to).and_then(|documents| documents.get(end)) {
                    Some(document) => Some(Arc::clone(document)),
                    None => return false,
                },
            };
            row.ids[to] = Some(end.into());
        }
        if let Some(alias) = leg.relationship
            && self.plan.need(alias) > Need::Nothing
        {
            row.documents[usize::from(alias)] = Some(Arc::new(relationship_document(relationship)));
        }
        if let Some(next) = self.plan.legs.get(row.leg) {
            row.at = row.ids[usize::from(next.from)].clone().unwrap_or_default();
        }
        true
    }

    fn holds(&self, conditions: &[usize], partial: &Partial, source: &mut Source<'_>) -> Result<bool> {
        source.combine()?;
        let bindings = partial.bindings();
        let mut conditions = conditions.iter().filter_map(|&at| self.plan.conditions.get(at));
        Ok(conditions.all(|condition| self.query.holds(condition, &bindings, self.models)))
    }

    /// Takes the walk up below a root.
    pub(super) async fn resume(&mut self, key: &str, inside: Inside, source: &mut Source<'_>) -> Result<()> {
        let Some(document) = source.root(key).await? else { return Ok(()) };
        let root = Arc::new(Root { key: key.to_owned(), before: None });
        let Some(mut item) = self.root(root, document, source)? else { return Ok(()) };
        for hop in inside.trail {
            let Some(leg) = self.plan.legs.get(item.leg) else { return Ok(()) };
            item.incoming = hop.incoming;
            let rest = Partial { after: Some(after_relationship(&hop.source, &hop.id)), ..item.clone() };
            let found = source.relationship(&hop.source, &hop.id).await?.filter(|found| {
                let named = leg.names.is_empty() || leg.names.contains(&found.name);
                let here = if direction(leg, hop.incoming) == Direction::Outgoing {
                    &found.source
                } else {
                    &found.target
                };
                named && **here == *item.at && self.follows(&item, leg, found)
            });
            let (ended, on) = match found {
                None => (None, None),
                Some(found) => {
                    let end = end(leg, hop.incoming, &found).to_owned();
                    let wanted = BTreeMap::from([(leg.to, BTreeSet::from([end]))]);
                    let documents = self.documents(wanted, source).await?;
                    self.children(&item, &found, &documents, source)?
                }
            };
            let (here, later) = if hop.ended { (ended, on) } else { (on, None) };
            self.queues.push(later.into_iter().chain([rest]).collect());
            // The relationship is no more, or no longer fits: what stood below it is not there either.
            let Some(here) = here else { return Ok(()) };
            item = here;
        }
        (item.incoming, item.after) = (inside.incoming, inside.after);
        self.queues.push(VecDeque::from([item]));
        Ok(())
    }
}

/// What partial rows have in common that can be taken together.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Kind {
    leg: usize,
    incoming: bool,
    /// Rows that go on behind a mark are alone: a mark belongs to one twin.
    after: Option<String>,
}

impl Kind {
    fn of(partial: &Partial) -> Self {
        Self { leg: partial.leg, incoming: partial.incoming, after: partial.after.clone() }
    }
}

/// The relationships of one twin, or the first of them.
struct Found {
    relationships: Vec<Arc<Relationship>>,
    next: Option<String>,
}

/// Which relationships of the twin a leg follows.
fn direction(leg: &Leg, incoming: bool) -> Direction {
    match leg.direction {
        StepDirection::Forward => Direction::Outgoing,
        StepDirection::Backward => Direction::Incoming,
        StepDirection::Either if incoming => Direction::Incoming,
        StepDirection::Either => Direction::Outgoing,
    }
}

/// The twin at the other end.
fn end<'r>(leg: &Leg, incoming: bool, relationship: &'r Relationship) -> &'r str {
    match direction(leg, incoming) {
        Direction::Outgoing => &relationship.target,
        Direction::Incoming => &relationship.source,
    }
}
