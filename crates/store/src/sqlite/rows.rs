//! Small helpers around statements: one row, many rows, a page, an expectation.

use rusqlite::{Connection, Params, Row};

use super::document::decode;
use super::failure::Refusal;
use crate::batch::Expect;
use crate::error::{Mismatch, StoreError};
use crate::store::Page;

/// The first row, if there is one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// All rows.
pub(super) fn many<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    Ok(items)
}

/// A page of at most `limit` items (at least one) of a statement that is limited to [`fetch`] rows.
pub(super) fn page<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    limit: usize,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    mark: impl FnOnce(&T) -> String,
) -> Result<Page<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        if items.len() == limit.max(1) {
            let next = items.last().map(mark);
            return Ok(Page { items, next });
        }
        items.push(read(row)?);
    }
    Ok(Page { items, next: None })
}

/// How many rows to ask for, so that a page of `limit` also learns whether there is another.
pub(super) fn fetch(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).map_or(i64::MAX, |limit| limit.saturating_add(1))
}

/// A count.
pub(super) fn count(connection: &Connection, sql: &str, params: impl Params) -> Result<u64, StoreError> {
    let count = one(connection, sql, params, |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or(0);
    u64::try_from(count).map_err(|_| StoreError::Corrupt("a count is negative".to_owned()))
}

/// Runs a statement that writes.
pub(super) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

/// The JSON document in a column.
pub(super) fn document<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
    table: &str,
) -> Result<T, StoreError> {
    decode(table, row.get_ref(column)?.as_str()?)
}

/// Checks an expectation against the etag that `sql` selects (NULL where such rows have none).
pub(super) fn require(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    expect: &Expect,
) -> Result<(), Refusal> {
    if *expect == Expect::Any {
        return Ok(());
    }
    let found = one(connection, sql, params, |row| Ok(row.get::<_, Option<String>>(0)?))?;
    Ok(compare(found.as_ref().map(Option::as_deref), expect)?)
}

/// Compares what is there (`None`: no row; `Some(None)`: a row without etag) with what was expected.
pub(super) fn compare(found: Option<Option<&str>>, expect: &Expect) -> Result<(), Mismatch> {
    match (expect, found) {
        (Expect::Any, _) | (Expect::Absent, None) | (Expect::Present, Some(_)) => Ok(()),
        (Expect::Absent, Some(_)) => Err(Mismatch::Exists),
        (Expect::Present | Expect::Etag(_), None) => Err(Mismatch::Absent),
        (Expect::Etag(etag), Some(found)) if found == Some(etag.as_str()) => Ok(()),
        (Expect::Etag(_), Some(_)) => Err(Mismatch::OtherEtag),
    }
}
