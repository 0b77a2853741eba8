//! Rows for an export.

use async_trait::async_trait;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use super::PostgresStore;
use super::rows::count;
use super::text::{plain, text};
use crate::error::StoreError;
use crate::keys::fetch;
use crate::portable::{Cells, Portable, Row, Shape, Table, mark, read};
use crate::store::Page;

#[async_trait]
impl Portable for PostgresStore {
    async fn rows(&self, table: Table, after: Option<&str>, limit: usize) -> Result<Page<Row>, StoreError> {
        let shape = shape(table);
        let after = after.map(|mark| shape.place(mark)).transpose()?;
        let mut params = after.iter().flatten().map(param).collect::<Result<Vec<_>, _>>()?;
        params.push(Box::new(fetch(limit)));
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| -> _ { &**param as _ }).collect();
        let rows = self.pool.query(&shape.select(table, after.is_some()), &params).await?;
        let limit = limit.max(1);
        let items =
            rows.iter().take(limit).map(|row| read(table, shape, row)).collect::<Result<Vec<_>, _>>()?;
        let next = if rows.len() > limit { Some(mark(&rows[limit - 1], shape)?) } else { None };
        Ok(Page { items, next })
    }

    async fn count_rows(&self, table: Table) -> Result<u64, StoreError> {
        count(&self.pool, &format!("SELECT count(*) FROM {}", table.as_str()), &[]).await
    }
}

/// The outbox goes by shards here, as its index does: what shares a partition key stays in order.
fn shape(table: Table) -> Shape {
    match table {
        Table::Outbox => Shape { keys: &["shard", "id"], ..Shape::of(table) },
        table => Shape::of(table),
    }
}

/// A key as the server wants it: the only small number is the outbox's shard, which comes first of two numbers.
fn param(key: &Value) -> Result<Box<dyn ToSql + Sync + Send>, StoreError> {
    let foreign = || StoreError::Corrupt("a page of rows is asked for with a foreign mark".to_owned());
    match key {
        Value::String(key) => Ok(Box::new(text(key).into_owned())),
        key => Ok(Box::new(Number(key.as_i64().ok_or_else(foreign)?))),
    }
}

/// A number in as many bytes as its column has.
#[derive(Debug)]
struct Number(i64);

impl ToSql for Number {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        if *kind == Type::INT2 { i16::try_from(self.0)?.to_sql(kind, out) } else { self.0.to_sql(kind, out) }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT2, Type::INT8].contains(kind)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl Cells for tokio_postgres::Row {
    fn text(&self, at: usize) -> Result<String, StoreError> {
        Ok(plain(self.try_get(at)?))
    }

    fn number(&self, at: usize) -> Result<i64, StoreError> {
        Ok(self.try_get(at)?)
    }

    fn bytes(&self, at: usize) -> Result<Vec<u8>, StoreError> {
        Ok(self.try_get(at)?)
    }

    fn key(&self, at: usize) -> Result<Value, StoreError> {
        match self.columns().get(at).map(|column| column.type_()) {
            Some(&Type::INT2) => Ok(self.try_get::<_, i16>(at)?.into()),
            Some(&Type::INT8) => Ok(self.number(at)?.into()),
            _ => Ok(self.text(at)?.into()),
        }
    }
}
