//! The parts of clauses that digital twins and device queries share.

use crate::{
    cursor::Cursor,
    error::QueryError,
    lexer::{Symbol, TokenKind},
    value::Number,
};

/// `TOP(n)` or `TOP n`. A property may be called top: only a parenthesis or a number makes it the keyword.
pub(crate) fn top(cursor: &mut Cursor<'_>) -> Result<Option<u64>, QueryError> {
    let counted = matches!(
        cursor.ahead(1).kind,
        TokenKind::Symbol(Symbol::LeftParen | Symbol::Minus) | TokenKind::Number(_)
    );
    if !(counted && cursor.eat_keyword("TOP")) {
        return Ok(None);
    }
    let parenthesis = cursor.eat_symbol(Symbol::LeftParen);
    let count = match cursor.peek().kind {
        TokenKind::Number(Number::Int(count)) => u32::try_from(count).ok().filter(|count| *count > 0),
        _ => None,
    };
    let count = count.ok_or_else(|| cursor.expected(&format!("how many rows, from 1 to {}", u32::MAX)))?;
    cursor.advance();
    if parenthesis {
        cursor.expect_symbol(Symbol::RightParen)?;
    }
    Ok(Some(count.into()))
}

/// `AS name`, if it is there.
pub(crate) fn as_name(cursor: &mut Cursor<'_>) -> Result<Option<String>, QueryError> {
    if cursor.eat_keyword("AS") { cursor.name("a column name").map(|(name, _)| Some(name)) } else { Ok(None) }
}
