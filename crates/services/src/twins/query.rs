//! Queries over the twin graph. The language is crate `query`'s; here is what reads the store.
//!
//! ```text
//!   text ─parse─▶ Query ─▶ plan ─▶ rows ─┬─ memory: the graph, one relationship after the other ─▶ as they come
//!                                        └─ walk: the store, hop by hop, batch by batch            or answer:
//!                                             └─ source: what is read, what was spent              in order, in groups
//! ```
//!
//! A query sees every write that was acknowledged before it began: the graph in memory is changed before a commit is
//! acknowledged (see `graph`), and where there is none the store is read. What a query may cost is bounded
//! in rows, bytes, memory, work and time: a page that runs out of rows, bytes or time ends early and says where to go
//! on; a query that runs out of memory or work, or that must see everything and has no time for it, is refused.
//! docs/operations/queries.md has the figures.

use std::time::Duration;

use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_query::twins::{ModelTree, Moment, Query};
use pollux_store::twins::TwinFilter;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::continuation::Paging;
use super::graph::Presence;
use super::models::Models;
use super::rates::Kind;
use super::{Twins, refusal};
use crate::{Caller, Limits, Right};

mod answer;
mod explain;
mod memory;
mod past;
mod plan;
mod row;
mod rows;
mod source;
mod walk;

use answer::{Behind, Ordered};
pub(super) use plan::LONGEST_LIST;
use plan::{Plan, Roots};
pub use row::Row;
use rows::{Next, Rows};
use source::Source;
use walk::Place;

/// Most bytes of rows in one page, the last row not counted.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

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
    pub rows: Vec<Row>,
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
    /// [`ErrorCode::QuotaExceeded`] if it costs too much, [`ErrorCode::QueryTimeout`] if it takes too long.
    pub async fn query(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        query: QueryTwins,
    ) -> Result<QueryPage> {
        let resource = self.admit(caller, instance, Right::TwinsRead, (Kind::Query, &[]))?;
        let scope = format!("{instance}/query");
        let mut position: Position = match (&query.paging.continuation, query.query) {
            (Some(token), _) => self.continuation.open(&scope, token).await?,
            (None, Some(text)) => Position { query: text, ..Position::default() },
            (None, None) => return Err(Error::invalid("The body must have a query or a continuationToken.")),
        };
        let parsed = pollux_query::twins::parse(&position.query)
            .map_err(|error| unparsed(error.line, error.column, &error.message))?;
        let models = self.models.get(&resource).await?;
        let limits = &self.context.limits;
        let time = limits.query_page_seconds * if Ordered::wants(&parsed) { 3 } else { 1 };
        let ends = Instant::now() + Duration::from_secs(time);
        let work = (position.work, limits.query_work);
        let as_of = self.as_of(&resource, &parsed)?;
        let presence = match as_of {
            // Only what stands now is in memory.
            Some(_) => Presence::Off,
            None => self.graphs.want(&self.context.store, instance),
        };
        let mut source =
            Source::new((&self.context, &self.graphs, &self.indexes), instance, work, ends, as_of);
        let plan = Plan::make(&parsed, &models, &mut source, position.start).await?;
        position.start = Some(plan.start);
        if let (Presence::Off, None, Roots::Twins(TwinFilter { ids: None, .. })) =
            (presence, as_of, &plan.roots)
        {
            let store = &*self.context.store;
            source.by_value = self.indexes.find(store, instance, &plan.predicates).await;
        }
        let rows = Rows::of((&parsed, &plan, &models), source, presence, position.place.clone());
        let run = Run { query: &parsed, rows, limits };
        let limit = query.paging.limit();
        let (rows, next, charge) = run.page(position, limit).await?;
        self.spend(instance, charge);
        let continuation = match next {
            Some(position) => Some(self.continuation.seal(&scope, &position).await?),
            None => None,
        };
        Ok(QueryPage { rows, continuation, charge })
    }
}

impl Twins {
    /// The moment a query asks for: that which it names, if its instance knows of it; `None` is the present one.
    fn as_of(&self, instance: &Resource, query: &Query) -> Result<Option<Timestamp>> {
        let now = self.context.clock.now();
        let Some(Moment { text, line, column }) = query.as_of() else {
            return Ok(instance.seen_by_queries(now));
        };
        let at = Timestamp::parse(text).ok_or_else(|| {
            let message =
                "expected a date and time as RFC 3339 writes it, like '2026-11-29T10:00:00Z', behind AS OF.";
            unparsed(*line, *column, message)
        })?;
        let begins = instance.twin_history().ok_or_else(|| Error::invalid(refusal::NO_HISTORY))?.begins(now);
        if !(begins..=now).contains(&at) {
            let message = format!("the history of this instance is from {begins} to the present, {now}.");
            return Err(unparsed(*line, *column, &message));
        }
        Ok(Some(at))
    }
}

