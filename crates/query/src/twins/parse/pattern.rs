//! `JOIN .. RELATED ..` and `MATCH` patterns.
//!
//! Sources: Azure "Azure Digital Twins query language reference: JOIN clause", "MATCH clause". In a range of hops the
//! first number is not included, the second is. What stands in brackets without a colon is a variable, but the names of
//! relationships if there are several or if hops follow: the reference uses both forms.

use super::{
    super::{
        ast::{AliasKind, Collection, Step, StepDirection},
        names::Names,
    },
    alias, whole,
};
use crate::{
    cursor::Cursor,
    error::QueryError,
    expr::{Segment, Span},
    lexer::{Symbol, TokenKind},
};

/// What the graph is searched for.
pub(super) struct Traversal {
    pub(super) steps: Vec<Step>,
    /// Whether it was written as a pattern.
    pub(super) pattern: bool,
}

pub(super) fn joins(
    cursor: &mut Cursor<'_>,
    names: &mut Names,
    collection: Collection,
) -> Result<Traversal, QueryError> {
    let mut steps = Vec::new();
    while cursor.at_keyword("JOIN") {
        let span = cursor.peek().span;
        if collection == Collection::Relationships {
            return Err(cursor.error_at(span, "FROM RELATIONSHIPS cannot be combined with JOIN"));
        }
        within(steps.len(), span, "JOINs", cursor)?;
        cursor.advance();
        steps.push(join(cursor, names)?);
    }
    if cursor.at_keyword("MATCH") && !steps.is_empty() {
        return Err(
            cursor.error_at(cursor.peek().span, "JOIN and MATCH cannot be combined: MATCH can say all of it")
        );
    }
    Ok(Traversal { steps, pattern: false })
}

fn within(count: usize, span: Span, what: &str, cursor: &Cursor<'_>) -> Result<(), QueryError> {
    if count < cursor.limits.max_joins {
        return Ok(());
    }
    Err(cursor.error_at(span, format!("more than the allowed {} {what}", cursor.limits.max_joins)))
}

/// `target RELATED source.relationship [AS] [alias]`.
fn join(cursor: &mut Cursor<'_>, names: &mut Names) -> Result<Step, QueryError> {
    let target = cursor.name("an alias for the related twins")?;
    cursor.expect_keyword("RELATED")?;
    let related = cursor.raw_path("alias.relationship", false)?;
    let from = match names.declared(related.head()) {
        Some(source) if names.is_twin(source) => source,
        Some(_) => {
            return Err(cursor.error_at(related.span, "relationships leave from a twin, not a relationship"));
        }
        None => return Err(names.unknown(related.head(), related.span, cursor)),
    };
    let [_, Segment::Name(name)] = related.segments.as_slice() else {
        let message = "RELATED takes an alias and one relationship name: alias.relationship";
        return Err(cursor.error_at(related.span, message));
    };
    let to = names.declare(Some(target), AliasKind::Twin, cursor)?;
    let relationship = match alias(cursor)? {
        Some(alias) => names.declare(Some(alias), AliasKind::Relationship, cursor)?,
        None => names.imply(name),
    };
    Ok(Step {
        from,
        to,
        relationship: Some(relationship),
        names: vec![name.clone()],
        direction: StepDirection::Forward,
        min_hops: 1,
        max_hops: 1,
    })
}

/// `MATCH (a)-[..]->(b)<-[..]-(c)`, at the keyword.
pub(super) fn matching(
    cursor: &mut Cursor<'_>,
    names: &mut Names,
    collection: Collection,
) -> Result<Traversal, QueryError> {
    let span = cursor.peek().span;
    if collection == Collection::Relationships {
        return Err(cursor
            .error_at(span, "FROM RELATIONSHIPS cannot be combined with MATCH: write FROM DIGITALTWINS"));
    }
    cursor.advance();
    let collection_alias = names.aliases.first().and_then(|alias| alias.name.clone());
    let first = twin(cursor, names)?;
    let mut steps: Vec<Step> = Vec::new();
    let mut from = first;
    while cursor.at_symbol(Symbol::Minus) || cursor.at_symbol(Symbol::Less) {
        within(steps.len(), cursor.peek().span, "relationships in a pattern", cursor)?;
        let step = step(cursor, names, from)?;
        from = step.to;
        steps.push(step);
    }
    let reached = first == 0 || steps.iter().any(|step| step.to == 0);
    if let (Some(alias), false) = (collection_alias, reached) {
        let message =
            format!("the pattern does not have the twin {alias}: begin with ({alias}) or leave {alias} out");
        return Err(cursor.error_at(span, message));
    }
    if cursor.at_keyword("MATCH") || cursor.at_keyword("JOIN") {
        let message = "there can be one MATCH, and no JOIN with it: make the pattern longer instead";
        return Err(cursor.error_at(cursor.peek().span, message));
    }
    if !steps.is_empty() || !at_clause(cursor) {
        expect_pattern_end(cursor)?;
    }
    Ok(Traversal { steps, pattern: true })
}

/// Whether something that can follow a pattern comes next.
fn at_clause(cursor: &Cursor<'_>) -> bool {
    cursor.peek().kind == TokenKind::End
        || ["WHERE", "GROUP", "ORDER"].iter().any(|word| cursor.at_keyword(word))
        || super::at_offset(cursor)
}

fn expect_pattern_end(cursor: &Cursor<'_>) -> Result<(), QueryError> {
    if at_clause(cursor) {
        Ok(())
    } else {
        Err(cursor.expected("'-[', '<-[', WHERE or the end of the query"))
    }
}

