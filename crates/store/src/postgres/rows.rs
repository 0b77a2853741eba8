//! Small helpers around reads: one row, many rows, a page.

use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::pool::{Params, Pool};
use crate::document::decode;
use crate::error::StoreError;
use crate::store::Page;

/// The first row, if there is one.
pub(super) async fn one<T>(
    pool: &Pool,
    sql: &str,
    params: Params<'_>,
    read: impl FnOnce(&Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    pool.query(sql, params).await?.first().map(read).transpose()
}

/// All rows.
pub(super) async fn many<T>(
    pool: &Pool,
    sql: &str,
    params: Params<'_>,
    read: impl FnMut(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    pool.query(sql, params).await?.iter().map(read).collect()
}

/// A page of at most `limit` items (at least one) of a statement that is limited to
/// [`fetch`](crate::keys::fetch) rows.
pub(super) async fn page<T>(
    pool: &Pool,
    sql: &str,
    params: Params<'_>,
    limit: usize,
    read: impl FnMut(&Row) -> Result<T, StoreError>,
    mark: impl FnOnce(&T) -> String,
) -> Result<Page<T>, StoreError> {
    let rows = pool.query(sql, params).await?;
    let limit = limit.max(1);
    let items = rows.iter().take(limit).map(read).collect::<Result<Vec<T>, _>>()?;
    let next = if rows.len() > limit { items.last().map(mark) } else { None };
    Ok(Page { items, next })
}

/// A count.
pub(super) async fn count(pool: &Pool, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
    Ok(one(pool, sql, params, |row| number(row, 0)).await?.unwrap_or(0))
}

/// The count in a column.
pub(super) fn number(row: &Row, column: usize) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<_, i64>(column)?)
        .map_err(|_| StoreError::Corrupt("a count is negative".to_owned()))
}

/// The JSON document in a column.
pub(super) fn document<T: DeserializeOwned>(row: &Row, column: usize, table: &str) -> Result<T, StoreError> {
    decode(table, row.try_get(column)?)
}
