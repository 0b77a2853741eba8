//! The clauses of a query over twins, from text.

use super::{
    Query,
    ast::{Collection, Column, ColumnValue, SelectList},
};
use crate::{
    clauses::{as_name, top},
    cursor::{Cursor, RawPath},
    error::{QueryError, did_you_mean},
    expr::{Path, Segment, Span},
    functions::{HUB, Signature},
    lexer::{Lexicon, Symbol, TokenKind},
    limits::Limits,
    parser::{self, Dialect, Style},
    totals::Aggregate,
};

pub(super) fn query(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    let mut cursor =
        Cursor::new(text, Lexicon { noun: "query", dashed_names: false, patterns: false }, limits)?;
    cursor.expect_keyword("SELECT")?;
    let top = top(&mut cursor)?;
    let select = select(&mut cursor)?;
    if !cursor.eat_keyword("FROM") {
        return Err(cursor.expected(if select.is_none() { "FROM" } else { "',' or FROM" }));
    }
    let collection = from(&mut cursor)?;
    let filter =
        if cursor.eat_keyword("WHERE") { Some(parser::condition(&mut cursor, &Devices)?) } else { None };
    let grouped = cursor.eat_keyword("GROUP");
    let group_by = if grouped { group_by(&mut cursor)? } else { Vec::new() };
    cursor.expect_end(match (&filter, grouped) {
        (_, true) => "',' or the end of the query",
        (Some(_), false) => "an operator, GROUP BY or the end of the query",
        (None, false) => "WHERE, GROUP BY or the end of the query",
    })?;
    let select = checked(select, &group_by, &cursor)?;
    Ok(Query { top, select, collection, filter, group_by })
}

/// The select list as written: `None` for `*`, and where that stands.
type Written = Option<Vec<(Column, Span)>>;

fn select(cursor: &mut Cursor<'_>) -> Result<Written, QueryError> {
    if cursor.eat_symbol(Symbol::Star) {
        return Ok(None);
    }
    let mut columns = Vec::new();
    loop {
        let span = cursor.peek().span;
        columns.push((column(cursor)?, span));
        if !cursor.eat_symbol(Symbol::Comma) {
            return Ok(Some(columns));
        }
    }
}

/// Beside an aggregate, and in groups, only that can stand which all matches of a group have in common.
fn checked(select: Written, group_by: &[Path], cursor: &Cursor<'_>) -> Result<SelectList, QueryError> {
    let Some(columns) = select else {
        return match group_by {
            [] => Ok(SelectList::All),
            _ => Err(cursor.error_at(Span::new(0, 0), "SELECT * cannot be grouped: name the columns")),
        };
    };
    let aggregate = |(column, _): &(Column, Span)| matches!(column.value, ColumnValue::Aggregate(_));
    if !group_by.is_empty() || columns.iter().any(aggregate) {
        for (column, span) in &columns {
            if let ColumnValue::Path(path) = &column.value
                && !group_by.contains(path)
            {
                let message = format!("{} must be in GROUP BY, or in an aggregate", column.name);
                return Err(cursor.error_at(*span, message));
            }
        }
    }
    Ok(SelectList::Columns(columns.into_iter().map(|(column, _)| column).collect()))
}

