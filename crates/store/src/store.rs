//! The whole store: every noun, the atomic commit, the outbox.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use pollux_model::event::OutboxEntry;

use crate::activity::Activities;
use crate::batch::Batch;
use crate::bulk::Bulk;
use crate::configurations::Configurations;
use crate::devices::Devices;
use crate::enrollments::Enrollments;
use crate::error::{CommitError, StoreError};
use crate::functions::Functions;
use crate::history::History;
use crate::jobs::Jobs;
use crate::leases::Leases;
use crate::messages::Messages;
use crate::modules::Modules;
use crate::observer::Observer;
use crate::portable::Portable;
use crate::property_indexes::PropertyIndexes;
use crate::registrations::Registrations;
use crate::resources::Resources;
use crate::scheduled_jobs::ScheduledJobs;
use crate::secrets::Secrets;
use crate::twins::Twins;

/// All state of a deployment.
///
/// ```text
///   services ──read──▶ small traits, one per noun        (a committed snapshot, never a torn one)
///      │
///      └────commit(Batch)──▶ one transaction: check every expectation, apply every write, add the outbox rows
///                                │
///                             durable ──▶ Ok            a relay reads `outbox`, appends to the event log, `outbox_done`
/// ```
///
/// * **Atomic**: a batch is applied whole or not at all.
/// * **Acknowledged means durable**: when `commit` returns `Ok`, the batch survives a crash of process and machine.
/// * **Read your writes**: a read that starts after `commit` returned MUST see it.
/// * **Order**: outbox entries of one batch keep their order; entries of a batch committed before another started come
///   before that other's. Both in each shard of the outbox: an entry's shard is decided by its partition key
///   ([`shard_of`](crate::outbox::shard_of)), so what shares a key keeps its order.
/// * Keys begin with the instance (a resource's name), then the device's or twin's id, so that a distributed backend
///   can place rows by them.
///
/// Backends MUST bound memory: lists are paged and `limit` is obeyed.
#[async_trait]
pub trait Store:
    Resources
    + Devices
    + Modules
    + Configurations
    + Enrollments
    + Registrations
    + Twins
    + PropertyIndexes
    + History
    + Bulk
    + Jobs
    + ScheduledJobs
    + Messages
    + Activities
    + Functions
    + Secrets
    + Leases
    + Portable
    + Send
    + Sync
    + Debug
{
    /// Applies the batch atomically and durably. The first expectation that does not hold is reported and nothing is
    /// changed. Dropping the future does not take the batch back.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// Tells the observer of every commit from now on, while it lives, each before it is acknowledged. `false`: it is told
    /// of nothing, because others may commit to the same state without this store knowing.
    fn observe(&self, _observer: Weak<dyn Observer>) -> bool {
        false
    }

    /// In how many shards the outbox is kept; one relay can carry each. Constant, at least 1.
    fn outbox_shards(&self) -> u32;

    /// The oldest outbox entries of a shard (`0..outbox_shards()`), at most `limit`, with their row numbers (ascending,
    /// unique in all shards).
    async fn outbox(&self, shard: u32, limit: usize) -> Result<Vec<(i64, OutboxEntry)>, StoreError>;

    /// Forgets these outbox entries. Idempotent; need not be durable at once (a repeated append is deduplicated by key).
    async fn outbox_done(&self, rows: &[i64]) -> Result<(), StoreError>;

    /// Resolves when entries may have been added to this shard of the outbox since the last call (the first call: since
    /// ever). May wake without cause. For one waiter per shard, its relay.
    async fn outbox_changed(&self, shard: u32);

    /// Whether the store can commit now. After a failure this tries; it costs next to nothing otherwise.
    async fn healthy(&self) -> Result<(), StoreError>;
}

/// Shared, whichever backend it is.
pub type DynStore = Arc<dyn Store>;

/// Part of a list, in the order of its keys' UTF-8 bytes: as many items as were asked for (a `limit` of 0 is read as 1),
/// fewer only on the last page. Rows that come or go between two pages upset none of the others.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `after` to go on; `None` when this was the last page. Opaque: it is the last item's key in a form that
    /// only the store reads, so it must come back unchanged.
    pub next: Option<String>,
}
