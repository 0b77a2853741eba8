//! Queries over the twin graph. The language is crate `query`'s; here is what reads the store.
//!
//! ```text
//!   text ─parse─▶ Query ─▶ plan ─▶ walk: roots, then hop by hop, batch by batch ─▶ rows as they come
//!                                    └─ source: the store, and what was spent      or answer: in order, in groups
//! ```
//!
//! Nothing is cached: a query sees every write that was acknowledged before it began. What a query may cost is bounded
//! in rows, bytes, memory, work and time: a page that runs out of rows, bytes or time ends early and says where to go
//! on; a query that runs out of memory or work, or that must see everything and has no time for it, is refused.
//! docs/operations/queries.md has the figures.

use std::time::Duration;

use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_query::twins::{ModelTree, Query};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::continuation::Paging;
use super::models::Models;
use super::{Twins, refusal};
use crate::{Caller, Limits, Right};

mod answer;
mod explain;
mod plan;
mod source;
mod walk;

use answer::{Behind, Ordered};
use plan::{Counting, Plan};
use source::Source;
use walk::{Next, Place, Walk};

/// Most bytes of rows in one page, the last row not counted.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many roots are read at once.
const BATCH: usize = 100;

/// A query, or a page of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryTwins {
    /// The text. Ignored where `paging` has a continuation, which knows it.
    pub query: Option<String>,
    /// Which page.
    pub paging: Paging,
}

/// A page of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPage {
    /// The rows. A page may be empty although others follow.
    pub rows: Vec<Value>,
    /// Where the answer goes on; `None` at its end.
    pub continuation: Option<String>,
    /// What the page cost: 1, 0.05 for each twin and relationship that was read, 0.002 for each combination of them
    /// that conditions were decided for.
    pub charge: f64,
}

/// How far a query has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    query: String,
    /// The alias the walk starts from, so that every page has the same plan.
    start: Option<u16>,
    place: Place,
    /// For answers that are ordered or grouped.
    behind: Option<Behind>,
    /// How many rows were given, for `TOP`.
    given: u64,
    /// How many rows were passed over, for `OFFSET`.
    passed: u64,
    /// How many matches were counted, for `COUNT`.
    counted: u64,
    /// How much work was done.
    work: u64,
}

impl Twins {
    /// Answers a query, page by page.
    ///
    /// # Errors
    /// [`ErrorCode::QueryInvalid`] with line and position, [`ErrorCode::InvalidArgument`],
    /// [`ErrorCode::QuotaExceeded`] if it costs too much.
    pub async fn query(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        query: QueryTwins,
    ) -> Result<QueryPage> {
        let resource = self.authorize(caller, instance, Right::TwinsRead)?;
        let scope = format!("{instance}/query");
        let mut position: Position = match (&query.paging.continuation, query.query) {
            (Some(token), _) => self.continuation.open(&scope, token).await?,
            (None, Some(text)) => Position { query: text, ..Position::default() },
            (None, None) => return Err(Error::invalid("The body must have a query or a continuationToken.")),
        };
        let parsed = pollux_query::twins::parse(&position.query).map_err(|error| {
            Error::new(
                ErrorCode::QueryInvalid,
                format!(
                    "SQL query parse failed: SQL Parser Error, Line={}, Position={}, Message={} See samples in \
                     http://aka.ms/adtv2query for the correct syntax.",
                    error.line,
                    error.column.saturating_sub(1),
                    error.message
                ),
            )
        })?;
        let models = self.models.get(&resource).await?;
        let limits = &self.context.limits;
        let time = limits.query_page_seconds * if Ordered::wants(&parsed) { 3 } else { 1 };
        let ends = Instant::now() + Duration::from_secs(time);
        let work = (position.work, limits.query_work);
        let mut source = Source::new(&*self.context.store, instance, work, ends);
        let plan = Plan::make(&parsed, &models, &mut source, position.start).await?;
        position.start = Some(plan.start);
        let run = Run {
            query: &parsed,
            plan: &plan,
            walk: Walk::new(&parsed, &plan, &models),
            source,
            limits,
            dry: false,
        };
        let limit = query.paging.limit();
        let (rows, next, charge) = run.page(position, limit).await?;
        let continuation = match next {
            Some(position) => Some(self.continuation.seal(&scope, &position).await?),
            None => None,
        };
        Ok(QueryPage { rows, continuation, charge })
    }
}

struct Run<'r> {
    query: &'r Query,
    plan: &'r Plan<'r>,
    walk: Walk<'r>,
    source: Source<'r>,
    limits: &'r Limits,
    /// Whether the store has no more roots.
    dry: bool,
}

type Page = (Vec<Value>, Option<Position>, f64);

