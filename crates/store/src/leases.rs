//! Leases: who of several nodes does a piece of work now, and what keeps the one before from doing it too.
//!
//! ```text
//!   node a: lease("relay/3") ─▶ epoch 7 ── commit([RequireLease(relay/3, 7), …]) ─▶ applied
//!   node a stops renewing; its time runs out
//!   node b: lease("relay/3") ─▶ epoch 8
//!   node a wakes:                          commit([RequireLease(relay/3, 7), …]) ─▶ LeaseLost, nothing is applied
//! ```
//!
//! Time decides only who may take a lease; whether a write counts is decided by the epoch. So clocks that go wrong cost
//! a change of hands at worst, never a write by two owners.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;

/// A lease somebody holds: what fences its writes (`Write::RequireLease`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// What is held, such as `relay/3`.
    pub name: String,
    /// Raised whenever the lease changes hands or is taken anew; never goes back.
    pub epoch: i64,
}

/// A lease in other eyes: who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHolder {
    /// What is held.
    pub name: String,
    /// Who holds it.
    pub owner: String,
    /// Since which epoch.
    pub epoch: i64,
}

/// Leases, keyed by name.
#[async_trait]
pub trait Leases {
    /// Takes or renews leases for `owner` until `ttl` from now, by the store's own clock. For each name, in order: the
    /// epoch if `owner` holds it now, else `None`: somebody else does.
    ///
    /// A lease that is free, released or run out is taken, which raises its epoch, whoever had it before. A renewal of
    /// one's own running lease keeps its epoch. Each name is decided atomically; all of them together need not be.
    async fn lease(
        &self,
        owner: &str,
        names: &[String],
        ttl: Duration,
    ) -> Result<Vec<Option<i64>>, StoreError>;

    /// Gives leases up, where `owner` has them: others may take them at once, and what `owner` fenced with them is
    /// refused from now on. Their epochs are kept.
    async fn release(&self, owner: &str, names: &[String]) -> Result<(), StoreError>;

    /// The running leases whose name begins with `prefix`, ordered by name.
    async fn leases(&self, prefix: &str) -> Result<Vec<LeaseHolder>, StoreError>;
}