fn unparsed(line: u32, column: u32, message: &str) -> Error {
    Error::new(
        ErrorCode::QueryInvalid,
        format!(
            "SQL query parse failed: SQL Parser Error, Line={line}, Position={}, Message={message} See samples in \
             http://aka.ms/adtv2query for the correct syntax.",
            column.saturating_sub(1)
        ),
    )
}

struct Run<'r> {
    query: &'r Query,
    rows: Rows<'r>,
    limits: &'r Limits,
}

type Page = (Vec<Row>, Option<Position>, f64);

impl Run<'_> {
    /// Rows of one page, where to go on, and what it cost.
    async fn page(mut self, at: Position, limit: usize) -> Result<Page> {
        if let Some(count) = self.rows.counted().await? {
            return Ok((vec![Row::Document(self.query.count_row(count))], None, self.rows.spent().charge()));
        }
        self.rows.begin().await?;
        let left = self.query.top().map_or(u64::MAX, |top| top.saturating_sub(at.given));
        let limit = limit.min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.query.is_explain() {
            self.explained(limit).await
        } else if Ordered::wants(self.query) {
            self.ordered(at, limit).await
        } else {
            self.plain(at, limit).await
        }
    }

    /// Rows as they come, or their number.
    async fn plain(mut self, mut at: Position, limit: usize) -> Result<Page> {
        let (mut shown, mut bytes) = (Vec::new(), 0);
        let ended = loop {
            if limit == 0 || self.rows.is_dry() {
                break true;
            }
            if (shown.len() >= limit || bytes >= PAGE_BYTES) && self.rows.may_end() {
                break self.query.top().is_some_and(|top| at.given + shown.len() as u64 >= top);
            }
            let row = match self.rows.next(limit.saturating_sub(shown.len())).await? {
                Next::Row(row) => row,
                Next::Dry => break true,
                Next::Late => break false,
            };
            if self.query.is_count() {
                at.counted += row.count();
            } else if at.passed < self.query.offset() {
                at.passed += 1;
            } else {
                let row = row.show(self.query);
                bytes += row.bytes();
                shown.push(row);
            }
        };
        at.given += shown.len() as u64;
        if ended && self.query.is_count() {
            shown.push(Row::Document(self.query.count_row(at.counted)));
        }
        let next = (!ended).then(|| Position { place: self.rows.place(), work: self.rows.work(), ..at });
        Ok((shown, next, self.rows.spent().charge()))
    }

    /// Rows in order, or groups.
    async fn ordered(mut self, mut at: Position, limit: usize) -> Result<Page> {
        let mut ordered =
            Ordered::new(self.query, at.behind.take(), limit, self.query.offset(), self.limits.query_memory)?;
        loop {
            match self.rows.next(usize::MAX).await? {
                Next::Row(row) => row.put_in_order(&mut ordered)?,
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
            work: self.rows.work(),
            ..at
        });
        Ok((rows.into_iter().map(Row::Document).collect(), next, self.rows.spent().charge()))
    }

    /// What it takes to answer the query, found by answering it.
    async fn explained(mut self, limit: usize) -> Result<Page> {
        let mut ordered =
            Ordered::new(self.query, None, limit, self.query.offset(), self.limits.query_memory)?;
        let mut rows = 0;
        let complete = loop {
            match self.rows.next(usize::MAX).await? {
                Next::Row(row) if Ordered::wants(self.query) => row.put_in_order(&mut ordered)?,
                Next::Row(row) => rows += row.count(),
                Next::Dry => break true,
                Next::Late => break false,
            }
        };
        if Ordered::wants(self.query) {
            rows = ordered.seen();
        }
        let charge = self.rows.spent().charge();
        let explained = self.rows.explain(self.query, rows, complete);
        Ok((vec![Row::Document(explained)], None, charge))
    }
}

fn too_long(seconds: u64) -> Error {
    Error::new(
        ErrorCode::QueryTimeout,
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
