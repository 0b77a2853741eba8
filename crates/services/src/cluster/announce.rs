//! Changes of what nodes keep in memory: told to all, and acknowledged by all, before the change itself is.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use pollux_model::ResourceName;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Cluster, Shared};

/// On which changes are told.
pub(crate) const SUBJECT: &str = "changed";
/// How long to wait for nodes to say that they know. One that does not is away from the bus: it takes nothing from its
/// memory until it is back, and looks then.
const PATIENCE: Duration = Duration::from_secs(2);

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    /// The resources.
    Resources,
    /// The models of a digital twins instance.
    Models(ResourceName),
    /// The configurations of a hub.
    Configurations(ResourceName),
}

/// An announcement.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    /// Who says so.
    pub(crate) node: String,
    /// What.
    pub(crate) change: Change,
}

impl Cluster {
    /// Tells all other nodes and waits until they have taken it in.
    pub(crate) async fn announce(&self, change: Change) {
        let Some(shared) = self.others() else { return };
        let announcement = Announcement { node: shared.node.clone(), change };
        let Ok(text) = serde_json::to_vec(&announcement) else { return };
        if !shared.ask_all_members(SUBJECT, text.into()).await {
            tracing::warn!("not all nodes say that they know of a change");
        }
    }
}

impl Shared {
    /// Says something to all other nodes and waits until each has answered with its name; false where one did not.
    pub(crate) async fn ask_all_members(&self, subject: &str, text: Bytes) -> bool {
        let name = |answer: &Bytes| std::str::from_utf8(answer).ok().map(str::to_owned);
        self.gather_from_members(subject, text, name).await
    }

    /// Asks all other nodes and waits until each has answered; false where one did not. `take` is given each answer and
    /// says whose it is.
    pub(crate) async fn gather_from_members(
        &self,
        subject: &str,
        text: Bytes,
        mut take: impl FnMut(&Bytes) -> Option<String> + Send,
    ) -> bool {
        if !self.hears() {
            return false;
        }
        let mut missing: BTreeSet<String> = BTreeSet::clone(&self.leases.members.borrow());
        missing.remove(&self.node);
        let told = if missing.is_empty() {
            // Nobody is known: one that has just come listens before it reads.
            self.bus.publish(subject, text).await
        } else {
            let mut enough = |answer: &Bytes| {
                if let Some(node) = take(answer) {
                    missing.remove(&node);
                }
                missing.is_empty()
            };
            self.bus.gather(subject, text, &mut enough, PATIENCE).await
        };
        if let Err(error) = &told {
            tracing::warn!(%error, subject, "other nodes cannot be spoken to");
        } else if !missing.is_empty() {
            tracing::warn!(?missing, subject, "nodes did not answer in time");
        }
        told.is_ok() && missing.is_empty()
    }

    /// Answers what is asked on a subject, until the shutdown; `None`: no answer.
    pub(crate) async fn answer(
        &self,
        subject: &str,
        shutdown: &CancellationToken,
        mut answer: impl FnMut(&Bytes) -> Option<Bytes> + Send,
    ) {
        while !shutdown.is_cancelled() {
            let mut asked = self.listener(subject, shutdown).await;
            loop {
                let heard = tokio::select! {
                    () = shutdown.cancelled() => return,
                    heard = asked.next() => heard,
                };
                let Some(heard) = heard else { break };
                let (Some(reply), Some(answer)) = (heard.reply, answer(&heard.payload)) else { continue };
                if let Err(error) = self.bus.publish(&reply, answer).await {
                    tracing::debug!(%error, subject, "an answer to another node is lost");
                }
            }
        }
    }
}