fn column(cursor: &mut Cursor<'_>) -> Result<Column, QueryError> {
    if !cursor.at_name() {
        return Err(cursor.expected_name("*, a property or an aggregate"));
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

const AGGREGATES: [&str; 5] = ["COUNT", "AVG", "SUM", "MIN", "MAX"];

/// `COUNT()`, or a function of a property.
fn aggregate(cursor: &mut Cursor<'_>, called: &RawPath) -> Result<ColumnValue, QueryError> {
    let name = called.head();
    let known = AGGREGATES.into_iter().find(|known| known.eq_ignore_ascii_case(name));
    let Some(function) = known.filter(|_| called.segments.len() == 1) else {
        let message = format!("there is no aggregate {name}{}", did_you_mean(name, AGGREGATES));
        return Err(cursor.error_at(called.span, message));
    };
    cursor.expect_symbol(Symbol::LeftParen)?;
    let path = match function {
        "COUNT" => None,
        _ => Some(property(cursor)?),
    };
    cursor.expect_symbol(Symbol::RightParen)?;
    let aggregate = Aggregate::named(function, path);
    aggregate.map(ColumnValue::Aggregate).ok_or_else(|| cursor.expected("an aggregate"))
}

/// The properties behind `GROUP`.
fn group_by(cursor: &mut Cursor<'_>) -> Result<Vec<Path>, QueryError> {
    cursor.expect_keyword("BY")?;
    let mut paths = vec![property(cursor)?];
    while cursor.eat_symbol(Symbol::Comma) {
        paths.push(property(cursor)?);
    }
    Ok(paths)
}

fn property(cursor: &mut Cursor<'_>) -> Result<Path, QueryError> {
    let raw = cursor.raw_path("a property", true)?;
    Devices.resolve(raw, cursor)
}

fn from(cursor: &mut Cursor<'_>) -> Result<Collection, QueryError> {
    const COLLECTIONS: [&str; 3] = ["devices", "devices.modules", "devices.jobs"];
    if cursor.eat_keyword("DEVICES") {
        if !cursor.eat_symbol(Symbol::Dot) {
            return Ok(Collection::Devices);
        }
        if cursor.eat_keyword("MODULES") {
            return Ok(Collection::Modules);
        }
        if cursor.eat_keyword("JOBS") {
            return Ok(Collection::Jobs);
        }
        return Err(cursor.expected("modules or jobs"));
    }
    let mut error = cursor.expected("devices, devices.modules or devices.jobs");
    if let TokenKind::Name { text, .. } = &cursor.peek().kind {
        error.message.push_str(&did_you_mean(text, COLLECTIONS));
    }
    Err(error)
}

/// Members of the documents themselves, which clients write with or without a capital (the .NET and Java clients' suites ask for
/// `DeviceId IN [..]`). What is in them is compared with case.
const MEMBERS: [&str; 25] = [
    "deviceId",
    "moduleId",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "modelId",
    "version",
    "tags",
    "properties",
    "capabilities",
    "jobId",
    "jobType",
    "startTimeUtc",
    "endTimeUtc",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "outcome",
    "error",
];

/// Names in a query: properties of the document, with or without `devices.`, `devices.modules.` or `devices.jobs.` before
/// them.
struct Devices;

impl Dialect for Devices {
    fn signatures(&self) -> &'static [Signature] {
        HUB
    }

    fn resolve(&self, path: RawPath, _cursor: &Cursor<'_>) -> Result<Path, QueryError> {
        let mut segments = path.segments;
        let is = |at: usize, word: &str, segments: &[Segment]| matches!(segments.get(at), Some(Segment::Name(name)) if name.eq_ignore_ascii_case(word));
        let prefix = match segments.as_slice() {
            all @ [_, _, _, ..] if is(0, "devices", all) && (is(1, "modules", all) || is(1, "jobs", all)) => {
                2
            }
            all @ [_, _, ..] if is(0, "devices", all) => 1,
            _ => 0,
        };
        segments.drain(..prefix);
        // As the article "Queries for IoT Hub jobs" calls it in its example, beside the name in its rows.
        if let [Segment::Name(name)] = segments.as_mut_slice()
            && name.eq_ignore_ascii_case("createdTimeUtc")
        {
            "createdDateTimeUtc".clone_into(name);
        }
        if let Some(Segment::Name(name)) = segments.first_mut()
            && let Some(member) = MEMBERS.into_iter().find(|member| member.eq_ignore_ascii_case(name))
        {
            member.clone_into(name);
        }
        Ok(Path { root: 0, segments })
    }

    fn style(&self) -> Style {
        Style::Hub
    }
}
