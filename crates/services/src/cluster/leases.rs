//! Who does what: work that one node at a time may do is bound to a lease in the store.
//!
//! ```text
//!   while_held("relay/3", work)      every node wants it; the one that the live nodes' names and the lease's name
//!        │                           decide on (rendezvous hashing) takes it
//!        ├─ held ─▶ work runs, its token is cancelled when the lease goes or has not been renewed in time
//!        └─ gone ─▶ work is awaited, then dropped; only after that is the lease released
//! ```
//!
//! Time makes a lease move; it does not make it safe: a node that was stopped for a while may still believe. What it
//! writes is held to the lease's epoch ([`Fence`](super::Fence)), and the log takes a record of its once.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_store::leases::Lease;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Fence, Shared};

/// How long a lease holds without being renewed.
pub(super) const TTL: Duration = Duration::from_secs(6);
/// How often leases are renewed and looked for.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// How much earlier than the store a node takes its lease for lost.
const MARGIN: Duration = Duration::from_secs(1);
/// How long work may take to end when its lease goes.
const STOP: Duration = Duration::from_secs(3);

/// The leases this node wants, and those it has.
#[derive(Debug, Default)]
pub(super) struct Leases {
    wanted: Mutex<BTreeMap<String, Entry>>,
    /// The live nodes, this one included.
    pub(super) members: watch::Sender<Arc<BTreeSet<String>>>,
    /// Asks for a look at the leases now.
    pub(super) hurry: Notify,
}

/// A lease that is wanted.
#[derive(Debug)]
struct Entry {
    held: watch::Sender<Option<Held>>,
    /// Its work has not ended: the lease must not be given up.
    busy: bool,
}

/// A lease that is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: i64,
    /// By our own clock, counted from before the store was asked.
    until: Instant,
}

/// The right to do a piece of work, as its work sees it.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    /// Holds what the work writes to the lease; `None` where there are no other nodes.
    pub(crate) fence: Option<Fence>,
    /// Cancelled when the work must end.
    pub(crate) stop: CancellationToken,
}

impl Cluster {
    /// Runs `work` whenever this node holds the lease, until shutdown. Work that ends by itself is begun anew only when
    /// the lease is had anew.
    pub(crate) async fn while_held<W, F>(&self, name: &str, shutdown: &CancellationToken, work: W)
    where
        W: Fn(Holding) -> F + Send,
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(shared) = &self.shared else {
            return work(Holding { fence: None, stop: shutdown.clone() }).await;
        };
        let mut held = shared.leases.want(name);
        while !shutdown.is_cancelled() {
            let Some(Held { epoch, .. }) = *held.borrow_and_update() else {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    changed = held.changed() => if changed.is_err() { break } else { continue },
                }
            };
            if !shared.leases.busy(name, epoch) {
                continue;
            }
            let lease = Lease { name: name.to_owned(), epoch };
            let fence = Some(Fence { owner: shared.node.clone(), lease });
            let stop = shutdown.child_token();
            let mut running = tokio::spawn(work(Holding { fence, stop: stop.clone() }));
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = gone(&mut held, epoch) => tracing::info!(lease = name, "this node does it no longer"),
                // Done for good, or ended because of the shutdown.
                _ = &mut running => tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = gone(&mut held, epoch) => {}
                },
            }
            stop.cancel();
            if !running.is_finished() && tokio::time::timeout(STOP, &mut running).await.is_err() {
                running.abort();
            }
            shared.leases.idle(name);
        }
        shared.leases.unwant(name);
    }
}

impl Cluster {
    /// Whether this node does the work of a lease now.
    pub(crate) fn does(&self, name: &str) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.leases.is_busy(name))
    }
}

/// Resolves when the lease of that epoch is not had any more.
async fn gone(held: &mut watch::Receiver<Option<Held>>, epoch: i64) {
    loop {
        let until = match *held.borrow_and_update() {
            Some(held) if held.epoch == epoch => held.until,
            _ => return,
        };
        tokio::select! {
            () = tokio::time::sleep_until(until) => return,
            changed = held.changed() => if changed.is_err() { return },
        }
    }
}

