//! Work that no two nodes may do at the same time, and that is over soon: the first start, changes of resources.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pollux_bus::BusError;
use pollux_model::{Error, ErrorCode, Result};
use pollux_store::StoreError;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Cluster, Shared, away};

/// How long the lock of a node that died holds others up.
const TTL: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How often it is asked for.
const ASK: Duration = Duration::from_millis(50);
/// How long it is asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the times that this node has asked for a lock.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The lock, until [`release`](Self::release) or drop.
#[derive(Debug)]
pub(crate) struct Alone {
    held: Option<Lock>,
}

#[derive(Debug)]
struct Lock {
    shared: Arc<Shared>,
    owner: String,
    name: String,
    renewing: JoinHandle<()>,
}

impl Cluster {
    /// Waits until no other holds the lock of that name. Within one node, `purpose` tells holders apart.
    pub(crate) async fn alone(&self, name: &str, purpose: &str) -> Result<Alone> {
        let Some(shared) = &self.shared else { return Ok(Alone { held: None }) };
        // What others cannot be told of must not change.
        if !shared.hears() {
            return Err(away(BusError::Unavailable("this node does not hear the others".to_owned())));
        }
        // Each time another: what is given up late must not be the lock of who has it by then, on this node as well.
        let owner = format!("{}/{purpose}/{}", shared.node, TAKEN.fetch_add(1, Ordering::Relaxed));
        let names = [format!("lock/{name}")];
        let until = Instant::now() + PATIENCE;
        while shared.store.lease(&owner, &names, TTL).await?.first() == Some(&None) {
            if Instant::now() > until {
                return Err(Error::new(
                    ErrorCode::Unavailable,
                    format!("another node holds the lock '{name}'; try again"),
                ));
            }
            tokio::time::sleep(ASK).await;
        }
        let [name] = names;
        let renewing = tokio::spawn(renew(Arc::clone(shared), owner.clone(), name.clone()));
        Ok(Alone { held: Some(Lock { shared: Arc::clone(shared), owner, name, renewing }) })
    }
}

impl Alone {
    /// Gives the lock up; done when this returns.
    pub(crate) async fn release(mut self) {
        if let Some(lock) = self.held.take() {
            lock.release().await;
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(lock) = self.held.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(lock.release());
        }
    }
}

impl Lock {
    async fn release(self) {
        self.renewing.abort();
        let released = self.shared.store.release(&self.owner, std::slice::from_ref(&self.name)).await;
        if let Err(error) = released {
            tracing::warn!(%error, lock = %self.name, "a lock could not be given up: it ends in {} s", TTL.as_secs());
        }
    }
}

async fn renew(shared: Arc<Shared>, owner: String, name: String) {
    let names = [name];
    loop {
        tokio::time::sleep(RENEW).await;
        let renewed: Result<_, StoreError> = shared.store.lease(&owner, &names, TTL).await;
        if let Err(error) = renewed {
            tracing::warn!(%error, lock = %names[0], "a lock cannot be renewed");
        }
    }
}
