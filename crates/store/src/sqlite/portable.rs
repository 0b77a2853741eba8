//! Rows for an export.

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, Row as SqliteRow, ToSql, params_from_iter};
use serde_json::Value;

use super::SqliteStore;
use super::rows::count;
use crate::error::StoreError;
use crate::keys::fetch;
use crate::portable::{Cells, Portable, Row, Shape, Table, mark, read};
use crate::store::Page;

#[async_trait]
impl Portable for SqliteStore {
    async fn rows(&self, table: Table, after: Option<&str>, limit: usize) -> Result<Page<Row>, StoreError> {
        let after = after.map(|mark| Shape::of(table).place(mark)).transpose()?;
        self.readers.list(move |connection| page(connection, table, after.as_deref(), limit)).await
    }

    async fn count_rows(&self, table: Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.as_str());
        self.readers.list(move |connection| count(connection, &sql, [])).await
    }
}

fn page(
    connection: &Connection,
    table: Table,
    after: Option<&[Value]>,
    limit: usize,
) -> Result<Page<Row>, StoreError> {
    let shape = Shape::of(table);
    let sql = shape.select(table, after.is_some()).replace('$', "?");
    let keys = after.unwrap_or_default().iter().map(|key| match key {
        Value::String(text) => SqlValue::Text(text.clone()),
        key => key.as_i64().map_or(SqlValue::Null, SqlValue::Integer),
    });
    let params = params_from_iter(keys.chain([SqlValue::Integer(fetch(limit))]).map(Param));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        if items.len() == limit.max(1) {
            return Ok(Page { items, next: last });
        }
        items.push(read(table, shape, row)?);
        last = Some(mark(row, shape)?);
    }
    Ok(Page { items, next: None })
}

struct Param(SqlValue);

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::from(&self.0)))
    }
}

impl Cells for SqliteRow<'_> {
    fn text(&self, at: usize) -> Result<String, StoreError> {
        Ok(self.get(at)?)
    }

    fn number(&self, at: usize) -> Result<i64, StoreError> {
        Ok(self.get(at)?)
    }

    fn bytes(&self, at: usize) -> Result<Vec<u8>, StoreError> {
        Ok(self.get(at)?)
    }

    fn key(&self, at: usize) -> Result<Value, StoreError> {
        match self.get_ref(at)? {
            ValueRef::Integer(number) => Ok(number.into()),
            _ => Ok(self.text(at)?.into()),
        }
    }
}
