//! Live connections of devices on this node: at most one a device, the newest wins.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use pollux_model::{DeviceId, ResourceName, Timestamp};
use serde_json::Value;

/// What a service wants of a live connection. Neutral: an edge turns it into its protocol's words.
#[derive(Debug, Clone)]
pub enum DeviceCommand {
    /// Desired properties changed: the patch and the version it leads to.
    Desired {
        /// What changed (`null` for what is gone).
        patch: Value,
        /// The version of the desired properties after it.
        version: u64,
    },
    /// End the connection.
    Close {
        /// Why, for the log.
        reason: &'static str,
    },
}

/// The edge's end of a live connection. MUST NOT block; a link that cannot take a command closes itself.
pub trait DeviceLink: Send + Sync + Debug {
    /// Hands over a command.
    fn deliver(&self, command: DeviceCommand);
}

type Key = (ResourceName, DeviceId);

/// The live connections.
#[derive(Debug, Default)]
pub struct Connections {
    live: Arc<DashMap<Key, Entry>>,
    counter: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    link: Arc<dyn DeviceLink>,
    since: Timestamp,
}

/// A device's place among the live connections; gives it up when dropped.
#[derive(Debug)]
pub struct Connection {
    live: Arc<DashMap<Key, Entry>>,
    key: Key,
    number: u64,
}

impl Connections {
    /// Takes the device's place; the connection that had it is closed.
    #[must_use]
    pub fn enter(
        &self,
        hub: &ResourceName,
        device: &DeviceId,
        link: Arc<dyn DeviceLink>,
        now: Timestamp,
    ) -> Connection {
        let key = (hub.clone(), device.clone());
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let before = self.live.insert(key.clone(), Entry { number, link, since: now });
        if let Some(before) = before {
            before.link.deliver(DeviceCommand::Close { reason: "the device connected again elsewhere" });
        }
        Connection { live: Arc::clone(&self.live), key, number }
    }

    /// Hands a command to the device's live connection; `false` when it has none.
    pub fn deliver(&self, hub: &ResourceName, device: &DeviceId, command: DeviceCommand) -> bool {
        let link = self.live.get(&(hub.clone(), device.clone())).map(|entry| Arc::clone(&entry.link));
        link.map(|link| link.deliver(command)).is_some()
    }

    /// Since when the device is connected, if it is.
    #[must_use]
    pub fn since(&self, hub: &ResourceName, device: &DeviceId) -> Option<Timestamp> {
        self.live.get(&(hub.clone(), device.clone())).map(|entry| entry.since)
    }

    /// How many devices of a hub are connected.
    #[must_use]
    pub fn count(&self, hub: &ResourceName) -> usize {
        self.live.iter().filter(|entry| entry.key().0 == *hub).count()
    }

    /// Ends every connection of a hub: it is deleted.
    pub fn close_all(&self, hub: &ResourceName, reason: &'static str) {
        let links: Vec<_> = self
            .live
            .iter()
            .filter(|entry| entry.key().0 == *hub)
            .map(|entry| Arc::clone(&entry.link))
            .collect();
        for link in links {
            link.deliver(DeviceCommand::Close { reason });
        }
    }
}

impl Connection {
    /// Whether a newer connection of the device has taken the place.
    #[must_use]
    pub fn superseded(&self) -> bool {
        self.live.get(&self.key).is_none_or(|entry| entry.number != self.number)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.live.remove_if(&self.key, |_, entry| entry.number == self.number);
    }
}
