//! The Azure Digital Twins query language: `SELECT .. FROM DIGITALTWINS|RELATIONSHIPS [JOIN ..] [WHERE ..]`.
//!
//! A [`Query`] is parsed and checked once. An executor then finds candidate rows with [`Query::hints`] and
//! [`Query::joins`], keeps those for which [`Query::matches`] holds, and answers with [`Query::project`]. It does not
//! live here.
//!
//! Sources: Azure "Azure Digital Twins query language reference" (SELECT, FROM, JOIN, WHERE, operators, functions,
//! reserved keywords), "digital-twins-limits".

mod ast;
mod names;
mod parse;
mod row;

use serde_json::{Map, Value as Json};

pub use self::{
    ast::{Alias, AliasKind, Collection, Join, Projection, SelectList},
    row::{Bindings, ModelTree},
};
use crate::{Hints, Limits, QueryError, eval, expr::Expr, hints};

/// A checked query: every alias in it is declared, every function known.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    top: Option<u64>,
    select: SelectList,
    collection: Collection,
    aliases: Vec<Alias>,
    joins: Vec<Join>,
    filter: Option<Expr>,
}

/// Parses and checks a query within the documented limits ([`Limits::TWINS`]).
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

    /// Everything a row binds. The index is the alias' number everywhere else: 0 is the collection of `FROM`, then
    /// come the twin and the relationship of each `JOIN`.
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }

    /// The `JOIN` clauses in order; each starts from an alias bound before it.
    pub fn joins(&self) -> &[Join] {
        &self.joins
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

    /// The row as the answer shows it: `SELECT *` gives the document itself; a projection gives an object in which
    /// what the documents lack is left out. For a count it is the answer for one match.
    pub fn project(&self, bindings: &Bindings<'_>) -> Json {
        match &self.select {
            SelectList::All => bindings.get(0).cloned().unwrap_or(Json::Null),
            SelectList::Count { .. } => self.count_row(1),
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
            SelectList::All | SelectList::Items(_) => ast::COUNT.to_owned(),
        };
        Json::Object(Map::from_iter([(name, matches.into())]))
    }
}
