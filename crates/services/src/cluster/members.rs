//! Which nodes live: each holds the lease `node/<name>`. The loop that renews it renews all others too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::leases::{TICK, TTL};
use super::{Cluster, Shared};

const PREFIX: &str = "node/";
/// How soon to try again when the store is away.
const AGAIN: Duration = Duration::from_millis(500);
/// How long work may take to end at shutdown before its leases are given up all the same.
const LEAVE: Duration = Duration::from_millis(3500);

impl Cluster {
    /// Keeps this node's membership and leases until shutdown; then gives them up, once their work has ended.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        if let Some(shared) = self.shared {
            shared.run(shutdown).await;
        }
    }

    /// Whether a node lives, as far as is known here. This one does.
    pub(crate) fn is_live(&self, node: &str) -> bool {
        let Some(shared) = &self.shared else { return true };
        shared.node == node || shared.leases.members.borrow().contains(node)
    }

    /// How many nodes live, this one among them.
    pub(crate) fn live_nodes(&self) -> u64 {
        let members = self.shared.as_ref().map_or(1, |shared| shared.leases.members.borrow().len());
        members.max(1) as u64
    }

    /// The live nodes; changes as they come and go. Empty where there are no others.
    pub(crate) fn members(&self) -> watch::Receiver<Arc<BTreeSet<String>>> {
        match &self.shared {
            Some(shared) => shared.leases.members.subscribe(),
            None => watch::Sender::default().subscribe(),
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let (this, until) = (Arc::clone(&self), CancellationToken::new());
        let (listening, ended) = (until.clone(), until.clone());
        let listening = tokio::spawn(async move {
            tokio::join!(this.listen(&listening), this.answer_itself(&listening));
        });
        let mut held = BTreeSet::new();
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.leases.hurry.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.look(&mut held).await {
                Ok(true) => TICK,
                Ok(false) => AGAIN,
                Err(error) => {
                    tracing::warn!(%error, "leases cannot be renewed");
                    AGAIN
                }
            };
        }
        self.leave(held).await;
        ended.cancel();
        // Ends with its token; whether it broke off before is its own matter.
        let _ended = listening.await;
    }

    /// Renews what this node is and has; false where it could not hear itself.
    async fn look(&self, held: &mut BTreeSet<String>) -> Result<bool, pollux_store::StoreError> {
        let (heard, goes_on) = self.ask_itself().await;
        if !goes_on {
            self.withdraw(held).await?;
            return Ok(false);
        }
        let own = format!("{PREFIX}{}", self.node);
        self.store.lease(&self.node, std::slice::from_ref(&own), TTL).await?;
        let holders = self.store.leases(PREFIX).await?;
        let mut members: BTreeSet<String> =
            holders.iter().filter_map(|one| one.name.strip_prefix(PREFIX)).map(str::to_owned).collect();
        members.insert(self.node.clone());
        let before = Arc::clone(&*self.leases.members.borrow());
        if *before != members {
            tracing::info!(nodes = ?members, "the nodes of the deployment");
            let joined = !before.contains(&self.node);
            self.leases.members.send_replace(Arc::new(members.clone()));
            if joined {
                self.hint("leases").await;
            }
        }
        *held = self.tick(&members, held).await?;
        Ok(heard)
    }

    /// Ends all work, then gives its lease up, and is no member any more.
    async fn withdraw(&self, held: &mut BTreeSet<String>) -> Result<(), pollux_store::StoreError> {
        let nobody = BTreeSet::new();
        if !self.leases.members.borrow().is_empty() {
            self.store.release(&self.node, &[format!("{PREFIX}{}", self.node)]).await?;
            self.leases.members.send_replace(Arc::default());
        }
        *held = self.tick(&nobody, held).await?;
        Ok(())
    }

    /// Waits for the work to end, then gives everything up, so that others need not wait for the time to pass.
    async fn leave(&self, held: BTreeSet<String>) {
        let until = Instant::now() + LEAVE;
        while self.leases.any_busy() && Instant::now() < until {
            tokio::select! {
                () = self.leases.hurry.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        let names: Vec<String> = held.into_iter().chain([format!("{PREFIX}{}", self.node)]).collect();
        if let Err(error) = self.store.release(&self.node, &names).await {
            tracing::warn!(%error, "leases could not be handed over: others take them in {} s", TTL.as_secs());
        }
        self.hint("leases").await;
    }

    /// Looks again when another node says that leases are to be had.
    async fn listen(&self, shutdown: &CancellationToken) {
        let mut heard = self.listener("leases", shutdown).await;
        loop {
            let heard = tokio::select! {
                () = shutdown.cancelled() => return,
                heard = heard.next() => heard,
            };
            match heard {
                Some(heard) if heard.payload == self.node => {}
                Some(_) => self.leases.hurry.notify_one(),
                None => return,
            }
        }
    }

    /// Listens, however long it takes until the bus is there.
    pub(crate) async fn listener(&self, subject: &str, shutdown: &CancellationToken) -> pollux_bus::Listener {
        loop {
            match self.bus.subscribe(subject).await {
                Ok(listener) => return listener,
                Err(error) => tracing::warn!(%error, subject, "cannot listen to other nodes"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return futures_util::stream::empty().boxed(),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Hears hints, until shutdown.
    pub(crate) async fn hear_hints(
        &self,
        subject: &str,
        shutdown: &CancellationToken,
        heard: impl Fn() + Send,
    ) {
        while !shutdown.is_cancelled() {
            let mut hints = self.listener(subject, shutdown).await;
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    hint = hints.next() => if hint.is_none() { break },
                }
                heard();
            }
        }
    }

    /// Says something that is only a hint: whoever misses it finds out by himself a little later.
    pub(crate) async fn hint(&self, subject: &str) {
        let said = self.bus.publish(subject, Bytes::copy_from_slice(self.node.as_bytes())).await;
        if let Err(error) = said {
            tracing::debug!(%error, subject, "a hint is lost");
        }
    }
}
