//! Keeping this node's memory true to what other nodes change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use pollux_bus::Listener;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::announce::{Announcement, Change, SUBJECT};
use crate::hub::Hub;
use crate::resources::Resources;
use crate::twins::Twins;

/// How often resources are read while announcements cannot be heard.
const UNHEARD: Duration = Duration::from_secs(2);

/// What keeps things in memory.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) resources: Arc<Resources>,
    pub(crate) twins: Arc<Twins>,
    pub(crate) hub: Arc<Hub>,
}

impl Follower {
    /// Follows announcements until shutdown. `heard`: listened on since before anything was read.
    pub(crate) async fn run(self, shared: Arc<Shared>, heard: Option<Listener>, shutdown: CancellationToken) {
        let mut heard = match heard {
            Some(heard) => heard,
            None => shared.listener(SUBJECT, &shutdown).await,
        };
        let mut returns = shared.returns();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                announced = heard.next() => match announced {
                    Some(announced) => self.take_in(&shared, &announced.payload, announced.reply).await,
                    None => heard = shared.listener(SUBJECT, &shutdown).await,
                },
                // What was announced meanwhile was not heard.
                changed = returns.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.twins.forget_models(None).await;
                    self.hub.forget_configurations(None);
                    self.refresh().await;
                }
                () = tokio::time::sleep(UNHEARD), if !shared.hears() => self.refresh().await,
            }
        }
    }

    async fn take_in(&self, shared: &Shared, announced: &Bytes, reply: Option<String>) {
        let announcement = match serde_json::from_slice::<Announcement>(announced) {
            Ok(announcement) if announcement.node == shared.node => return,
            Ok(announcement) => announcement,
            Err(error) => {
                tracing::warn!(%error, "a node announced what this one does not understand: everything is read anew");
                self.twins.forget_models(None).await;
                self.hub.forget_configurations(None);
                return self.refresh().await;
            }
        };
        match announcement.change {
            Change::Resources => self.refresh().await,
            Change::Models(instance) => self.twins.forget_models(Some(&instance)).await,
            Change::Configurations(hub) => self.hub.forget_configurations(Some(&hub)),
        }
        if let Some(reply) = reply
            && let Err(error) =
                shared.bus.publish(&reply, Bytes::copy_from_slice(shared.node.as_bytes())).await
        {
            tracing::debug!(%error, "a node waits in vain for the word that its change is known here");
        }
    }

    async fn refresh(&self) {
        if let Err(error) = self.resources.refresh().await {
            tracing::warn!(%error, "resources cannot be read: what other nodes changed is not known here");
        }
    }
}
