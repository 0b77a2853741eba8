//! The Azure Digital Twins query language, and what is ours beyond it.
//!
//! ```text
//! SELECT *|COUNT()|[TOP(n)] columns  FROM DIGITALTWINS|RELATIONSHIPS  [JOIN ..|MATCH ..]  [WHERE ..]
//! ```
//!
//! Ours: any number of `JOIN`s and hops, `MATCH` without a `$dtId`, `DISTINCT`, `GROUP BY` with `MIN`, `MAX`, `SUM` and
//! `AVG`, `ORDER BY`, `OFFSET`, `AS OF`, `EXPLAIN`. None of it changes what a query means that Azure understands.
//!
//! A [`Query`] is parsed and checked once. An executor then finds candidate rows with [`Query::hints`] and
//! [`Query::steps`], keeps those for which [`Query::matches`] holds, and answers with [`Query::project`] or, for groups,
//! [`Query::group_row`]. It does not live here.
//!
//! | file | concern |
//! |---|---|
//! | `parse` and below | text to [`Query`]; `names` knows what a name means |
//! | `row` | documents of one row |
//! | `needs` | what an executor need not read |
//! | `groups`, `order` | functions over groups; the order of values |
//!
//! Sources: Azure "Azure Digital Twins query language reference" (SELECT, FROM, JOIN, MATCH, WHERE, operators,
//! functions, reserved keywords), "digital-twins-limits".

mod ast;
mod groups;
mod names;
mod needs;
mod parse;
mod row;

use serde_json::{Map, Value as Json};

pub use self::{
    ast::{
        Alias, AliasKind, Collection, GroupColumn, GroupItem, Moment, OrderBy, OrderItem, Projection,
        SelectList, Step, StepDirection,
    },
    groups::Totals,
    needs::{Condition, Need},
    row::{Bindings, Columns, ModelTree},
};
use crate::{Hints, Limits, QueryError, eval, expr::Expr, expr::Path, hints};
pub use crate::{order::SortKey, totals::Aggregate};

/// A checked query: every alias in it is declared, every function known.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    explain: bool,
    top: Option<u64>,
    select: SelectList,
    collection: Collection,
    as_of: Option<Moment>,
    pattern: bool,
    aliases: Vec<Alias>,
    steps: Vec<Step>,
    filter: Option<Expr>,
    group_by: Vec<Path>,
    order: Vec<OrderItem>,
    offset: u64,
}

/// Parses and checks a query within our limits ([`Limits::TWINS`]).
///
/// # Errors
/// Where the text stops being a query, or what in it can never make sense.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    parse_with(text, &Limits::TWINS)
}

/// Parses and checks a query within other limits.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    parse::query(text, limits)
}

impl Query {
    /// `TOP(n)`: the most rows to answer with.
    pub fn top(&self) -> Option<u64> {
        self.top
    }

    /// What a row shows.
    pub fn select(&self) -> &SelectList {
        &self.select
    }

    /// Whether the answer is one row with the number of matches.
    pub fn is_count(&self) -> bool {
        matches!(self.select, SelectList::Count { .. })
    }

    /// What alias 0 ranges over.
    pub fn collection(&self) -> Collection {
        self.collection
    }

    /// `AS OF`: the moment whose graph the query asks for, not yet read as a time; otherwise the present one.
    pub fn as_of(&self) -> Option<&Moment> {
        self.as_of.as_ref()
    }

    /// Whether the query asks how it would be answered (`EXPLAIN`), not for its answer.
    pub fn is_explain(&self) -> bool {
        self.explain
    }

    /// Everything a row binds. The index is the alias' number everywhere else: 0 is the collection of `FROM` or the
    /// first twin of the pattern, then come the twin and the relationship of each `JOIN`, or what the pattern has.
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }

    /// How the twins of a row are related: the `JOIN` clauses or the parts of the pattern, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether a row may have each relationship only once, in all steps together: "a relationship is traversed only
    /// once" in a pattern (Azure "reference-query-clause-match").
    pub fn is_pattern(&self) -> bool {
        self.pattern
    }

    /// The terms of `ORDER BY`; none if the order is the executor's.
    pub fn order(&self) -> &[OrderItem] {
        &self.order
    }

    /// How many rows are passed over, in the order of the answer, before the first is shown.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The condition of `WHERE`.
    pub fn filter(&self) -> Option<&Expr> {
        self.filter.as_ref()
    }

    /// For each alias, conditions that every match fulfils; to narrow down candidates, never to decide.
    pub fn hints(&self) -> Vec<Hints> {
        let special = hints::Special { id: "$dtId", model: &["$metadata", "$model"] };
        hints::collect(self.filter.as_ref(), self.aliases.len(), &special)
    }

    /// Whether the row fulfils the condition. An alias that is not bound has no properties.
    pub fn matches(&self, bindings: &Bindings<'_>, models: &dyn ModelTree) -> bool {
        self.filter.as_ref().is_none_or(|filter| eval::holds(filter, &row::RowScope { bindings, models }))
    }

    /// Whether one of [`Self::conditions`] holds.
    pub fn holds(&self, condition: &Condition<'_>, bindings: &Bindings<'_>, models: &dyn ModelTree) -> bool {
        eval::holds(condition.expr, &row::RowScope { bindings, models })
    }

    /// As [`Query::holds`], of a row whose documents are not at hand; `None` if they are needed to tell.
    pub fn holds_by(&self, condition: &Condition<'_>, columns: &dyn Columns) -> Option<bool> {
        let scope = row::ColumnScope::new(columns);
        let holds = eval::holds(condition.expr, &scope);
        (!scope.missed()).then_some(holds)
    }

    /// The row as the answer shows it: `SELECT *` gives the document itself, or those of a pattern by their names; a
    /// projection gives an object in which what the documents lack is left out. For a count it is the answer for one
    /// match; for groups it is nothing.
    pub fn project(&self, bindings: &Bindings<'_>) -> Json {
        match &self.select {
            SelectList::All if self.pattern => {
                let named = (0..).zip(&self.aliases).filter_map(|(number, alias)| {
                    let name = alias.name.as_ref().filter(|_| alias.declared)?;
                    Some((name.clone(), bindings.get(number)?.clone()))
                });
                Json::Object(named.collect())
            }
            SelectList::All => bindings.get(0).cloned().unwrap_or(Json::Null),
            SelectList::Count { .. } => self.count_row(1),
            SelectList::Groups(_) => Json::Null,
            SelectList::Items(items) => {
                let mut row = Map::new();
                for item in items {
                    let document = bindings.get(item.path.root);
                    if let Some(value) =
                        document.and_then(|document| eval::walk(document, &item.path.segments, false))
                    {
                        row.insert(item.name.clone(), value.clone());
                    }
                }
                Json::Object(row)
            }
        }
    }

    /// The one row of a count: `{"COUNT": matches}`.
    pub fn count_row(&self, matches: u64) -> Json {
        let name = match &self.select {
            SelectList::Count { name } => name.clone(),
            SelectList::All | SelectList::Items(_) | SelectList::Groups(_) => ast::COUNT.to_owned(),
        };
        Json::Object(Map::from_iter([(name, matches.into())]))
    }
}
