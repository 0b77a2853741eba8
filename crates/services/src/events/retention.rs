//! Retention: events older than their event hub keeps them are let go, now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Events;
use crate::cluster::Holding;

/// How often the log is trimmed.
const PERIOD: Duration = Duration::from_secs(60);

impl Events {
    /// Trims the log every minute until shutdown; one node does it for all.
    pub async fn run_retention(self: Arc<Self>, shutdown: CancellationToken) {
        let work = |holding: Holding| Arc::clone(&self).trim_until(holding.stop);
        self.context.cluster.while_held("retention", &shutdown, work).await;
    }

    async fn trim_until(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            match self.context.log.trim(self.context.clock.now()).await {
                Ok(trimmed) => {
                    tracing::debug!(records = trimmed.records, bytes = trimmed.bytes, "trimmed the event log")
                }
                Err(error) => tracing::warn!(%error, "the event log cannot be trimmed"),
            }
        }
    }
}