impl Leases {
    fn want(&self, name: &str) -> watch::Receiver<Option<Held>> {
        let mut wanted = self.wanted.lock();
        let entry = wanted
            .entry(name.to_owned())
            .or_insert_with(|| Entry { held: watch::Sender::new(None), busy: false });
        let held = entry.held.subscribe();
        drop(wanted);
        self.hurry.notify_one();
        held
    }

    /// Marks the beginning of work under this epoch; false where the lease is gone already.
    fn busy(&self, name: &str, epoch: i64) -> bool {
        let mut wanted = self.wanted.lock();
        let Some(entry) = wanted.get_mut(name) else { return false };
        let now = Instant::now();
        let valid = entry.held.borrow().is_some_and(|held| held.epoch == epoch && held.until > now);
        if !valid {
            entry.held.send_if_modified(|held| held.take_if(|held| held.epoch == epoch).is_some());
        }
        entry.busy = valid;
        valid
    }

    fn is_busy(&self, name: &str) -> bool {
        self.wanted.lock().get(name).is_some_and(|entry| entry.busy)
    }

    fn idle(&self, name: &str) {
        if let Some(entry) = self.wanted.lock().get_mut(name) {
            entry.busy = false;
        }
        self.hurry.notify_one();
    }

    fn unwant(&self, name: &str) {
        self.wanted.lock().remove(name);
        self.hurry.notify_one();
    }

    pub(super) fn any_busy(&self) -> bool {
        self.wanted.lock().values().any(|entry| entry.busy)
    }

    /// What is to be renewed or taken, given the live nodes; the rest is taken for gone.
    fn targets(&self, node: &str, members: &BTreeSet<String>) -> Vec<String> {
        let wanted = self.wanted.lock();
        let mut targets = Vec::new();
        for (name, entry) in wanted.iter() {
            let ours = winner(name, members) == Some(node);
            if !ours {
                entry.held.send_if_modified(|held| held.take().is_some());
            }
            if ours || entry.busy {
                targets.push(name.clone());
            }
        }
        targets
    }

    /// Takes note of what the store said.
    fn note(
        &self,
        node: &str,
        members: &BTreeSet<String>,
        names: &[String],
        epochs: &[Option<i64>],
        until: Instant,
    ) {
        let wanted = self.wanted.lock();
        for (name, epoch) in names.iter().zip(epochs) {
            let Some(entry) = wanted.get(name) else { continue };
            // One that is only kept until its work has ended is not had any more.
            let ours = winner(name, members) == Some(node);
            let next = epoch.filter(|_| ours).map(|epoch| Held { epoch, until });
            let renewed = matches!((*entry.held.borrow(), next), (Some(a), Some(b)) if a.epoch == b.epoch);
            if next.is_some() && !renewed {
                tracing::info!(lease = %name, "this node does it from now on");
            }
            entry.held.send_replace(next);
        }
    }
}

impl Shared {
    /// Renews, takes and gives up leases once. The names that are held in the store when this returns.
    pub(super) async fn tick(
        &self,
        members: &BTreeSet<String>,
        known: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, pollux_store::StoreError> {
        let names = self.leases.targets(&self.node, members);
        let until = Instant::now() + (TTL - MARGIN);
        let epochs = self.store.lease(&self.node, &names, TTL).await?;
        self.leases.note(&self.node, members, &names, &epochs, until);
        let held: BTreeSet<String> = names
            .into_iter()
            .zip(&epochs)
            .filter(|(_, epoch)| epoch.is_some())
            .map(|(name, _)| name)
            .collect();
        let over: Vec<String> = known.difference(&held).cloned().collect();
        if !over.is_empty() {
            self.store.release(&self.node, &over).await?;
            self.hint("leases").await;
        }
        Ok(held)
    }
}

/// The live node that is to have a lease: the one whose hash with its name is greatest, so that a node that comes or
/// goes moves only its own share.
fn winner<'m>(lease: &str, members: &'m BTreeSet<String>) -> Option<&'m str> {
    members.iter().max_by_key(|node| (mixed(lease, node), *node)).map(String::as_str)
}

/// FNV-1a and a finalizer: the same in every build, for nodes of two versions must agree.
fn mixed(lease: &str, node: &str) -> u64 {
    let bytes = lease.bytes().chain([0]).chain(node.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
