//! Reading the queues of a hub, and what MQTT connections left.

use std::collections::HashMap;

use async_trait::async_trait;
use pollux_model::message::{LockedBy, MessageQueue, MqttSession, QueuedMessage};
use pollux_model::{DeviceId, ResourceName, Timestamp};

use crate::error::StoreError;
use crate::store::Page;

/// Messages, keyed by hub, queue and sequence; sessions, keyed by hub and device.
#[async_trait]
pub trait Messages {
    /// Messages of a queue, in their order, `limit` of them at most.
    async fn messages(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        which: Which<'_>,
        limit: usize,
    ) -> Result<Vec<QueuedMessage>, StoreError>;
    /// When the next of those that are locked at this moment is free again, if nobody does anything.
    async fn next_unlocked(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;
    /// How many messages wait for each of these devices, locked ones too; those that have none are left out.
    async fn count_messages(
        &self,
        hub: &ResourceName,
        devices: &[DeviceId],
    ) -> Result<HashMap<DeviceId, u64>, StoreError>;
    /// Messages of all hubs whose time is over and that nobody holds, the oldest first, `limit` of them at most.
    async fn expired_messages(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(ResourceName, QueuedMessage)>, StoreError>;
    /// What was told of connections: the messages of all [`MessageQueue::Connection`] of a hub, in the order of their queues.
    async fn connection_notices(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<QueuedMessage>, StoreError>;
    /// What the device's last MQTT connection left.
    async fn mqtt_session(&self, hub: &ResourceName, device: &str)
    -> Result<Option<MqttSession>, StoreError>;
}

/// Behind the last name of a queue of a connection: `0` follows the slash.
pub(crate) const BEHIND_CONNECTIONS: &str = "/connection0";

/// Which messages of a queue.
#[derive(Debug, Clone, Copy)]
pub enum Which<'w> {
    /// All.
    All,
    /// Those that nobody holds at this moment and whose time is not over.
    Available(Timestamp),
    /// Those with this etag: of what is locked the lock token.
    Etag(&'w str),
    /// Those that a connection holds, in time or not.
    Held,
}

/// What backends select by, beside hub and queue.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// A condition in which `$3` stands for the value.
    pub(crate) sql: &'static str,
    pub(crate) value: FilterValue,
}

/// A parameter of a filter.
#[derive(Debug, Clone)]
pub(crate) enum FilterValue {
    Number(i64),
    Text(String),
}

impl Which<'_> {
    pub(crate) fn filter(self) -> Filter {
        match self {
            Self::All => Filter { sql: "sequence >= $3", value: FilterValue::Number(i64::MIN) },
            Self::Available(now) => Filter {
                sql: "locked_until <= $3 AND expires > $3",
                value: FilterValue::Number(now.as_micros()),
            },
            Self::Etag(etag) => Filter { sql: "etag = $3", value: FilterValue::Text(etag.to_owned()) },
            Self::Held => Filter { sql: "held AND sequence >= $3", value: FilterValue::Number(i64::MIN) },
        }
    }
}

/// What backends keep in columns beside the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) expires: i64,
    pub(crate) locked_until: i64,
    pub(crate) held: bool,
}

impl State {
    pub(crate) fn of(message: &QueuedMessage) -> Self {
        Self {
            expires: message.expires.as_micros(),
            locked_until: message.lock.map_or(0, |lock| lock.until.as_micros()),
            held: message.lock.is_some_and(|lock| lock.by == LockedBy::Connection),
        }
    }
}
