//! Small helpers around statements: one row, many rows, a page, an expectation.

use rusqlite::{Connection, Params, Row};

use super::failure::Refusal;
use crate::batch::Expect;
use crate::document::decode;
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

/// A page of at most `limit` items (at least one) of a statement that is limited to [`fetch`](crate::keys::fetch) rows.
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

/// A count.
pub(super) fn count(connection: &Connection, sql: &str, params: impl Params) -> Result<u64, StoreError> {
    let count = one(connection, sql, params, |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or(0);
    u64::try_from(count).map_err(|_| StoreError::Corrupt("a count is negative".to_owned()))
}

/// Runs a statement that writes.
pub(super) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<(), StoreError> {
    changed(connection, sql, params).map(drop)
}

/// Runs a statement that writes; whether it changed a row.
pub(super) fn changed(connection: &Connection, sql: &str, params: impl Params) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(params)? > 0)
}

/// Runs a statement that adds a row unless it is there: then that is refused. One look-up of the key less than asking
/// first, which is felt where there are many.
pub(super) fn insert(connection: &Connection, sql: &str, params: impl Params) -> Result<(), Refusal> {
    if changed(connection, sql, params)? { Ok(()) } else { Err(Mismatch::Exists.into()) }
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
    Ok(expect.compare(found.as_ref().map(Option::as_deref))?)
}
