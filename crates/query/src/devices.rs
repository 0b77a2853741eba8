//! The IoT Hub query language over device twins: `SELECT .. FROM devices [WHERE ..]`, evaluated on the device twin's
//! JSON document (`deviceId`, `status`, `tags.*`, `properties.desired.*`, `properties.reported.*`, ..).
//!
//! Source: Azure "IoT Hub query language for device and module twins, jobs, and message routing".

mod ast;
mod parse;

use serde_json::{Map, Value as Json};

pub use self::ast::{Aggregate, Collection, Column, ColumnValue, SelectList};
use crate::{
    Hints, Limits, QueryError,
    eval::{self, Scope, walk},
    expr::{Expr, Path},
    hints,
    value::Value,
};

/// A checked query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    top: Option<u64>,
    select: SelectList,
    collection: Collection,
    filter: Option<Expr>,
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
        matches!(&self.select, SelectList::Columns(columns)
            if columns.iter().any(|column| matches!(column.value, ColumnValue::Aggregate(_))))
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
        Aggregator { query: self, count: 0 }
    }
}

/// An answer in the making: feed it every match, then take the rows.
#[derive(Debug)]
pub struct Aggregator<'q> {
    query: &'q Query,
    count: u64,
}

impl Aggregator<'_> {
    /// Takes in a document for which [`Query::matches`] holds.
    pub fn add(&mut self, _document: &Json) {
        self.count += 1;
    }

    /// The rows; one, also when nothing matched. None for a query without aggregates.
    pub fn finish(self) -> Vec<Json> {
        if !self.query.is_aggregate() {
            return Vec::new();
        }
        let mut row = Map::new();
        if let SelectList::Columns(columns) = &self.query.select {
            for column in columns {
                if let ColumnValue::Aggregate(Aggregate::Count) = column.value {
                    row.insert(column.name.clone(), self.count.into());
                }
            }
        }
        vec![Json::Object(row)]
    }
}

struct DocumentScope<'d>(&'d Json);

impl Scope for DocumentScope<'_> {
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s> {
        walk(self.0, &path.segments, false).into()
    }
}
