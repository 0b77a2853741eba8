//! Queries over the twin graph. The language is crate `query`'s; here is what reads the store.
//!
//! ```text
//!   text ─parse─▶ Query ─hints─▶ plan ─▶ roots (twins or relationships, in key order) ─▶ expansion along JOINs
//!                                                            └──────▶ matches? ─▶ project ─▶ rows of one page
//! ```
//!
//! Nothing is cached: a query sees every write that was acknowledged before it began. What a page may cost is bounded
//! in rows, bytes, memory and time; a page that runs out of one of them ends early and says where to go on.

use std::time::Duration;

use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_query::twins::{Bindings, Collection, ModelTree, Query};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::continuation::Paging;
use super::models::Models;
use super::{Twins, refusal};
use crate::{Caller, Right};

mod expansion;
mod plan;

use expansion::Expansion;
use plan::Plan;

/// How long one page may be worked on.
const PAGE_TIME: Duration = Duration::from_secs(10);
/// Most bytes of rows in one page, the last row not counted.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many documents are read at once.
pub(super) const BATCH: usize = 100;

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
    /// What the page cost: 1, and 0.05 for each document that was read.
    pub charge: f64,
}

/// How far a query has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    query: String,
    /// The store's key after which roots are read.
    after: Option<String>,
    /// How many combinations of the root after that were looked at already.
    seen: u64,
    /// How many rows were given, for `TOP`.
    given: u64,
    /// How many matches were counted, for `COUNT`.
    counted: u64,
}

impl Twins {
    /// Answers a query, page by page.
    ///
    /// # Errors
    /// [`ErrorCode::QueryInvalid`] with line and position, [`ErrorCode::InvalidArgument`].
    pub async fn query(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        query: QueryTwins,
    ) -> Result<QueryPage> {
        let resource = self.authorize(caller, instance, Right::TwinsRead)?;
        let scope = format!("{instance}/query");
        let position: Position = match (&query.paging.continuation, query.query) {
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
        let store = &*self.context.store;
        let plan = Plan::make(&parsed, &models, store, instance).await?;
        let run = Run { store, instance, query: &parsed, models: &models, plan, read: 0 };
        let (rows, next, read) = run.page(position, query.paging.limit()).await?;
        let continuation = match next {
            Some(position) => Some(self.continuation.seal(&scope, &position).await?),
            None => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "a charge is approximate")]
        let charge = 1.0 + 0.05 * read as f64;
        Ok(QueryPage { rows, continuation, charge })
    }
}

struct Run<'r> {
    store: &'r dyn pollux_store::Store,
    instance: &'r ResourceName,
    query: &'r Query,
    models: &'r Models,
    plan: Plan,
    /// Documents read.
    read: u64,
}

/// What a page has so far.
struct PageSoFar {
    rows: Vec<Value>,
    bytes: usize,
    limit: usize,
    ends: Instant,
    /// Whether anything new was looked at: a page that ends without would be asked for again, for ever.
    begun: bool,
}

impl PageSoFar {
    fn full(&self) -> bool {
        self.begun
            && (self.rows.len() >= self.limit || self.bytes >= PAGE_BYTES || Instant::now() >= self.ends)
    }
}

impl Run<'_> {
    /// Rows of one page, where to go on, and how many documents were read.
    async fn page(mut self, mut at: Position, limit: usize) -> Result<(Vec<Value>, Option<Position>, u64)> {
        if let Some(count) = self.plan.count(self.store, self.instance).await? {
            return Ok((vec![self.query.count_row(count)], None, 1));
        }
        let left = self.query.top().map_or(u64::MAX, |top| top.saturating_sub(at.given));
        let limit = limit.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut page =
            PageSoFar { rows: Vec::new(), bytes: 0, limit, ends: Instant::now() + PAGE_TIME, begun: false };
        let ended = left == 0 || self.fill(&mut page, &mut at).await?;
        at.given += page.rows.len() as u64;
        let ended = ended || self.query.top().is_some_and(|top| at.given >= top);
        if ended && self.query.is_count() {
            page.rows.push(self.query.count_row(at.counted));
        }
        Ok((page.rows, (!ended).then_some(at), self.read))
    }

    /// Reads roots until the page is full or there are no more (then `true`).
    async fn fill(&mut self, page: &mut PageSoFar, at: &mut Position) -> Result<bool> {
        loop {
            // Relationships are read only as many as fit: their key is the store's own and is known for a whole batch only.
            let wanted = match self.query.collection() {
                Collection::DigitalTwins => BATCH,
                Collection::Relationships => BATCH.min(page.limit.saturating_sub(page.rows.len())).max(1),
            };
            let batch = self.plan.roots(self.store, self.instance, at.after.as_deref(), wanted).await?;
            self.read += batch.roots.len() as u64;
            for (key, root) in batch.roots {
                let mut expansion = Expansion::new(self.query, root);
                if !self.expand(&mut expansion, page, at).await? {
                    return Ok(false);
                }
                (at.after, at.seen) = (key.or_else(|| at.after.take()), 0);
            }
            match batch.next {
                None => return Ok(true),
                next => at.after = next,
            }
            if page.full() {
                return Ok(false);
            }
        }
    }

    /// Looks at the combinations of one root; `false` if the page is full before they are all seen.
    async fn expand(
        &mut self,
        expansion: &mut Expansion<'_>,
        page: &mut PageSoFar,
        at: &mut Position,
    ) -> Result<bool> {
        let mut seen = 0;
        let twins_only = self.query.collection() == Collection::DigitalTwins;
        while let Some(bound) = expansion.next(self.store, self.instance, &self.plan, &mut self.read).await? {
            seen += 1;
            if seen <= at.seen {
                continue;
            }
            if twins_only && page.full() {
                return Ok(false);
            }
            (at.seen, page.begun) = (seen, true);
            let mut bindings = Bindings::default();
            for (alias, document) in (0..).zip(&bound) {
                if let Some(document) = document {
                    bindings.bind(alias, document);
                }
            }
            if !self.query.matches(&bindings, self.models) {
                continue;
            }
            if self.query.is_count() {
                at.counted += 1;
                continue;
            }
            let row = self.query.project(&bindings);
            page.bytes += serde_json::to_vec(&row).map_or(0, |bytes| bytes.len());
            page.rows.push(row);
        }
        Ok(true)
    }
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
