//! Tables `queued_messages` and `mqtt_sessions`.

use std::collections::HashMap;

use async_trait::async_trait;
use pollux_model::message::{MessageQueue, MqttSession, OF_CONNECTION, QueuedMessage};
use pollux_model::{DeviceId, ResourceName, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{changed, document, execute, insert, many, one, page, require};
use crate::batch::{Expect, Write};
use crate::error::{Mismatch, StoreError};
use crate::keys::fetch;
use crate::messages::{BEHIND_CONNECTIONS, FilterValue, Messages, State, Which};
use crate::store::Page;

const TABLE: &str = "queued_messages";
const ETAG: &str = "SELECT etag FROM queued_messages WHERE hub = ?1 AND queue = ?2 AND sequence = ?3";
const COLUMNS: &str = "hub, queue, sequence, etag, expires, locked_until, held, document, payload";

#[async_trait]
impl Messages for SqliteStore {
    async fn messages(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        which: Which<'_>,
        limit: usize,
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        let filter = which.filter();
        let condition = filter.sql.replace('$', "?");
        let sql = format!(
            "SELECT sequence, document, payload FROM queued_messages WHERE hub = ?1 AND queue = ?2 AND {condition}
            ORDER BY sequence LIMIT ?4"
        );
        let value = match filter.value {
            FilterValue::Number(number) => Value::Integer(number),
            FilterValue::Text(text) => Value::Text(text),
        };
        let read = |connection: &Connection| {
            let key = params![hub.as_str(), queue.as_str(), value, fetch(limit) - 1];
            many(connection, &sql, key, |row| read(row, 0))
        };
        self.readers.point(read).await
    }

    async fn next_unlocked(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(locked_until) FROM queued_messages WHERE hub = ?1 AND queue = ?2 AND locked_until > ?3";
        let next = self.readers.point(|connection| {
            let key = params![hub.as_str(), queue.as_str(), now.as_micros()];
            one(connection, sql, key, |row| Ok(row.get::<_, Option<i64>>(0)?))
        });
        Ok(next.await?.flatten().map(Timestamp::from_micros))
    }

    async fn count_messages(
        &self,
        hub: &ResourceName,
        devices: &[DeviceId],
    ) -> Result<HashMap<DeviceId, u64>, StoreError> {
        let sql = "SELECT queue, count(*) FROM queued_messages
            WHERE hub = ?1 AND queue IN (SELECT value FROM json_each(?2)) GROUP BY queue";
        let devices = crate::document::encode(&devices)?;
        let counts = self.readers.point(|connection| {
            many(connection, sql, [hub.as_str(), &devices], |row| {
                let id = DeviceId::parse(row.get_ref(0)?.as_str()?)
                    .map_err(|error| StoreError::Corrupt(error.message))?;
                Ok((id, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
            })
        });
        Ok(counts.await?.into_iter().collect())
    }

    async fn expired_messages(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(ResourceName, QueuedMessage)>, StoreError> {
        let sql = "SELECT hub, sequence, document, payload FROM queued_messages
            WHERE expires <= ?1 AND locked_until <= ?1 ORDER BY expires LIMIT ?2";
        let key = (now.as_micros(), fetch(limit) - 1);
        self.readers
            .list(move |connection| {
                many(connection, sql, key, |row| {
                    let hub = ResourceName::parse(row.get_ref(0)?.as_str()?)
                        .map_err(|error| StoreError::Corrupt(error.message))?;
                    Ok((hub, read(row, 1)?))
                })
            })
            .await
    }

    async fn connection_notices(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<QueuedMessage>, StoreError> {
        let sql = "SELECT sequence, document, payload FROM queued_messages
            WHERE hub = ?1 AND queue > ?2 AND queue < ?3 ORDER BY queue LIMIT ?4";
        let (hub, after) = (hub.clone(), after.unwrap_or(OF_CONNECTION).to_owned());
        self.readers
            .list(move |connection| {
                let key = params![hub.as_str(), after, BEHIND_CONNECTIONS, fetch(limit)];
                let mark = |message: &QueuedMessage| message.queue.as_str().to_owned();
                page(connection, sql, key, limit, |row| read(row, 0), mark)
            })
            .await
    }

    async fn mqtt_session(
        &self,
        hub: &ResourceName,
        device: &str,
    ) -> Result<Option<MqttSession>, StoreError> {
        let sql = "SELECT document FROM mqtt_sessions WHERE hub = ?1 AND device = ?2";
        let key = [hub.as_str(), device];
        let read = |row: &Row<'_>| document(row, 0, "mqtt_sessions");
        self.readers.point(|connection| one(connection, sql, key, read)).await
    }
}

/// Columns from `first` on: sequence, document, payload. The sequence is the row's own; the document was written before it
/// was known.
fn read(row: &Row<'_>, first: usize) -> Result<QueuedMessage, StoreError> {
    let message: QueuedMessage = document(row, first + 1, TABLE)?;
    Ok(QueuedMessage { sequence: row.get(first)?, payload: row.get(first + 2)?, ..message })
}

/// A write about one of these.
pub(super) fn write(connection: &Connection, write: &Write, text: &str) -> Result<(), Refusal> {
    match write {
        Write::EnqueueMessage { hub, message, most } => enqueue(connection, hub, message, text, *most),
        Write::PutMessage { hub, message, expect } => put(connection, hub, message, text, expect),
        Write::DeleteMessage { hub, queue, sequence, expect } => {
            delete(connection, hub, queue, *sequence, expect)
        }
        Write::PutMqttSession { hub, session } => put_session(connection, hub, session, text),
        Write::DeleteMqttSession { hub, device } => delete_session(connection, hub, device),
        _ => Ok(()),
    }
}

fn require_device(connection: &Connection, hub: &ResourceName, id: &str) -> Result<(), Refusal> {
    let sql = "SELECT identity_etag FROM devices WHERE hub = ?1 AND id = ?2";
    require(connection, sql, [hub.as_str(), id], &Expect::Present)
}

fn enqueue(
    connection: &Connection,
    hub: &ResourceName,
    message: &QueuedMessage,
    text: &str,
    most: u32,
) -> Result<(), Refusal> {
    require_device(connection, hub, message.queue.as_str())?;
    let sql = "INSERT INTO queued_messages (hub, queue, sequence, etag, expires, locked_until, held, document, payload)
        SELECT ?1, ?2, max(?3, coalesce(max(sequence) + 1, ?3)), ?4, ?5, ?6, ?7, ?8, ?9
        FROM queued_messages WHERE hub = ?1 AND queue = ?2 HAVING count(*) < ?10";
    let State { expires, locked_until, held } = State::of(message);
    let row = params![
        hub.as_str(),
        message.queue.as_str(),
        message.sequence,
        message.etag.as_str(),
        expires,
        locked_until,
        held,
        text,
        message.payload,
        most,
    ];
    if changed(connection, sql, row)? { Ok(()) } else { Err(Mismatch::QueueFull.into()) }
}

fn put(
    connection: &Connection,
    hub: &ResourceName,
    message: &QueuedMessage,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let (queue, etag) = (message.queue.as_str(), message.etag.as_str());
    let State { expires, locked_until, held } = State::of(message);
    let key = params![hub.as_str(), queue, message.sequence];
    if matches!(expect, Expect::Present | Expect::Etag(_)) {
        require(connection, ETAG, key, expect)?;
        let sql =
            "UPDATE queued_messages SET etag = ?4, expires = ?5, locked_until = ?6, held = ?7, document = ?8
            WHERE hub = ?1 AND queue = ?2 AND sequence = ?3";
        let row = params![hub.as_str(), queue, message.sequence, etag, expires, locked_until, held, text];
        return Ok(execute(connection, sql, row)?);
    }
    let conflict = match expect {
        Expect::Absent => "ON CONFLICT DO NOTHING",
        _ => {
            "ON CONFLICT (hub, queue, sequence) DO UPDATE SET etag = excluded.etag, expires = excluded.expires,
            locked_until = excluded.locked_until, held = excluded.held, document = excluded.document,
            payload = excluded.payload"
        }
    };
    let sql = format!(
        "INSERT INTO queued_messages ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) {conflict}"
    );
    let payload = &message.payload;
    let row =
        params![hub.as_str(), queue, message.sequence, etag, expires, locked_until, held, text, payload];
    insert(connection, &sql, row)
}

fn delete(
    connection: &Connection,
    hub: &ResourceName,
    queue: &MessageQueue,
    sequence: i64,
    expect: &Expect,
) -> Result<(), Refusal> {
    let key = params![hub.as_str(), queue.as_str(), sequence];
    require(connection, ETAG, key, expect)?;
    let sql = "DELETE FROM queued_messages WHERE hub = ?1 AND queue = ?2 AND sequence = ?3";
    Ok(execute(connection, sql, key)?)
}

fn put_session(
    connection: &Connection,
    hub: &ResourceName,
    session: &MqttSession,
    text: &str,
) -> Result<(), Refusal> {
    require_device(connection, hub, session.device_id())?;
    let sql = "INSERT INTO mqtt_sessions (hub, device, document) VALUES (?1, ?2, ?3)
        ON CONFLICT (hub, device) DO UPDATE SET document = excluded.document";
    Ok(execute(connection, sql, params![hub.as_str(), session.device.as_str(), text])?)
}

fn delete_session(connection: &Connection, hub: &ResourceName, device: &str) -> Result<(), Refusal> {
    let sql = "DELETE FROM mqtt_sessions WHERE hub = ?1 AND device = ?2";
    Ok(execute(connection, sql, [hub.as_str(), device])?)
}

/// What goes with a device.
pub(super) fn delete_device(
    connection: &Connection,
    hub: &ResourceName,
    device: &DeviceId,
) -> Result<(), Refusal> {
    let sql = "DELETE FROM queued_messages WHERE hub = ?1 AND queue = ?2";
    execute(connection, sql, [hub.as_str(), device.as_str()])?;
    delete_session(connection, hub, device)
}

pub(super) fn delete_instance(connection: &Connection, hub: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM queued_messages WHERE hub = ?1", [hub.as_str()])?;
    execute(connection, "DELETE FROM mqtt_sessions WHERE hub = ?1", [hub.as_str()])
}
