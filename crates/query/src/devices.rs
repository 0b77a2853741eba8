//! The IoT Hub query language over device twins and module twins: `SELECT .. FROM devices [WHERE ..] [GROUP BY ..]`, or
//! `FROM devices.modules`, evaluated on the twin's JSON document (`deviceId`, `moduleId`, `status`, `tags.*`,
//! `properties.desired.*`, `properties.reported.*`, ..); or `FROM devices.jobs`, evaluated on what became of a job at a device
//! (`jobId`, `deviceId`, `status`, `outcome.*`, ..).
//!
//! Source: Azure "IoT Hub query language for device and module twins, jobs, and message routing".

mod ast;
mod parse;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

pub use self::ast::{Collection, Column, ColumnValue, SelectList};
pub use crate::totals::Aggregate;
use crate::{
    Hints, Limits, QueryError,
    eval::{self, Scope, walk},
    expr::{Expr, Path},
    hints,
    order::SortKey,
    totals::Total,
    value::Value,
};

/// A checked query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    top: Option<u64>,
    select: SelectList,
    collection: Collection,
    filter: Option<Expr>,
    group_by: Vec<Path>,
}

/// Parses and checks a query within [`Limits::HUB`].
///
/// # Errors
/// Where the text stops being a query, or what in it can never make sense.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    parse_with(text, &Limits::HUB)
}

/// Parses and checks a query within other limits.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    parse::query(text, limits)
}

impl Query {
    /// `TOP n`: the most rows to answer with.
    pub fn top(&self) -> Option<u64> {
        self.top
    }

    /// What a row shows.
    pub fn select(&self) -> &SelectList {
        &self.select
    }

    /// What the query ranges over.
    pub fn collection(&self) -> Collection {
        self.collection
    }

    /// The condition of `WHERE`.
    pub fn filter(&self) -> Option<&Expr> {
        self.filter.as_ref()
    }

    /// Whether rows are computed from many documents: then [`Query::aggregator`] makes the answer, not
    /// [`Query::project`].
    pub fn is_aggregate(&self) -> bool {
        !self.group_by.is_empty() || self.aggregates().next().is_some()
    }

    /// Conditions that every match fulfils (`ids` are device ids); to narrow down candidates, never to decide.
    pub fn hints(&self) -> Hints {
        let special = hints::Special { id: "deviceId", model: &[] };
        hints::collect(self.filter.as_ref(), 1, &special).pop().unwrap_or_default()
    }

    /// Whether the device twin's document fulfils the condition.
    pub fn matches(&self, document: &Json) -> bool {
        self.filter.as_ref().is_none_or(|filter| eval::holds(filter, &DocumentScope(document)))
    }

    /// The row for one document: `SELECT *` gives the document itself; columns give an object in which what the
    /// document lacks is left out.
    pub fn project(&self, document: &Json) -> Json {
        match &self.select {
            SelectList::All => document.clone(),
            SelectList::Columns(columns) => {
                let mut row = Map::new();
                for column in columns {
                    if let ColumnValue::Path(path) = &column.value
                        && let Some(value) = walk(document, &path.segments, false)
                    {
                        row.insert(column.name.clone(), value.clone());
                    }
                }
                Json::Object(row)
            }
        }
    }

    /// Starts an answer that is computed from all matches.
    pub fn aggregator(&self) -> Aggregator<'_> {
        let mut aggregator = Aggregator { query: self, groups: BTreeMap::new(), bytes: 0 };
        if self.group_by.is_empty() {
            aggregator.group(SortKey::ascending(Vec::new()));
        }
        aggregator
    }

    fn columns(&self) -> &[Column] {
        match &self.select {
            SelectList::All => &[],
            SelectList::Columns(columns) => columns,
        }
    }

    fn aggregates(&self) -> impl Iterator<Item = &Aggregate> {
        self.columns().iter().filter_map(|column| match &column.value {
            ColumnValue::Aggregate(aggregate) => Some(aggregate),
            ColumnValue::Path(_) => None,
        })
    }
}

/// An answer in the making: feed it every match, then take the rows. It holds a row for each group.
#[derive(Debug)]
pub struct Aggregator<'q> {
    query: &'q Query,
    groups: BTreeMap<SortKey, Vec<Total>>,
    bytes: usize,
}

impl Aggregator<'_> {
    /// Takes in a document for which [`Query::matches`] holds.
    pub fn add(&mut self, document: &Json) {
        let query = self.query;
        let common = query.group_by.iter().map(|path| walk(document, &path.segments, false).cloned());
        let totals = self.group(SortKey::ascending(common.collect()));
        let mut grown = 0;
        for (aggregate, total) in query.aggregates().zip(totals) {
            grown += total.add(aggregate.path().and_then(|path| walk(document, &path.segments, false)));
        }
        self.bytes += grown;
    }

    /// About how many bytes the groups take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows, in order of what the matches of each have in common; without `GROUP BY` one, also when nothing matched.
    /// What is undefined, such as the average of nothing, is left out. None for a query without aggregates.
    pub fn finish(self) -> Vec<Json> {
        let query = self.query;
        if !query.is_aggregate() {
            return Vec::new();
        }
        self.groups.into_iter().map(|(key, totals)| query.group_row(&key, &totals)).collect()
    }

    fn group(&mut self, key: SortKey) -> &mut [Total] {
        const TOTAL: usize = 128;
        let (query, bytes) = (self.query, &mut self.bytes);
        let size = key.size();
        self.groups.entry(key).or_insert_with(|| {
            let totals: Vec<_> = query.aggregates().map(Total::of).collect();
            *bytes += size + totals.len() * TOTAL;
            totals
        })
    }
}

impl Query {
    fn group_row(&self, key: &SortKey, totals: &[Total]) -> Json {
        let (mut row, mut totals) = (Map::new(), totals.iter());
        for column in self.columns() {
            let value = match &column.value {
                ColumnValue::Aggregate(_) => totals.next().and_then(Total::value),
                ColumnValue::Path(path) => {
                    let at = self.group_by.iter().position(|grouped| grouped == path);
                    at.and_then(|at| key.parts.get(at)).and_then(|part| part.value.clone())
                }
            };
            if let Some(value) = value {
                row.insert(column.name.clone(), value);
            }
        }
        Json::Object(row)
    }
}

struct DocumentScope<'d>(&'d Json);

impl Scope for DocumentScope<'_> {
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s> {
        walk(self.0, &path.segments, false).into()
    }
}
