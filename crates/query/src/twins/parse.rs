//! The clauses of a twins query, from text.

use super::{
    Query,
    ast::{AliasKind, COUNT, Collection, Join, Projection, SelectList},
    names::Names,
};
use crate::{
    clauses::{as_name, top},
    cursor::{Cursor, RawPath, is_keyword},
    error::{QueryError, did_you_mean},
    expr::{Segment, Span},
    lexer::{Lexicon, Symbol, TokenKind},
    limits::Limits,
    parser,
};

/// The select list before the aliases are known.
enum RawSelect {
    All(Span),
    Count(String),
    Items(Vec<RawItem>),
}

struct RawItem {
    path: RawPath,
    name: Option<String>,
}

pub(super) fn query(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    let mut cursor = Cursor::new(text, Lexicon { dashed_names: false }, limits)?;
    if !cursor.eat_keyword("SELECT") {
        // The service's own words for this error, as recorded.
        let message = format!("missing SELECT at {}", cursor.found());
        return Err(cursor.error_at(cursor.peek().span, message));
    }
    let top = top(&mut cursor)?;
    let select = select(&mut cursor, top.is_some())?;
    if !cursor.eat_keyword("FROM") {
        return Err(cursor.expected(if matches!(select, RawSelect::Items(_)) {
            "',' or FROM"
        } else {
            "FROM"
        }));
    }
    let mut names = Names::default();
    let collection = from(&mut cursor, &mut names)?;
    let joins = joins(&mut cursor, &mut names, collection)?;
    let select = resolve(select, &names, &cursor)?;
    let filter =
        if cursor.eat_keyword("WHERE") { Some(parser::condition(&mut cursor, &names)?) } else { None };
    cursor.expect_end(match (&filter, collection) {
        (Some(_), _) => "an operator or the end of the query",
        (None, Collection::DigitalTwins) => "JOIN, WHERE or the end of the query",
        (None, Collection::Relationships) => "WHERE or the end of the query",
    })?;
    Ok(Query { top, select, collection, aliases: names.aliases, joins, filter })
}

fn select(cursor: &mut Cursor<'_>, topped: bool) -> Result<RawSelect, QueryError> {
    let span = cursor.peek().span;
    if cursor.eat_symbol(Symbol::Star) {
        return Ok(RawSelect::All(span));
    }
    if topped && cursor.at_keyword("FROM") {
        return Ok(RawSelect::All(span)); // `SELECT TOP(5) FROM ..`, as in Azure "Query the twin graph"
    }
    if at_count(cursor) {
        return count(cursor, topped);
    }
    let mut items = Vec::new();
    loop {
        if at_count(cursor) {
            let message = "COUNT() cannot stand beside other columns";
            return Err(cursor.error_at(cursor.peek().span, message));
        }
        items.push(item(cursor)?);
        if !cursor.eat_symbol(Symbol::Comma) {
            return Ok(RawSelect::Items(items));
        }
    }
}

fn at_count(cursor: &Cursor<'_>) -> bool {
    cursor.at_keyword("COUNT") && cursor.ahead(1).kind == TokenKind::Symbol(Symbol::LeftParen)
}

fn count(cursor: &mut Cursor<'_>, topped: bool) -> Result<RawSelect, QueryError> {
    if topped {
        let message = "COUNT() gives one row: TOP has no meaning with it";
        return Err(cursor.error_at(cursor.peek().span, message));
    }
    cursor.advance();
    cursor.expect_symbol(Symbol::LeftParen)?;
    cursor.expect_symbol(Symbol::RightParen)?;
    let name = as_name(cursor)?.unwrap_or_else(|| COUNT.to_owned());
    if cursor.at_symbol(Symbol::Comma) {
        let message = "COUNT() cannot stand beside other columns";
        return Err(cursor.error_at(cursor.peek().span, message));
    }
    Ok(RawSelect::Count(name))
}

