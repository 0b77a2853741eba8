//! The select list: read before the aliases are known, resolved after `GROUP BY` is.
//!
//! Sources: Azure "Azure Digital Twins query language reference: SELECT clause". `DISTINCT`, and functions other than
//! `COUNT()` alone, are ours.

use super::super::{
    ast::{COUNT, GroupColumn, GroupItem, Projection, SelectList},
    names::Names,
};
use crate::{
    clauses::{as_name, top},
    cursor::{Cursor, RawPath},
    error::{QueryError, did_you_mean},
    expr::{Path, Segment, Span},
    lexer::{Symbol, TokenKind},
    totals::Aggregate,
};

const FUNCTIONS: [&str; 5] = [COUNT, "MIN", "MAX", "SUM", "AVG"];

/// The select list as written.
pub(super) struct Head {
    distinct: Option<Span>,
    top: Option<u64>,
    /// `None` for `*`.
    columns: Option<Vec<Column>>,
    span: Span,
}

struct Column {
    what: RawColumn,
    name: Option<String>,
    span: Span,
}

enum RawColumn {
    Path(RawPath),
    Call { function: &'static str, path: Option<RawPath> },
}

/// The select list and what it says of groups.
pub(super) struct List {
    pub(super) top: Option<u64>,
    pub(super) select: SelectList,
    pub(super) group_by: Vec<Path>,
}

/// Everything from `SELECT` to `FROM`.
pub(super) fn head(cursor: &mut Cursor<'_>) -> Result<Head, QueryError> {
    let distinct = at_distinct(cursor).then(|| cursor.advance().span);
    let top = top(cursor)?;
    let span = cursor.peek().span;
    if top.is_some() && at_distinct(cursor) {
        return Err(cursor.error_at(span, "DISTINCT stands before TOP: SELECT DISTINCT TOP(n)"));
    }
    // `SELECT TOP(5) FROM ..`, as in Azure "Query the twin graph"
    if cursor.eat_symbol(Symbol::Star) || (top.is_some() && cursor.at_keyword("FROM")) {
        return Ok(Head { distinct, top, columns: None, span });
    }
    let mut columns: Vec<Column> = Vec::new();
    loop {
        let next = column(cursor)?;
        // Names of properties may be the same, as Azure has it; those that were chosen are not by intent.
        if let Some(name) = next.name.as_ref().filter(|_| columns.iter().any(|one| one.name == next.name)) {
            let message = format!("two columns are called {name}: name one of them otherwise");
            return Err(cursor.error_at(next.span, message));
        }
        columns.push(next);
        if !cursor.eat_symbol(Symbol::Comma) {
            return Ok(Head { distinct, top, columns: Some(columns), span });
        }
    }
}

/// A property may be called distinct: only a column or `*` behind it makes it the keyword.
fn at_distinct(cursor: &Cursor<'_>) -> bool {
    let column = match &cursor.ahead(1).kind {
        TokenKind::Symbol(symbol) => *symbol == Symbol::Star,
        TokenKind::Name { text, quoted } => {
            *quoted || !["FROM", "AS"].iter().any(|word| text.eq_ignore_ascii_case(word))
        }
        _ => false,
    };
    column && cursor.at_keyword("DISTINCT")
}

fn column(cursor: &mut Cursor<'_>) -> Result<Column, QueryError> {
    if !cursor.at_name() {
        return Err(cursor.expected_name("*, COUNT() or a column"));
    }
    let start = cursor.peek().span;
    let called = cursor.ahead(1).kind == TokenKind::Symbol(Symbol::LeftParen);
    let what = if called { call(cursor)? } else { RawColumn::Path(cursor.raw_path("a column", false)?) };
    let span = Span::new(start.start, cursor.last_end());
    Ok(Column { what, name: as_name(cursor)?, span })
}

/// `FUNCTION(path)` or `COUNT()`, at the name.
fn call(cursor: &mut Cursor<'_>) -> Result<RawColumn, QueryError> {
    let (name, span) = cursor.name("a function")?;
    let Some(function) = FUNCTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(&name)) else {
        let message = format!(
            "only COUNT(), MIN, MAX, SUM and AVG can be called in the select list, not {name}{}",
            did_you_mean(&name, FUNCTIONS.into_iter().chain(["TOP"]))
        );
        return Err(cursor.error_at(span, message));
    };
    cursor.expect_symbol(Symbol::LeftParen)?;
    let path =
        if function == COUNT { None } else { Some(cursor.raw_path("the property to compute with", false)?) };
    cursor.expect_symbol(Symbol::RightParen)?;
    Ok(RawColumn::Call { function, path })
}

