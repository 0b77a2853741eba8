//! The clauses of a device query, from text.

use super::{
    Query,
    ast::{Aggregate, Collection, Column, ColumnValue, SelectList},
};
use crate::{
    clauses::{as_name, top},
    cursor::{Cursor, RawPath},
    error::{QueryError, did_you_mean},
    expr::{Path, Segment},
    functions::{HUB, Signature},
    lexer::{Lexicon, Symbol, TokenKind},
    limits::Limits,
    parser::{self, Dialect, Style},
};

pub(super) fn query(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    let mut cursor = Cursor::new(text, Lexicon { dashed_names: false, patterns: false }, limits)?;
    cursor.expect_keyword("SELECT")?;
    let top = top(&mut cursor)?;
    let select = select(&mut cursor)?;
    if !cursor.eat_keyword("FROM") {
        return Err(cursor.expected(if matches!(select, SelectList::All) { "FROM" } else { "',' or FROM" }));
    }
    let collection = from(&mut cursor)?;
    let filter =
        if cursor.eat_keyword("WHERE") { Some(parser::condition(&mut cursor, &Devices)?) } else { None };
    cursor.expect_end(if filter.is_some() {
        "an operator or the end of the query"
    } else {
        "WHERE or the end of the query"
    })?;
    Ok(Query { top, select, collection, filter })
}

fn select(cursor: &mut Cursor<'_>) -> Result<SelectList, QueryError> {
    if cursor.eat_symbol(Symbol::Star) {
        return Ok(SelectList::All);
    }
    let mut columns: Vec<Column> = Vec::new();
    loop {
        let span = cursor.peek().span;
        let column = column(cursor)?;
        let aggregate = |column: &Column| matches!(column.value, ColumnValue::Aggregate(_));
        if columns.first().is_some_and(|first| aggregate(first) != aggregate(&column)) {
            let message = "an aggregate cannot stand beside a property";
            return Err(cursor.error_at(span, message));
        }
        columns.push(column);
        if !cursor.eat_symbol(Symbol::Comma) {
            return Ok(SelectList::Columns(columns));
        }
    }
}

fn column(cursor: &mut Cursor<'_>) -> Result<Column, QueryError> {
    if !cursor.at_name() {
        return Err(cursor.expected_name("*, a property or COUNT()"));
    }
    let raw = cursor.raw_path("a property", true)?;
    let written = match raw.segments.iter().rev().find(|segment| matches!(segment, Segment::Name(_))) {
        Some(Segment::Name(name)) => name.clone(),
        _ => raw.head().to_owned(),
    };
    let value = if cursor.at_symbol(Symbol::LeftParen) {
        aggregate(cursor, &raw)?
    } else {
        ColumnValue::Path(Devices.resolve(raw, cursor)?)
    };
    Ok(Column { value, name: as_name(cursor)?.unwrap_or(written) })
}

fn aggregate(cursor: &mut Cursor<'_>, called: &RawPath) -> Result<ColumnValue, QueryError> {
    let name = called.head();
    if called.segments.len() > 1 || !name.eq_ignore_ascii_case("COUNT") {
        let message = format!("there is no aggregate {name}{}", did_you_mean(name, ["COUNT"]));
        return Err(cursor.error_at(called.span, message));
    }
    cursor.expect_symbol(Symbol::LeftParen)?;
    cursor.expect_symbol(Symbol::RightParen)?;
    Ok(ColumnValue::Aggregate(Aggregate::Count))
}

fn from(cursor: &mut Cursor<'_>) -> Result<Collection, QueryError> {
    if cursor.eat_keyword("DEVICES") {
        return Ok(Collection::Devices);
    }
    let mut error = cursor.expected("devices");
    if let TokenKind::Name { text, .. } = &cursor.peek().kind {
        error.message.push_str(&did_you_mean(text, ["devices"]));
    }
    Err(error)
}

/// Names in a device query: properties of the document, with or without `devices.` before them.
struct Devices;

impl Dialect for Devices {
    fn signatures(&self) -> &'static [Signature] {
        HUB
    }

    fn resolve(&self, path: RawPath, _cursor: &Cursor<'_>) -> Result<Path, QueryError> {
        let prefixed = path.segments.len() > 1 && path.head().eq_ignore_ascii_case("devices");
        Ok(Path { root: 0, segments: path.segments.into_iter().skip(usize::from(prefixed)).collect() })
    }

    fn style(&self) -> Style {
        Style::Hub
    }
}
