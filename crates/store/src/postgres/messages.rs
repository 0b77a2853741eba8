//! Reading tables `queued_messages` and `mqtt_sessions`.

use std::collections::HashMap;

use async_trait::async_trait;
use pollux_model::message::{MessageQueue, MqttSession, OF_CONNECTION, QueuedMessage};
use pollux_model::{DeviceId, ResourceName, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::rows::{document, many, number, one, page};
use super::text::{plain, text};
use crate::error::StoreError;
use crate::keys::fetch;
use crate::messages::{BEHIND_CONNECTIONS, FilterValue, Messages, Which};
use crate::store::Page;

#[async_trait]
impl Messages for PostgresStore {
    async fn messages(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        which: Which<'_>,
        limit: usize,
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        let filter = which.filter();
        let sql = format!(
            "SELECT sequence, document, payload FROM queued_messages WHERE hub = $1 AND queue = $2 AND {}
            ORDER BY sequence LIMIT $4",
            filter.sql
        );
        let word;
        let value: &(dyn ToSql + Sync) = match &filter.value {
            FilterValue::Number(number) => number,
            FilterValue::Text(wanted) => {
                word = text(wanted);
                &word
            }
        };
        let queue = text(queue.as_str());
        many(&self.pool, &sql, &[&hub.as_str(), &queue, value, &(fetch(limit) - 1)], |row| read(row, 0)).await
    }

    async fn next_unlocked(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(locked_until) FROM queued_messages WHERE hub = $1 AND queue = $2 AND locked_until > $3";
        let (queue, now) = (text(queue.as_str()), now.as_micros());
        let read = |row: &Row| Ok(row.try_get::<_, Option<i64>>(0)?);
        let next = one(&self.pool, sql, &[&hub.as_str(), &queue, &now], read).await?;
        Ok(next.flatten().map(Timestamp::from_micros))
    }

    async fn count_messages(
        &self,
        hub: &ResourceName,
        devices: &[DeviceId],
    ) -> Result<HashMap<DeviceId, u64>, StoreError> {
        let sql =
            "SELECT queue, count(*) FROM queued_messages WHERE hub = $1 AND queue = ANY($2) GROUP BY queue";
        let queues: Vec<_> = devices.iter().map(|id| text(id.as_str())).collect();
        let read = |row: &Row| {
            let id = DeviceId::parse(&plain(row.try_get(0)?));
            Ok((id.map_err(|error| StoreError::Corrupt(error.message))?, number(row, 1)?))
        };
        Ok(many(&self.pool, sql, &[&hub.as_str(), &queues], read).await?.into_iter().collect())
    }

    async fn expired_messages(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(ResourceName, QueuedMessage)>, StoreError> {
        let sql = "SELECT hub, sequence, document, payload FROM queued_messages
            WHERE expires <= $1 AND locked_until <= $1 ORDER BY expires LIMIT $2";
        many(&self.pool, sql, &[&now.as_micros(), &(fetch(limit) - 1)], |row| {
            let hub = ResourceName::parse(row.try_get(0)?);
            Ok((hub.map_err(|error| StoreError::Corrupt(error.message))?, read(row, 1)?))
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
            WHERE hub = $1 AND queue > $2 AND queue < $3 ORDER BY queue LIMIT $4";
        let after = text(after.unwrap_or(OF_CONNECTION));
        let key: super::pool::Params<'_> = &[&hub.as_str(), &after, &BEHIND_CONNECTIONS, &fetch(limit)];
        let mark = |message: &QueuedMessage| message.queue.as_str().to_owned();
        page(&self.pool, sql, key, limit, |row| read(row, 0), mark).await
    }

    async fn mqtt_session(
        &self,
        hub: &ResourceName,
        device: &str,
    ) -> Result<Option<MqttSession>, StoreError> {
        let sql = "SELECT document FROM mqtt_sessions WHERE hub = $1 AND device = $2";
        let device = text(device);
        one(&self.pool, sql, &[&hub.as_str(), &device], |row| document(row, 0, "mqtt_sessions")).await
    }
}

/// Columns from `first` on: sequence, document, payload. The sequence is the row's own; the document was written before it
/// was known.
fn read(row: &Row, first: usize) -> Result<QueuedMessage, StoreError> {
    let message: QueuedMessage = document(row, first + 1, "queued_messages")?;
    Ok(QueuedMessage { sequence: row.try_get(first)?, payload: row.try_get(first + 2)?, ..message })
}
