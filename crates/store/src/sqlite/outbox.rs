//! Table `outbox`.

use pollux_model::OwnerName;
use pollux_model::event::OutboxEntry;
use rusqlite::{Connection, Row, params};

use super::failure::Refusal;
use super::rows::{execute, many};
use crate::error::StoreError;

/// The oldest entries with their row numbers.
pub(super) fn oldest(connection: &Connection, limit: usize) -> Result<Vec<(i64, OutboxEntry)>, StoreError> {
    let sql = "SELECT id, namespace, event_hub, partition_key, idempotency_key, payload FROM outbox
        ORDER BY id LIMIT ?1";
    many(connection, sql, [i64::try_from(limit).unwrap_or(i64::MAX)], read)
}

fn read(row: &Row<'_>) -> Result<(i64, OutboxEntry), StoreError> {
    let entry = OutboxEntry {
        namespace: OwnerName::parse(row.get_ref(1)?.as_str()?)
            .map_err(|error| StoreError::Corrupt(error.message))?,
        event_hub: row.get(2)?,
        partition_key: row.get(3)?,
        idempotency_key: row.get(4)?,
        payload: row.get(5)?,
    };
    Ok((row.get(0)?, entry))
}

pub(super) fn add(connection: &Connection, entry: &OutboxEntry) -> Result<(), Refusal> {
    let sql = "INSERT INTO outbox (namespace, event_hub, partition_key, idempotency_key, payload)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![
        entry.namespace.as_str(),
        entry.event_hub,
        entry.partition_key,
        entry.idempotency_key,
        entry.payload,
    ];
    Ok(execute(connection, sql, row)?)
}

/// Rows that are gone already are no error.
pub(super) fn forget(connection: &Connection, rows: &[i64]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    for row in rows {
        statement.execute([row])?;
    }
    Ok(())
}
