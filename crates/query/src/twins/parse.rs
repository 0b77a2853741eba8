//! The clauses of a twins query, from text.
//!
//! ```text
//! [EXPLAIN] SELECT [DISTINCT] [TOP(n)] *|COUNT()|columns  FROM DIGITALTWINS|RELATIONSHIPS [alias]
//!           [AS OF 'time']  [JOIN .. RELATED ..]*|[MATCH pattern]  [WHERE condition]  [GROUP BY paths]  [ORDER BY terms]  [OFFSET n]
//! ```

use super::{
    Query,
    ast::{AliasKind, Collection, Moment},
    names::Names,
};
use crate::{
    cursor::Cursor,
    error::{QueryError, did_you_mean},
    expr::Span,
    lexer::{Lexicon, TokenKind},
    limits::Limits,
    parser,
    value::Number,
};

mod order;
mod pattern;
mod select;

pub(super) fn query(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    let mut cursor =
        Cursor::new(text, Lexicon { noun: "query", dashed_names: false, patterns: true }, limits)?;
    let explain = cursor.eat_keyword("EXPLAIN");
    if !cursor.eat_keyword("SELECT") {
        // The service's own words for this error, as recorded.
        let message = format!("missing SELECT at {}", cursor.found());
        return Err(cursor.error_at(cursor.peek().span, message));
    }
    let head = select::head(&mut cursor)?;
    if !cursor.eat_keyword("FROM") {
        return Err(cursor.expected(if head.has_columns() { "',' or FROM" } else { "FROM" }));
    }
    let mut names = Names::default();
    let (collection, as_of) = from(&mut cursor, &mut names)?;
    let path = if cursor.at_keyword("MATCH") {
        pattern::matching(&mut cursor, &mut names, collection)?
    } else {
        pattern::joins(&mut cursor, &mut names, collection)?
    };
    let bare = path.steps.is_empty() && !path.pattern && collection == Collection::DigitalTwins;
    let filter =
        if cursor.eat_keyword("WHERE") { Some(parser::condition(&mut cursor, &names)?) } else { None };
    let grouped = order::group_by(&mut cursor, &names)?;
    let list = head.resolve(&names, path.pattern, grouped, &cursor)?;
    let order = order::order_by(&mut cursor, &names, &list)?;
    let offset = order::offset(&mut cursor, &list)?;
    cursor.expect_end(&alternatives(bare, filter.is_some(), list.group_by.is_empty(), order.is_empty()))?;
    Ok(Query {
        explain,
        top: list.top,
        select: list.select,
        collection,
        as_of,
        pattern: path.pattern,
        aliases: names.aliases,
        steps: path.steps,
        filter,
        group_by: list.group_by,
        order,
        offset,
    })
}

/// What could have followed, for the error that says that something else did.
fn alternatives(bare: bool, filtered: bool, ungrouped: bool, unordered: bool) -> String {
    let mut words = Vec::new();
    match (unordered, ungrouped, filtered) {
        (true, true, true) => words.extend(["an operator", "GROUP BY", "ORDER BY"]),
        (true, true, false) if bare => words.extend(["JOIN", "MATCH", "WHERE", "GROUP BY", "ORDER BY"]),
        (true, true, false) => words.extend(["WHERE", "GROUP BY", "ORDER BY"]),
        (true, false, _) => words.extend(["','", "ORDER BY"]),
        (false, ..) => words.extend(["','", "OFFSET"]),
    }
    format!("{} or the end of the query", words.join(", "))
}

fn from(cursor: &mut Cursor<'_>, names: &mut Names) -> Result<(Collection, Option<Moment>), QueryError> {
    let collection = if cursor.eat_keyword("DIGITALTWINS") {
        Collection::DigitalTwins
    } else if cursor.eat_keyword("RELATIONSHIPS") {
        Collection::Relationships
    } else {
        let mut error = cursor.expected("DIGITALTWINS or RELATIONSHIPS");
        if let TokenKind::Name { text, .. } = &cursor.peek().kind {
            error.message.push_str(&did_you_mean(text, ["DIGITALTWINS", "RELATIONSHIPS"]));
        }
        return Err(error);
    };
    let kind = match collection {
        Collection::DigitalTwins => AliasKind::Twin,
        Collection::Relationships => AliasKind::Relationship,
    };
    let moment = as_of(cursor);
    let alias = if at_offset(cursor) { None } else { alias(cursor)? };
    let moment = moment.or_else(|| as_of(cursor));
    if alias.is_none() && cursor.at_keyword("MATCH") {
        return Ok((collection, moment)); // the pattern's first twin is alias 0
    }
    names.declare(alias, kind, cursor)?;
    Ok((collection, moment))
}

/// `AS OF 'time'`, if it is there. Neither word is reserved: only the text behind them makes `AS of` more than an alias.
fn as_of(cursor: &mut Cursor<'_>) -> Option<Moment> {
    let of = matches!(&cursor.ahead(1).kind, TokenKind::Name { text, .. } if text.eq_ignore_ascii_case("OF"));
    if !(cursor.at_keyword("AS") && of) {
        return None;
    }
    let TokenKind::Text(text) = cursor.ahead(2).kind.clone() else { return None };
    let place = cursor.error_at(cursor.ahead(2).span, String::new());
    (0..3).for_each(|_| drop(cursor.advance()));
    Some(Moment { text, line: place.line, column: place.column })
}

/// `[AS] alias`, if it is there.
fn alias(cursor: &mut Cursor<'_>) -> Result<Option<(String, Span)>, QueryError> {
    if cursor.eat_keyword("AS") || (cursor.at_name() && !at_offset(cursor)) {
        cursor.name("an alias").map(Some)
    } else {
        Ok(None)
    }
}

/// OFFSET is not reserved in Azure's language: only a number behind it makes it the keyword.
fn at_offset(cursor: &Cursor<'_>) -> bool {
    cursor.at_keyword("OFFSET") && matches!(cursor.ahead(1).kind, TokenKind::Number(_))
}

/// Takes a whole number within 32 bits.
fn whole(cursor: &mut Cursor<'_>, what: &str) -> Result<u32, QueryError> {
    let number = match cursor.peek().kind {
        TokenKind::Number(Number::Int(number)) => u32::try_from(number).ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| cursor.expected(what))?;
    cursor.advance();
    Ok(number)
}
