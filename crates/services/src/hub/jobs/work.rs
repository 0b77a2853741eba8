//! Who works on which job, and when: of all nodes the one that has the hub's lease. It sleeps until the next job is due, or
//! until it hears that one was added or cancelled.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pollux_model::resource::ResourceKind;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_store::scheduled_jobs::DeviceJobFilter;
use pollux_store::{CommitError, Expect, Mismatch, Write};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::run::Run;
use crate::cluster::{Fence, Holding};
use crate::consume::{follow, held};
use crate::hub::Hub;
use crate::hub::throttle::sku;

/// How long is slept at most: where there are other nodes what they say may be lost.
const AMONG_OTHERS: Duration = Duration::from_secs(15);
/// The same where there are none.
const ALONE: Duration = Duration::from_secs(3600);
/// The pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(2);
/// Devices whose part in a job is forgotten in one commit.
const PIECE: u32 = 1000;
/// Commits that forget, before jobs whose time has come have their turn.
const PIECES: usize = 32;

/// Jobs at work, each in a task of its own.
#[derive(Default)]
struct Running {
    tasks: JoinSet<(String, std::result::Result<(), String>)>,
    ids: HashSet<String>,
}

impl Hub {
    /// Works on the jobs of all hubs, as far as this node has their leases, until shutdown.
    pub(crate) async fn run_jobs(self: Arc<Self>, shutdown: CancellationToken) {
        let hubs = || -> Vec<(ResourceName, Timestamp)> {
            let all = self.context.table.all();
            let hubs = all.iter().filter(|one| one.kind() == ResourceKind::Hub);
            // With the time it was made: a hub deleted and made again is another.
            hubs.map(|one| (one.name.clone(), one.created)).collect()
        };
        let this = Arc::clone(&self);
        let consume = move |(hub, _), stop| Arc::clone(&this).work_on_hub(hub, stop);
        follow(&self.context, "hub jobs", &shutdown, hubs, consume).await;
    }

    async fn work_on_hub(self: Arc<Self>, hub: ResourceName, stop: CancellationToken) {
        let work = |holding| Arc::clone(&self).work_while(hub.clone(), holding);
        self.context.cluster.while_held(&format!("hub-jobs/{hub}"), &stop, work).await;
    }

    async fn work_while(self: Arc<Self>, hub: ResourceName, Holding { fence, stop }: Holding) {
        let mut news = self.jobs.news.subscribe();
        let mut running = Running::default();
        let longest = if self.context.cluster.node().is_some() { AMONG_OTHERS } else { ALONE };
        while !stop.is_cancelled() {
            news.mark_unchanged();
            let looked = async {
                let forgotten = self.forget(&hub, fence.as_ref()).await?;
                let wait = self.begin_due(&hub, fence.as_ref(), &mut running).await?;
                Ok::<_, Error>(if forgotten { wait } else { Some(Duration::ZERO) })
            };
            let wait = match looked.await {
                Ok(wait) => wait.unwrap_or(longest).min(longest),
                Err(error) => {
                    tracing::warn!(%hub, %error, "jobs cannot be looked for");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(ended) = running.tasks.join_next() => {
                    if !running.ended(&hub, ended) {
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(PAUSE) => {}
                        }
                    }
                }
                () = tokio::time::sleep(wait) => {}
                _ = news.changed() => {}
            }
        }
    }

    /// Begins jobs whose time has come, as far as there is room; how long until the next.
    async fn begin_due(
        self: &Arc<Self>,
        hub: &ResourceName,
        fence: Option<&Fence>,
        running: &mut Running,
    ) -> Result<Option<Duration>> {
        let now = self.context.clock.now();
        let tier = self.context.table.named(ResourceKind::Hub, hub).and_then(|hub| sku(&hub));
        let most = self.context.limits.of_hub(tier).active_jobs;
        let room = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        // Those at work are due before all others, and one more says when to look again.
        let due = self.context.store.due_scheduled_jobs(hub, false, room.saturating_add(1)).await?;
        for job in due {
            if job.due() > now {
                return Ok(Some(job.due().since(now)));
            }
            if running.ids.len() >= room || running.ids.contains(&job.id) {
                continue;
            }
            let resource = self.context.table.get(ResourceKind::Hub, hub)?;
            let id = job.id.clone();
            running.ids.insert(id.clone());
            let run = Run { hub: Arc::clone(self), resource, fence: fence.cloned(), job };
            running.tasks.spawn(async move { (id, run.run().await) });
        }
        Ok(None)
    }

    /// Forgets jobs that were kept long enough, first what became of them at devices, a piece in each commit: a job may have had a
    /// million. `false`: there is more to forget, after others had their turn.
    pub(super) async fn forget(&self, hub: &ResourceName, fence: Option<&Fence>) -> Result<bool> {
        let store = &self.context.store;
        for _ in 0..PIECES {
            let oldest = store.due_scheduled_jobs(hub, true, 1).await?.pop();
            let Some(job) = oldest.filter(|job| job.due() <= self.context.clock.now()) else {
                return Ok(true);
            };
            let filter = DeviceJobFilter { job: Some(&job.id), ..DeviceJobFilter::default() };
            let write = if store.device_jobs(hub, filter, None, 1).await?.items.is_empty() {
                let expect = Expect::Etag(job.etag);
                Write::DeleteScheduledJob { hub: hub.clone(), id: job.id, expect }
            } else {
                Write::ForgetDeviceJobs { hub: hub.clone(), job: job.id, most: PIECE }
            };
            match store.commit(held(fence).with(write)).await {
                Ok(()) => {}
                Err(CommitError::Expectation { mismatch: Mismatch::LeaseLost, .. }) => {
                    return Err(Error::new(ErrorCode::Unavailable, "another node does it now"));
                }
                // Somebody else wrote it: it is looked at again.
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl Running {
    /// Takes note of the end of a task; `false`: its job is not over.
    fn ended(
        &mut self,
        hub: &ResourceName,
        ended: std::result::Result<(String, std::result::Result<(), String>), tokio::task::JoinError>,
    ) -> bool {
        match ended {
            Ok((id, Ok(()))) => {
                self.ids.remove(&id);
                true
            }
            Ok((id, Err(why))) => {
                tracing::warn!(%hub, job = %id, why, "a job pauses");
                self.ids.remove(&id);
                false
            }
            Err(error) if error.is_cancelled() => true,
            Err(error) => {
                tracing::error!(%hub, %error, "a job's work broke off");
                // Which it was is not known: all that are not at work are looked at again.
                self.ids.clear();
                self.tasks.abort_all();
                false
            }
        }
    }
}
