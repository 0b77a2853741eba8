//! The nodes of a deployment: which there are, who of them does what, and what they tell each other.
//!
//! ```text
//!   solo    one process with everything: it holds every lease, and there is nobody to tell
//!   shared  a node among others: leases and members in the store (leases.rs), messages over the bus
//! ```
//!
//! What a node holds in memory is a cache or a live connection. Caches are kept true by announcing a change to all
//! others before it is acknowledged ([`Cluster::announce`]); live connections are reached by `hub/elsewhere.rs`.

mod alone;
mod announce;
mod follow;
mod hearing;
mod leases;
mod members;

use std::sync::Arc;

use pollux_bus::{Bus, BusError};
use pollux_model::{Error, ErrorCode};
use pollux_store::Write;
use pollux_store::leases::Lease;
use pollux_store::store::DynStore;

pub(crate) use alone::Alone;
pub(crate) use announce::{Change, SUBJECT as CHANGED};
pub(crate) use follow::Follower;
pub(crate) use leases::Holding;

use hearing::Hearing;
use leases::Leases;

/// This node's view of its deployment.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    shared: Option<Arc<Shared>>,
}

/// What a node among others has.
#[derive(Debug)]
pub(crate) struct Shared {
    /// This process, for good: a node that starts again is another.
    pub(crate) node: String,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: DynStore,
    leases: Leases,
    hearing: Hearing,
}

/// Holds a batch to a lease: it is refused once another node has the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    owner: String,
    lease: Lease,
}

impl Fence {
    /// The write that does so.
    pub(crate) fn write(&self) -> Write {
        Write::RequireLease { owner: self.owner.clone(), lease: self.lease.clone() }
    }

    /// Raised whenever the lease changes hands: no two who had it have the same.
    pub(crate) const fn epoch(&self) -> i64 {
        self.lease.epoch
    }

    /// One of a lease that nobody has.
    #[cfg(test)]
    pub(crate) fn of_epoch(epoch: i64) -> Self {
        Self { owner: "test".to_owned(), lease: Lease { name: "test".to_owned(), epoch } }
    }
}

impl Cluster {
    /// The only process of its deployment.
    #[must_use]
    pub fn solo() -> Self {
        Self::default()
    }

    /// A node among others. `node` must be unique to this process.
    #[must_use]
    pub fn shared(node: String, bus: Arc<dyn Bus>, store: DynStore) -> Self {
        Self {
            shared: Some(Arc::new(Shared {
                node,
                bus,
                store,
                leases: Leases::default(),
                hearing: Hearing::default(),
            })),
        }
    }

    /// This process's name among the nodes; `None` where there are no others.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.shared.as_ref().map(|shared| shared.node.as_str())
    }

    /// The bus and the names on it, where there are other nodes.
    pub(crate) fn others(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// Whether what other nodes announce is heard now. While it is not, caches may be behind.
    #[must_use]
    pub(crate) fn hears(&self) -> bool {
        self.healthy().is_ok()
    }

    /// Whether this node and others hear each other, and why not. A connection that stands need not carry anything.
    pub fn healthy(&self) -> Result<(), BusError> {
        self.shared.as_ref().map_or(Ok(()), |shared| shared.healthy())
    }
}

/// What callers are told when nodes cannot speak to each other.
pub(crate) fn away(error: BusError) -> Error {
    tracing::warn!(%error, "the nodes cannot speak to each other");
    Error::new(
        ErrorCode::Unavailable,
        "the nodes of this deployment cannot reach each other for now; try again",
    )
}

#[cfg(test)]
mod tests;