fn item(cursor: &mut Cursor<'_>) -> Result<RawItem, QueryError> {
    if !cursor.at_name() {
        return Err(cursor.expected_name("*, COUNT() or a column"));
    }
    let path = cursor.raw_path("a column", false)?;
    if cursor.at_symbol(Symbol::LeftParen) {
        let name = path.head();
        let message = format!(
            "only COUNT() can be called in the select list, not {name}{}",
            did_you_mean(name, ["COUNT", "TOP"])
        );
        return Err(cursor.error_at(path.span, message));
    }
    Ok(RawItem { path, name: as_name(cursor)? })
}

fn from(cursor: &mut Cursor<'_>, names: &mut Names) -> Result<Collection, QueryError> {
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
    let alias = alias(cursor)?;
    names.declare(alias, kind, cursor)?;
    Ok(collection)
}

/// `[AS] alias`, if it is there.
fn alias(cursor: &mut Cursor<'_>) -> Result<Option<(String, Span)>, QueryError> {
    if cursor.eat_keyword("AS") || cursor.at_name() { cursor.name("an alias").map(Some) } else { Ok(None) }
}

fn joins(
    cursor: &mut Cursor<'_>,
    names: &mut Names,
    collection: Collection,
) -> Result<Vec<Join>, QueryError> {
    let mut joins = Vec::new();
    while is_keyword(cursor.peek(), "JOIN") {
        let span = cursor.peek().span;
        if collection == Collection::Relationships {
            return Err(cursor.error_at(span, "FROM RELATIONSHIPS cannot be combined with JOIN"));
        }
        if joins.len() == cursor.limits.max_joins {
            let message = format!("more than the allowed {} JOINs", cursor.limits.max_joins);
            return Err(cursor.error_at(span, message));
        }
        cursor.advance();
        joins.push(join(cursor, names)?);
    }
    Ok(joins)
}

/// `target RELATED source.relationship [AS] [alias]`.
fn join(cursor: &mut Cursor<'_>, names: &mut Names) -> Result<Join, QueryError> {
    let target = cursor.name("an alias for the related twins")?;
    cursor.expect_keyword("RELATED")?;
    let related = cursor.raw_path("alias.relationship", false)?;
    let source = match names.declared(related.head()) {
        Some(source) if is_twin(names, source) => source,
        Some(_) => {
            return Err(cursor.error_at(related.span, "relationships leave from a twin, not a relationship"));
        }
        None => return Err(names.unknown(related.head(), related.span, cursor)),
    };
    let [_, Segment::Name(name)] = related.segments.as_slice() else {
        let message = "RELATED takes an alias and one relationship name: alias.relationship";
        return Err(cursor.error_at(related.span, message));
    };
    let target = names.declare(Some(target), AliasKind::Twin, cursor)?;
    let relationship = match alias(cursor)? {
        Some(alias) => names.declare(Some(alias), AliasKind::Relationship, cursor)?,
        None => names.imply(name),
    };
    Ok(Join { source, name: name.clone(), relationship, target })
}

fn is_twin(names: &Names, alias: u16) -> bool {
    names.aliases.get(usize::from(alias)).is_some_and(|alias| alias.kind == AliasKind::Twin)
}

fn resolve(select: RawSelect, names: &Names, cursor: &Cursor<'_>) -> Result<SelectList, QueryError> {
    match select {
        RawSelect::All(span) if names.aliases.len() > 1 => {
            let message = "SELECT * cannot be used with JOIN: name the aliases to show";
            Err(cursor.error_at(span, message))
        }
        RawSelect::All(_) => Ok(SelectList::All),
        RawSelect::Count(name) => Ok(SelectList::Count { name }),
        RawSelect::Items(items) => {
            let items: Result<Vec<Projection>, QueryError> =
                items.into_iter().map(|item| projection(item, names, cursor)).collect();
            Ok(SelectList::Items(items?))
        }
    }
}

fn projection(item: RawItem, names: &Names, cursor: &Cursor<'_>) -> Result<Projection, QueryError> {
    let last = match item.path.segments.last() {
        Some(Segment::Name(name)) => name.clone(),
        _ => item.path.head().to_owned(),
    };
    let path = names.path(item.path, cursor)?;
    Ok(Projection { path, name: item.name.unwrap_or(last) })
}
