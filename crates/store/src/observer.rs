//! Who is told of every commit.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::batch::Write;

/// Told of every commit of a store, whoever made it; see [`Store::observe`](crate::Store::observe).
pub trait Observer: Debug + Send + Sync {
    /// These writes are committed: those of one or more batches, in the order they were applied. The commits of a store
    /// come one after the other, in their order.
    ///
    /// Whoever made them has not been answered yet, so what is done here before it returns is there when they are. MUST
    /// be quick: all commits wait for it.
    fn committed(&self, writes: &mut dyn Iterator<Item = &Write>);
}

/// Those who asked to be told, while they live.
#[derive(Debug, Default)]
pub(crate) struct Observers(RwLock<Vec<Weak<dyn Observer>>>);

impl Observers {
    pub(crate) fn add(&self, observer: Weak<dyn Observer>) {
        let mut observers = self.0.write();
        observers.retain(|known| known.strong_count() > 0);
        observers.push(observer);
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn Observer>> {
        self.0.read().iter().filter_map(Weak::upgrade).collect()
    }
}
