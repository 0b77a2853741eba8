//! Who left this node, until it is noted.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Connections, Key};

/// A device or module whose connection ended, and of which there is no newer one here.
#[derive(Debug)]
pub(in crate::hub) struct Departure {
    pub(in crate::hub) key: Key,
    /// Whether it had been let in.
    pub(in crate::hub) entered: bool,
}

/// Each device once, so that there are no more than devices that were connected.
#[derive(Debug, Default)]
pub(super) struct Departures {
    waiting: Mutex<BTreeMap<Key, bool>>,
    news: Notify,
}

impl Departures {
    pub(super) fn add(&self, Departure { key, entered }: Departure) {
        *self.waiting.lock().entry(key).or_default() |= entered;
        self.news.notify_one();
    }
}

impl Connections {
    /// Waits until somebody has left, and gives all who have.
    pub(in crate::hub) async fn departed(&self) -> Vec<Departure> {
        loop {
            let waiting = std::mem::take(&mut *self.departures.waiting.lock());
            if !waiting.is_empty() {
                return waiting.into_iter().map(|(key, entered)| Departure { key, entered }).collect();
            }
            self.departures.news.notified().await;
        }
    }

    /// Gives one back that could not be noted.
    pub(in crate::hub) fn departs(&self, departure: Departure) {
        self.departures.add(departure);
    }
}
