//! The idempotency keys of a partition's newest keyed records.

use std::collections::{HashMap, VecDeque};

use crate::log::{IdempotencyKey, Position};

/// Remembers the last `capacity` keys that were stored.
#[derive(Debug)]
pub(crate) struct KeyWindow {
    positions: HashMap<IdempotencyKey, Position>,
    order: VecDeque<IdempotencyKey>,
    capacity: usize,
}

impl KeyWindow {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { positions: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// Where the record with this key stands (or will stand, once the batch in hand is durable).
    pub(crate) fn get(&self, key: IdempotencyKey) -> Option<Position> {
        self.positions.get(&key).copied()
    }

    /// A record of the batch in hand; to be settled or forgotten with it.
    pub(crate) fn stage(&mut self, key: IdempotencyKey, position: Position) {
        self.positions.insert(key, position);
    }

    /// The batch is durable: its keys count, the oldest give way.
    pub(crate) fn settle(&mut self, keys: impl IntoIterator<Item = IdempotencyKey>) {
        self.order.extend(keys);
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.positions.remove(&oldest);
            }
        }
    }

    /// The batch failed: its records do not exist.
    pub(crate) fn forget(&mut self, keys: impl IntoIterator<Item = IdempotencyKey>) {
        for key in keys {
            self.positions.remove(&key);
        }
    }
}
