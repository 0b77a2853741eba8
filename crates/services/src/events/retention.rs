//! Retention: events older than their event hub keeps them are let go, now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Events;

/// How often the log is trimmed.
const PERIOD: Duration = Duration::from_secs(60);

impl Events {
    /// Trims the log every minute until shutdown.
    pub async fn run_retention(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
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
