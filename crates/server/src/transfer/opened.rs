//! A deployment that is opened to be moved: nobody else works on it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use pollux_services::Context;
use pollux_store::store::DynStore;
use pollux_store::{Batch, Lease, Write};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Progress;
use super::error::TransferError;
use crate::compose;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::names;

/// The lease that keeps two transfers of a shared state apart.
const LEASE: &str = "transfer";
/// How long a transfer that was killed holds others up.
const TTL: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);
const ASK: Duration = Duration::from_millis(200);
/// How long it is waited for the lease: longer than one that was killed has it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Store and log, and the data folder locked.
pub(super) struct Opened {
    pub(super) context: Arc<Context>,
    pub(super) data: DataDir,
    /// Whether the CA is in files of the data folder.
    pub(super) own_ca: bool,
    held: Option<Held>,
}

struct Held {
    owner: String,
    lease: Lease,
    renewing: JoinHandle<()>,
}

impl Opened {
    /// Opens the backends of a configuration, if nobody else uses them.
    pub(super) async fn open(config: &Config, progress: &dyn Progress) -> Result<Self, TransferError> {
        // Another part of the process may have done so: the provider is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let data = DataDir::open(&config.server.data_dir)?;
        let backends = compose::open(config, &data).await?;
        let context = backends.context(config, Vec::new()).await?;
        let shared = config.state.url.is_some();
        let held = if shared { Some(Held::take(config, &context, progress).await?) } else { None };
        let opened = Self { context, data, own_ca: !shared, held };
        if let Err(error) = opened.require_no_nodes().await {
            opened.close().await;
            return Err(error);
        }
        Ok(opened)
    }

    pub(super) fn store(&self) -> &DynStore {
        &self.context.store
    }

    /// Refuses where nodes run.
    pub(super) async fn require_no_nodes(&self) -> Result<(), TransferError> {
        let nodes = self.store().leases("node/").await?;
        if nodes.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = nodes.iter().map(|node| node.owner.as_str()).collect();
        let (verb, them) = if names.len() == 1 { ("runs", "it") } else { ("run", "them") };
        Err(TransferError::Refused(format!(
            "{} {verb} on this deployment: stop {them} (SIGTERM), then try again. A node that was killed is believed to \
             run for another 6 seconds",
            names.join(", ")
        )))
    }

    /// Commits, unless another transfer has taken over.
    pub(super) async fn commit(&self, mut writes: Vec<Write>) -> Result<(), TransferError> {
        if let Some(held) = &self.held {
            writes.push(Write::RequireLease { owner: held.owner.clone(), lease: held.lease.clone() });
        }
        Ok(self.store().commit(Batch { writes }).await?)
    }

    /// Lets others in.
    pub(super) async fn close(mut self) {
        if let Some(held) = self.held.take() {
            held.renewing.abort();
            let released = self.store().release(&held.owner, &[LEASE.to_owned()]).await;
            if let Err(error) = released {
                tracing::debug!(%error, "the lease runs out by itself");
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Held {
    async fn take(
        config: &Config,
        context: &Context,
        progress: &dyn Progress,
    ) -> Result<Self, TransferError> {
        let owner = format!("admin/{}", names::node(config, &*context.random));
        let (store, names) = (Arc::clone(&context.store), [LEASE.to_owned()]);
        let until = Instant::now() + PATIENCE;
        let mut said = false;
        let epoch = loop {
            if let Some(Some(epoch)) = store.lease(&owner, &names, TTL).await?.first() {
                break *epoch;
            }
            if Instant::now() > until {
                let holders = store.leases(LEASE).await?;
                let holder = holders.first().map_or("another process", |holder| holder.owner.as_str());
                return Err(TransferError::Refused(format!(
                    "{holder} exports or imports this deployment right now: wait for it"
                )));
            }
            if !said {
                progress.say("waiting for another export or import, or for its lease to run out");
                said = true;
            }
            tokio::time::sleep(ASK).await;
        };
        let renewing = tokio::spawn(renew(store, owner.clone()));
        Ok(Self { owner, lease: Lease { name: LEASE.to_owned(), epoch }, renewing })
    }
}

/// A lease that is lost shows at the next commit.
async fn renew(store: DynStore, owner: String) {
    loop {
        tokio::time::sleep(RENEW).await;
        if let Err(error) = store.lease(&owner, &[LEASE.to_owned()], TTL).await {
            tracing::warn!(%error, "the lease of this transfer cannot be renewed");
        }
    }
}
