//! `GROUP BY`, `ORDER BY`, `OFFSET`: not in Azure's language, whose queries end with the condition.

use super::{
    super::{
        ast::{GroupColumn, OrderBy, OrderItem, SelectList},
        names::Names,
    },
    at_offset,
    select::List,
    whole,
};
use crate::{
    cursor::{Cursor, RawPath},
    error::QueryError,
    expr::Path,
    lexer::Symbol,
};

/// `GROUP BY path, ..`, if it is there.
pub(super) fn group_by(cursor: &mut Cursor<'_>, names: &Names) -> Result<Option<Vec<Path>>, QueryError> {
    if !cursor.eat_keyword("GROUP") {
        return Ok(None);
    }
    cursor.expect_keyword("BY")?;
    let mut keys = Vec::new();
    loop {
        let raw = cursor.raw_path("a property to group by", false)?;
        let path = names.path(raw, cursor)?;
        if !keys.contains(&path) {
            keys.push(path);
        }
        if !cursor.eat_symbol(Symbol::Comma) {
            return Ok(Some(keys));
        }
    }
}

/// `ORDER BY path|column [ASC|DESC], ..`, if it is there.
pub(super) fn order_by(
    cursor: &mut Cursor<'_>,
    names: &Names,
    list: &List,
) -> Result<Vec<OrderItem>, QueryError> {
    let span = cursor.peek().span;
    if !cursor.eat_keyword("ORDER") {
        return Ok(Vec::new());
    }
    if matches!(list.select, SelectList::Count { .. }) {
        return Err(cursor.error_at(span, "COUNT() gives one row: ORDER BY has no meaning with it"));
    }
    cursor.expect_keyword("BY")?;
    let mut items = Vec::new();
    loop {
        let raw = cursor.raw_path("a property or a column to order by", false)?;
        if cursor.at_symbol(Symbol::LeftParen) {
            let message = format!(
                "a column is ordered by its name, not by a function: write {}, or what AS calls the column",
                raw.head()
            );
            return Err(cursor.error_at(raw.span, message));
        }
        let by = term(raw, names, list, cursor)?;
        let descending = cursor.eat_keyword("DESC");
        if !descending {
            cursor.eat_keyword("ASC");
        }
        items.push(OrderItem { by, descending });
        if !cursor.eat_symbol(Symbol::Comma) {
            return Ok(items);
        }
    }
}

/// A column's name goes before a property's.
fn term(raw: RawPath, names: &Names, list: &List, cursor: &Cursor<'_>) -> Result<OrderBy, QueryError> {
    let single = (raw.segments.len() == 1).then(|| raw.head().to_owned());
    let is = |name: &str| single.as_deref() == Some(name);
    match &list.select {
        SelectList::Groups(items) => {
            if let Some(column) = items.iter().position(|item| is(&item.name)) {
                return Ok(OrderBy::Column(column));
            }
            let span = raw.span;
            let path = names.path(raw, cursor)?;
            let key = |what: &GroupColumn| matches!(what, GroupColumn::Key(key) if list.group_by.get(*key) == Some(&path));
            items.iter().position(|item| key(&item.what)).map(OrderBy::Column).ok_or_else(|| {
                let columns: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
                let message =
                    format!("groups are ordered by a column of the select list: {}", columns.join(", "));
                cursor.error_at(span, message)
            })
        }
        SelectList::Items(items) => match items.iter().find(|item| is(&item.name)) {
            Some(item) => Ok(OrderBy::Path(item.path.clone())),
            None => names.path(raw, cursor).map(OrderBy::Path),
        },
        SelectList::All | SelectList::Count { .. } => names.path(raw, cursor).map(OrderBy::Path),
    }
}

/// `OFFSET n`, if it is there; else 0.
pub(super) fn offset(cursor: &mut Cursor<'_>, list: &List) -> Result<u64, QueryError> {
    let span = cursor.peek().span;
    if !at_offset(cursor) && !cursor.at_keyword("OFFSET") {
        return Ok(0);
    }
    cursor.advance();
    if matches!(list.select, SelectList::Count { .. }) {
        return Err(cursor.error_at(span, "COUNT() gives one row: OFFSET has no meaning with it"));
    }
    whole(cursor, "how many rows to pass over").map(u64::from)
}