/// `(name)` or `()`.
fn twin(cursor: &mut Cursor<'_>, names: &mut Names) -> Result<u16, QueryError> {
    if !cursor.at_symbol(Symbol::LeftParen) {
        return Err(cursor.expected("a twin in parentheses, such as (room)"));
    }
    cursor.advance();
    if cursor.eat_symbol(Symbol::RightParen) {
        return names.declare(None, AliasKind::Twin, cursor);
    }
    let (name, span) = cursor.name("a name for the twin or ')'")?;
    cursor.expect_symbol(Symbol::RightParen)?;
    match names.declared(&name) {
        Some(known) if names.is_twin(known) => Ok(known),
        Some(_) => {
            Err(cursor.error_at(span, format!("{name} is a relationship of this pattern, not a twin")))
        }
        None => names.declare(Some((name, span)), AliasKind::Twin, cursor),
    }
}

/// `-[..]->(to)`, `<-[..]-(to)` or `-[..]-(to)`.
fn step(cursor: &mut Cursor<'_>, names: &mut Names, from: u16) -> Result<Step, QueryError> {
    let start = cursor.peek().span;
    let backward = cursor.eat_symbol(Symbol::Less);
    cursor.expect_symbol(Symbol::Minus)?;
    let inside = Brackets::read(cursor)?;
    cursor.expect_symbol(Symbol::Minus)?;
    let forward = cursor.eat_symbol(Symbol::Greater);
    let direction = match (backward, forward) {
        (true, true) => {
            let message = "a relationship has one direction: -[]->, <-[]-, or -[]- for either";
            return Err(cursor.error_at(start, message));
        }
        (true, false) => StepDirection::Backward,
        (false, true) => StepDirection::Forward,
        (false, false) => StepDirection::Either,
    };
    let relationship = match inside.variable {
        Some(variable) => Some(names.declare(Some(variable), AliasKind::Relationship, cursor)?),
        None => None,
    };
    let to = twin(cursor, names)?;
    let (min_hops, max_hops) = inside.hops;
    Ok(Step { from, to, relationship, names: inside.names, direction, min_hops, max_hops })
}

/// What stands between `[` and `]`.
struct Brackets {
    variable: Option<(String, Span)>,
    names: Vec<String>,
    hops: (u32, u32),
}

impl Brackets {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, QueryError> {
        cursor.expect_symbol(Symbol::LeftBracket)?;
        let mut variable = None;
        let mut names = Vec::new();
        if cursor.at_name() {
            let first = cursor.name("a variable")?;
            if cursor.at_symbol(Symbol::Pipe) || cursor.at_symbol(Symbol::Star) {
                names.push(first.0);
                more_names(cursor, &mut names)?;
            } else {
                variable = Some(first);
            }
        }
        if names.is_empty() && cursor.eat_symbol(Symbol::Colon) {
            names.push(cursor.name("the name of a relationship")?.0);
            more_names(cursor, &mut names)?;
        }
        let hops = if cursor.at_symbol(Symbol::Star) { hops(cursor)? } else { (1, 1) };
        if let (Some((name, span)), true) = (&variable, hops != (1, 1)) {
            let message = format!(
                "{name} can stand for one relationship, not for several hops: leave out {name} or the hops"
            );
            return Err(cursor.error_at(*span, message));
        }
        if !cursor.eat_symbol(Symbol::RightBracket) {
            return Err(cursor.expected(match (names.is_empty(), hops == (1, 1)) {
                (true, true) if variable.is_none() => "a variable, ':', '*' or ']'",
                (true, true) => "':', '|', '*' or ']'",
                (false, true) => "'|', '*' or ']'",
                (_, false) => "']'",
            }));
        }
        Ok(Self { variable, names, hops })
    }
}

fn more_names(cursor: &mut Cursor<'_>, names: &mut Vec<String>) -> Result<(), QueryError> {
    while cursor.eat_symbol(Symbol::Pipe) {
        names.push(cursor.name("the name of a relationship")?.0);
    }
    Ok(())
}

/// `*n`, `*..n` or `*m..n`, which is more than m and at most n.
fn hops(cursor: &mut Cursor<'_>) -> Result<(u32, u32), QueryError> {
    let span = cursor.peek().span;
    cursor.expect_symbol(Symbol::Star)?;
    let over = match cursor.peek().kind {
        TokenKind::Symbol(Symbol::Range) => 0,
        TokenKind::Number(_) => whole(cursor, "a number of hops")?,
        _ => {
            return Err(cursor
                .expected("a number of hops: *3 for three, *..3 for one to three, *1..3 for two or three"));
        }
    };
    let (min, max) = if cursor.eat_symbol(Symbol::Range) {
        (over.saturating_add(1), whole(cursor, "the greatest number of hops; it must be given")?)
    } else {
        (over, over)
    };
    if min == 0 || max < min {
        let message = if max == over && min != over {
            format!(
                "no number of hops is over {over} and at most {max}: the first number is not included; write *{max}"
            )
        } else {
            format!(
                "a number of hops is 1 or more, and the second number is greater than the first, not {over} and {max}"
            )
        };
        return Err(cursor.error_at(span, message));
    }
    if max > cursor.limits.max_hops {
        return Err(cursor.error_at(span, format!("more than the allowed {} hops", cursor.limits.max_hops)));
    }
    Ok((min, max))
}
