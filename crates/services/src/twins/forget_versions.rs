//! Versions that are older than their instance keeps them are let go, now and then.

use std::sync::Arc;
use std::time::Duration;

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Result, Timestamp};
use pollux_store::{Batch, Write};
use tokio_util::sync::CancellationToken;

use super::{Twins, refusal};
use crate::cluster::Holding;

/// How often that is looked at.
const PERIOD: Duration = Duration::from_secs(60);
/// How many go at once: others want to write too.
const TOGETHER: u32 = 1000;

impl Twins {
    /// Forgets every minute until shutdown; one node does it for all.
    pub async fn run_forgetting(self: Arc<Self>, shutdown: CancellationToken) {
        let work = |holding: Holding| Arc::clone(&self).forget_until(holding.stop);
        self.context.cluster.while_held("twin-history", &shutdown, work).await;
    }

    async fn forget_until(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let instances = self.context.table.all();
            for instance in instances.iter().filter(|one| one.kind() == ResourceKind::Twins) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    forgotten = self.forget_versions(instance) => if let Err(error) = forgotten {
                        tracing::warn!(%error, twins = %instance.name, "old versions of twins cannot be forgotten");
                    }
                }
            }
        }
    }

    /// Forgets the versions that ended before the instance's history begins; all of them where it keeps none.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::Unavailable`].
    pub async fn forget_versions(&self, instance: &Resource) -> Result<()> {
        let begins = instance.twin_history().map(|history| history.begins(self.context.clock.now()));
        let before = begins.unwrap_or(Timestamp::from_micros(i64::MAX));
        while self.context.store.ended_before(&instance.name, before).await.map_err(refusal::store)? {
            let twins = instance.name.clone();
            let forget = Write::ForgetVersions { twins, before, most: TOGETHER };
            self.context.store.commit(Batch::from(forget)).await.map_err(refusal::commit)?;
        }
        Ok(())
    }
}