impl Head {
    pub(super) fn has_columns(&self) -> bool {
        self.columns.is_some()
    }

    pub(super) fn resolve(
        self,
        names: &Names,
        pattern: bool,
        grouped: Option<Vec<Path>>,
        cursor: &Cursor<'_>,
    ) -> Result<List, QueryError> {
        let Self { distinct, top, columns, span } = self;
        let Some(columns) = columns else {
            return all(names, pattern, (distinct, top, span), grouped.is_some(), cursor);
        };
        let calls = columns.iter().any(|column| matches!(column.what, RawColumn::Call { .. }));
        if let (Some(distinct), true) = (distinct, calls || grouped.is_some()) {
            let message = "DISTINCT has no meaning with groups or functions: their rows are distinct";
            return Err(cursor.error_at(distinct, message));
        }
        if let (None, [Column { what: RawColumn::Call { function: COUNT, .. }, name, span }]) =
            (&grouped, columns.as_slice())
        {
            if top.is_some() {
                return Err(cursor.error_at(*span, "COUNT() gives one row: TOP has no meaning with it"));
            }
            let name = name.clone().unwrap_or_else(|| COUNT.to_owned());
            return Ok(List { top, select: SelectList::Count { name }, group_by: Vec::new() });
        }
        if grouped.is_none() && !calls && distinct.is_none() {
            let items =
                columns.into_iter().map(|column| projection(column, names, cursor).map(|(item, _)| item));
            let items = items.collect::<Result<Vec<Projection>, QueryError>>()?;
            return Ok(List { top, select: SelectList::Items(items), group_by: Vec::new() });
        }
        let distinct = distinct.is_some();
        let mut group_by = grouped.unwrap_or_default();
        let mut items: Vec<GroupItem> = Vec::new();
        for column in columns {
            let span = column.span;
            let item = group_item(column, names, (&mut group_by, distinct), cursor)?;
            if !distinct && items.iter().any(|other| other.name == item.name) {
                let message = format!("two columns are called {}: name one of them with AS", item.name);
                return Err(cursor.error_at(span, message));
            }
            items.push(item);
        }
        Ok(List { top, select: SelectList::Groups(items), group_by })
    }
}

/// `SELECT *`.
fn all(
    names: &Names,
    pattern: bool,
    (distinct, top, span): (Option<Span>, Option<u64>, Span),
    grouped: bool,
    cursor: &Cursor<'_>,
) -> Result<List, QueryError> {
    if grouped {
        return Err(cursor.error_at(span, "SELECT * cannot be used with GROUP BY: name the columns to show"));
    }
    if !pattern && names.aliases.len() > 1 {
        return Err(cursor.error_at(span, "SELECT * cannot be used with JOIN: name the aliases to show"));
    }
    if distinct.is_some() && pattern {
        let message = "SELECT DISTINCT * cannot be used with MATCH: name the columns that are to be distinct";
        return Err(cursor.error_at(span, message));
    }
    Ok(List { top, select: SelectList::All, group_by: Vec::new() }) // documents are distinct
}

fn projection(column: Column, names: &Names, cursor: &Cursor<'_>) -> Result<(Projection, Span), QueryError> {
    let RawColumn::Path(raw) = column.what else {
        return Err(cursor.error_at(column.span, "a function cannot stand here"));
    };
    let last = match raw.segments.last() {
        Some(Segment::Name(name)) => name.clone(),
        _ => raw.head().to_owned(),
    };
    let path = names.path(raw, cursor)?;
    Ok((Projection { path, name: column.name.unwrap_or(last) }, column.span))
}

fn group_item(
    column: Column,
    names: &Names,
    (group_by, distinct): (&mut Vec<Path>, bool),
    cursor: &Cursor<'_>,
) -> Result<GroupItem, QueryError> {
    if let RawColumn::Call { function, path } = column.what {
        let path = path.map(|path| names.path(path, cursor)).transpose()?;
        // Functions without their path were refused when they were read.
        let aggregate = Aggregate::named(function, path).unwrap_or(Aggregate::Count);
        let name = column.name.unwrap_or_else(|| function.to_owned());
        return Ok(GroupItem { name, what: GroupColumn::Aggregate(aggregate) });
    }
    let (Projection { path, name }, span) = projection(column, names, cursor)?;
    let key = match group_by.iter().position(|key| *key == path) {
        Some(key) => key,
        None if distinct => {
            group_by.push(path);
            group_by.len() - 1
        }
        None => {
            let message =
                format!("{name} is neither in GROUP BY nor in a function: which of its values is meant?");
            return Err(cursor.error_at(span, message));
        }
    };
    Ok(GroupItem { name, what: GroupColumn::Key(key) })
}