impl Run<'_> {
    /// Rows of one page, where to go on, and what it cost.
    async fn page(mut self, mut at: Position, limit: usize) -> Result<Page> {
        if let Counting::Of(models) = &self.plan.counting {
            let count = self.source.count_twins(models.as_deref()).await?;
            return Ok((vec![self.query.count_row(count)], None, self.source.spent.charge()));
        }
        if let (Some(inside), Some(key)) = (at.place.inside.take(), &at.place.after) {
            self.walk.resume(key, inside, &mut self.source).await?;
        }
        let left = self.query.top().map_or(u64::MAX, |top| top.saturating_sub(at.given));
        let limit = limit.min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.query.is_explain() {
            self.explained(at, limit).await
        } else if Ordered::wants(self.query) {
            self.ordered(at, limit).await
        } else {
            self.plain(at, limit).await
        }
    }

    /// Rows as they come, or their number.
    async fn plain(mut self, mut at: Position, limit: usize) -> Result<Page> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let ended = loop {
            if limit == 0 || (self.walk.is_dry() && self.dry) {
                break true;
            }
            if rows.len() >= limit || bytes >= PAGE_BYTES {
                break self.query.top().is_some_and(|top| at.given + rows.len() as u64 >= top);
            }
            let row = match self.next(&mut at).await? {
                Next::Row(row) => row,
                Next::Dry => break true,
                Next::Late => break false,
            };
            if self.query.is_count() {
                at.counted += 1;
            } else if at.passed < self.query.offset() {
                at.passed += 1;
            } else {
                let row = self.query.project(&row.bindings());
                bytes += serde_json::to_vec(&row).map_or(0, |bytes| bytes.len());
                rows.push(row);
            }
        };
        at.given += rows.len() as u64;
        if ended && self.query.is_count() {
            rows.push(self.query.count_row(at.counted));
        }
        let next = (!ended).then(|| self.position(at));
        Ok((rows, next, self.source.spent.charge()))
    }

    /// Rows in order, or groups.
    async fn ordered(mut self, mut at: Position, limit: usize) -> Result<Page> {
        let mut ordered =
            Ordered::new(self.query, at.behind.take(), limit, self.query.offset(), self.limits.query_memory)?;
        loop {
            match self.next(&mut at).await? {
                Next::Row(row) => ordered.take(&row)?,
                Next::Dry => break,
                Next::Late => return Err(too_long(3 * self.limits.query_page_seconds)),
            }
        }
        let (rows, behind) = ordered.finish()?;
        at.given += rows.len() as u64;
        let ended = self.query.top().is_some_and(|top| at.given >= top);
        let next = behind.filter(|_| !ended).map(|behind| Position {
            behind: Some(behind),
            place: Place::default(),
            work: self.source.work(),
            ..at
        });
        Ok((rows, next, self.source.spent.charge()))
    }

    /// What it takes to answer the query, found by answering it.
    async fn explained(mut self, mut at: Position, limit: usize) -> Result<Page> {
        let mut ordered =
            Ordered::new(self.query, None, limit, self.query.offset(), self.limits.query_memory)?;
        let mut rows = 0;
        let complete = loop {
            match self.next(&mut at).await? {
                Next::Row(row) if Ordered::wants(self.query) => ordered.take(&row)?,
                Next::Row(_) => rows += 1,
                Next::Dry => break true,
                Next::Late => break false,
            }
        };
        if Ordered::wants(self.query) {
            rows = ordered.seen();
        }
        let spent = self.source.spent;
        let seen = explain::Seen { bound: &self.walk.bound, rows, spent, complete };
        Ok((vec![explain::row(self.query, self.plan, &seen)], None, spent.charge()))
    }

    /// The next row, from further roots if need be.
    async fn next(&mut self, at: &mut Position) -> Result<Next> {
        loop {
            match self.walk.next(&mut self.source).await? {
                Next::Dry if self.dry => return Ok(Next::Dry),
                Next::Dry if self.source.late() && self.source.spent.work() > 0 => return Ok(Next::Late),
                Next::Dry => {
                    let after = at.place.after.take();
                    let batch = self.source.roots(&self.plan.roots, after.as_deref(), BATCH).await?;
                    at.place.after.clone_from(&batch.next);
                    self.dry = batch.next.is_none();
                    self.walk.begin(batch, after, &mut self.source)?;
                }
                found => return Ok(found),
            }
        }
    }

    /// Where the answer goes on.
    fn position(&self, at: Position) -> Position {
        let place = self.walk.place().unwrap_or_else(|| at.place.clone());
        Position { place, work: self.source.work(), ..at }
    }
}

fn too_long(seconds: u64) -> Error {
    Error::new(
        ErrorCode::QuotaExceeded,
        format!(
            "The query could not see all of its rows within {seconds} seconds, which it must to put them in order or \
             groups. Narrow it, or leave out ORDER BY and GROUP BY and take the rows page by page."
        ),
    )
}

impl ModelTree for Models {
    fn is_of_model(&self, model: &str, ancestor: &str, exact: bool) -> bool {
        if exact || model == ancestor {
            return model == ancestor;
        }
        let parse = pollux_dtdl::Dtmi::parse;
        match (parse(model), parse(ancestor)) {
            (Ok(model), Ok(ancestor)) => self.set.is_of(&model, &ancestor, false),
            _ => false,
        }
    }
}
