//! Messages whose time is over are dead-lettered; feedback whose time is over is forgotten; of a connection whose time is over it
//! is told that it is gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_model::message::{MessageEnd, MessageQueue, QueuedMessage};
use pollux_model::resource::ResourceKind;
use pollux_model::{ResourceName, Result};
use pollux_store::{Batch, Expect, Write};
use tokio_util::sync::CancellationToken;

use super::settle::has_feedback;
use super::{Hub, moved};
use crate::cluster::Holding;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(1);
/// Messages read at once.
const CHUNK: usize = 64;

impl Hub {
    /// Looks every second until shutdown; one node does it for all.
    pub(crate) async fn run_expiry(self: Arc<Self>, shutdown: CancellationToken) {
        let work = |holding: Holding| Arc::clone(&self).expire_until(holding.stop);
        self.context.cluster.while_held("expiry", &shutdown, work).await;
    }

    async fn expire_until(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            if let Err(error) = self.expire_messages().await {
                tracing::warn!(%error, "what has expired cannot be cleared away");
            }
        }
    }

    /// Dead-letters what has expired until now, of all hubs.
    pub(crate) async fn expire_messages(&self) -> Result<()> {
        let mut told = false;
        loop {
            let now = self.context.clock.now();
            let expired = self.context.store.expired_messages(now, CHUNK).await?;
            let (count, mut gone) = (expired.len(), 0);
            let (notices, expired): (Vec<_>, Vec<_>) = expired
                .into_iter()
                .partition(|(_, message)| matches!(message.queue, MessageQueue::Connection(_)));
            for told in
                join_all(notices.into_iter().map(|(hub, notice)| self.connection_ran_out(hub, notice))).await
            {
                gone += usize::from(told?);
            }
            for (hub, message) in expired {
                let batch = self.expiry(&hub, &message);
                let feedback = has_feedback(&batch);
                // Where it is not as it was, somebody else sees to it.
                if !moved(self.context.store.commit(batch).await)? {
                    gone += 1;
                    told |= feedback;
                }
            }
            if count < CHUNK || gone == 0 {
                break;
            }
        }
        if told {
            self.feedback_arrived().await;
        }
        Ok(())
    }

    fn expiry(&self, hub: &ResourceName, message: &QueuedMessage) -> Batch {
        let mut batch = Batch::new();
        match self.context.table.named(ResourceKind::Hub, hub) {
            Some(hub) if message.queue != MessageQueue::Feedback => {
                self.end_message(&hub, message, MessageEnd::Expired, &mut batch);
            }
            _ => batch.writes.push(Write::DeleteMessage {
                hub: hub.clone(),
                queue: message.queue.clone(),
                sequence: message.sequence,
                expect: Expect::Etag(message.etag.clone()),
            }),
        }
        batch
    }
}
