//! Changes of desired properties reach a device in the order of their versions, whichever nodes they come from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{DeviceCommand, Live};

/// Changes that may wait for an earlier one.
const ROOM: usize = 64;
/// How long an earlier one is waited for. The node that made it may have died before it told.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What a connection was told of, and what waits for something earlier.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The version the device knows; `None` until its state was read.
    known: Option<u64>,
    waiting: BTreeMap<u64, Value>,
    /// Somebody looks whether what is missing comes.
    watched: bool,
}

impl Order {
    /// What can be told now: each change that follows the one before.
    fn next(&mut self) -> Option<(u64, Value)> {
        let known = self.known?;
        while let Some(entry) = self.waiting.first_entry() {
            match entry.key().checked_sub(known) {
                None | Some(0) => drop(entry.remove()),
                Some(1) => {
                    self.known = Some(known + 1);
                    return Some(entry.remove_entry());
                }
                Some(_) => return None,
            }
        }
        None
    }
}

impl Live {
    /// The version the device knows.
    pub(super) fn known(&self) -> Option<u64> {
        self.order.lock().known
    }

    /// Takes a change; tells it and what waited for it, or lets it wait.
    pub(super) fn desired(self: &Arc<Self>, version: u64, patch: Value) {
        let full = {
            let mut order = self.order.lock();
            order.waiting.insert(version, patch);
            self.tell(&mut order);
            order.waiting.len() > ROOM
        };
        if full {
            self.close("too many changes wait for one that is missing");
        }
    }

    /// Sets what the device knows at the beginning.
    pub(super) fn knows(self: &Arc<Self>, version: u64) {
        let mut order = self.order.lock();
        order.known = Some(version);
        self.tell(&mut order);
    }

    /// With the lock held, so that the link gets them in order.
    fn tell(self: &Arc<Self>, order: &mut Order) {
        while let Some((version, patch)) = order.next() {
            self.link.deliver(DeviceCommand::Desired { patch, version });
        }
        if order.known.is_some() && !order.waiting.is_empty() && !order.watched {
            order.watched = true;
            tokio::spawn(Arc::clone(self).wait_for_missing());
        }
    }

    /// Ends the connection if a change that is missing does not come: the device reads its twin when it is back.
    async fn wait_for_missing(self: Arc<Self>) {
        loop {
            let before = self.known();
            tokio::time::sleep(PATIENCE).await;
            let mut order = self.order.lock();
            if order.waiting.is_empty() {
                order.watched = false;
                return;
            }
            if order.known == before {
                drop(order);
                return self.close("it missed a change of its desired properties");
            }
        }
    }
}
