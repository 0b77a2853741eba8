//! The rows of a query from wherever they can be had: the graph in memory, else the store.

use pollux_model::Result;
use pollux_query::twins::{Collection, Query};
use serde_json::Value;

use super::super::graph::Presence;
use super::super::models::Models;
use super::answer::Ordered;
use super::explain;
use super::memory::{self, Found, Memory, Want};
use super::plan::{Counting, Plan};
use super::row::Row;
use super::source::{Source, Spent};
use super::walk::{self, Partial, Place, Walk};

/// How many roots are read from the store at once.
const BATCH: usize = 100;

/// What comes next.
pub(super) enum Next {
    Row(Bound),
    /// There are no more.
    Dry,
    /// The page's time is up.
    Late,
}

/// A row, or, where only their number is wanted, several.
pub(super) enum Bound {
    Store(Box<Partial>),
    Memory(Found),
}

impl Bound {
    pub(super) fn count(&self) -> u64 {
        if let Self::Memory(Found::Counted(count)) = self { *count } else { 1 }
    }

    pub(super) fn show(self, query: &Query) -> Row {
        match self {
            Self::Store(row) => Row::Document(query.project(&row.bindings())),
            Self::Memory(Found::Shown(row)) => row,
            Self::Memory(Found::Documents(row)) => Row::Document(query.project(&row.bindings())),
            Self::Memory(Found::Counted(count)) => Row::Document(query.count_row(count)),
        }
    }

    pub(super) fn put_in_order(self, ordered: &mut Ordered<'_>) -> Result<()> {
        match self {
            Self::Store(row) => ordered.take(&row.bindings(), || row.identity()),
            Self::Memory(Found::Documents(row)) => ordered.take(&row.bindings(), || row.identity()),
            Self::Memory(Found::Shown(_) | Found::Counted(_)) => Ok(()),
        }
    }
}

/// All rows of a query behind a place.
pub(super) struct Rows<'r> {
    parts: (&'r Query, &'r Plan<'r>, &'r Models),
    source: Source<'r>,
    presence: Presence,
    place: Place,
    from: From<'r>,
}

enum From<'r> {
    Memory(Box<Memory<'r>>),
    /// With whether there are no more roots.
    Store(Walk<'r>, bool),
}

impl<'r> Rows<'r> {
    pub(super) fn of(
        parts: (&'r Query, &'r Plan<'r>, &'r Models),
        source: Source<'r>,
        presence: Presence,
        place: Place,
    ) -> Self {
        let (query, plan, models) = parts;
        let from = if presence == Presence::Whole && query.collection() == Collection::DigitalTwins {
            let want = match (Ordered::wants(query), query.is_count() || query.is_explain()) {
                (true, _) => Want::Documents,
                (false, true) => Want::Count,
                (false, false) => Want::Shown,
            };
            From::Memory(Box::new(Memory::new(parts, source.graphs, &plan.predicates, want, place.clone())))
        } else {
            From::Store(Walk::new(query, plan, models), false)
        };
        Self { parts, source, presence, place, from }
    }

    /// How many rows there are, where that can be told without looking at them.
    pub(super) async fn counted(&mut self) -> Result<Option<u64>> {
        match &self.parts.1.counting {
            Counting::No => Ok(None),
            Counting::Of(models) => self.source.count_twins(models.as_deref()).await.map(Some),
        }
    }

    /// Goes to the place to begin at.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let From::Store(walk, _) = &mut self.from else { return Ok(()) };
        if let (Some(inside), Some(key)) = (self.place.inside.take(), &self.place.after) {
            walk.resume(key, inside, &mut self.source).await?;
        }
        Ok(())
    }

    /// The next row; `room`: how many the page can still have.
    pub(super) async fn next(&mut self, room: usize) -> Result<Next> {
        loop {
            let place = match &mut self.from {
                From::Store(..) => return self.next_stored().await,
                From::Memory(memory) => match memory.next(room, &mut self.source).await? {
                    memory::Next::Row(found) => return Ok(Next::Row(Bound::Memory(found))),
                    memory::Next::Dry => return Ok(Next::Dry),
                    memory::Next::Late => return Ok(Next::Late),
                    memory::Next::Gone => memory.place(),
                },
            };
            let (query, plan, models) = self.parts;
            self.from = From::Store(Walk::new(query, plan, models), false);
            self.place = place;
            self.begin().await?;
        }
    }

    /// The next row from the store, from further roots if need be.
    async fn next_stored(&mut self) -> Result<Next> {
        let (From::Store(walk, dry), source) = (&mut self.from, &mut self.source) else {
            return Ok(Next::Dry);
        };
        loop {
            match walk.next(source).await? {
                walk::Next::Row(row) => return Ok(Next::Row(Bound::Store(row))),
                walk::Next::Late => return Ok(Next::Late),
                walk::Next::Dry if *dry => return Ok(Next::Dry),
                walk::Next::Dry if source.late() && source.spent.work() > 0 => return Ok(Next::Late),
                walk::Next::Dry => {
                    let after = self.place.after.take();
                    let batch = source.roots(&self.parts.1.roots, after.as_deref(), BATCH).await?;
                    self.place.after.clone_from(&batch.next);
                    *dry = batch.next.is_none();
                    walk.begin(batch, after, source)?;
                }
            }
        }
    }

    /// Whether no row is left, as far as that is known.
    pub(super) fn is_dry(&self) -> bool {
        match &self.from {
            From::Memory(memory) => memory.is_dry(),
            From::Store(walk, dry) => walk.is_dry() && *dry,
        }
    }

    /// Whether a page may end behind the row that was given last.
    pub(super) fn may_end(&self) -> bool {
        match &self.from {
            From::Memory(memory) => memory.may_end(),
            From::Store(..) => true,
        }
    }

    /// Where the answer goes on.
    pub(super) fn place(&self) -> Place {
        match &self.from {
            From::Memory(memory) => memory.place(),
            From::Store(walk, _) => walk.place().unwrap_or_else(|| self.place.clone()),
        }
    }

    pub(super) fn spent(&self) -> Spent {
        self.source.spent
    }

    /// All pages so far.
    pub(super) fn work(&self) -> u64 {
        self.source.work()
    }

    pub(super) fn explain(&self, query: &Query, rows: u64, complete: bool) -> Value {
        let (bound, memory) = match &self.from {
            From::Memory(memory) => (memory.rows.as_slice(), memory.access.clone()),
            From::Store(walk, _) => (walk.bound.as_slice(), None),
        };
        let spent = self.spent();
        let (presence, index) = (self.presence, self.source.index());
        let seen = explain::Seen { bound, rows, spent, complete, memory, presence, index };
        explain::row(query, self.parts.1, &seen)
    }
}
