//! All twins of a hub brought in line with its configurations, in the background, by the node that has the lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pollux_model::configuration::Configuration;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, Etag, ResourceName, Result, Timestamp};
use pollux_store::{Batch, CommitError, Expect, Write};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Hub;
use super::super::plan_twin::TwinChange;
use crate::cluster::{Change, Fence, Holding};
use crate::consume::{follow, held};

/// Twins read at once.
const CHUNK: usize = 200;
/// Twins looked at before others have their turn on this thread.
pub(super) const BREATH: usize = 32;
/// Twins written at the same time: a store commits them together.
const AT_ONCE: usize = 32;
/// When the second pass begins, counted from the first: whoever did not know of the change by then does not write.
const AGAIN: Duration = Duration::from_secs(1);
/// Where there are several nodes: one that does not hear of changes notices that by then.
const AGAIN_AMONG_OTHERS: Duration = Duration::from_secs(8);
/// How often twins are looked at although nothing changed ("at five-minute intervals").
const RECHECK: Duration = Duration::from_secs(300);
/// How often is looked for changes that nobody told of: words between nodes may get lost.
const LOOK: Duration = Duration::from_secs(30);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// Where the work on a hub stands.
#[derive(Debug, Default)]
pub(super) struct Stand {
    /// What was pending at the first pass, and when that began.
    first: Option<(BTreeMap<String, Etag>, Instant)>,
    /// When a pass last ended.
    passed: Option<Instant>,
}

impl Hub {
    /// Brings the twins of all hubs in line, as far as this node has their leases, until shutdown.
    pub(crate) async fn run_configurations(self: Arc<Self>, shutdown: CancellationToken) {
        let hubs = || -> Vec<(ResourceName, Timestamp)> {
            let all = self.context.table.all();
            let hubs = all.iter().filter(|one| one.kind() == ResourceKind::Hub);
            hubs.map(|one| (one.name.clone(), one.created)).collect()
        };
        let hub = Arc::clone(&self);
        let settle = move |(name, _), stop| Arc::clone(&hub).settle_hub(name, stop);
        follow(&self.context, "configurations", &shutdown, hubs, settle).await;
    }

    async fn settle_hub(self: Arc<Self>, name: ResourceName, stop: CancellationToken) {
        let work = |holding| Arc::clone(&self).settle_while(name.clone(), holding);
        self.context.cluster.while_held(&format!("configurations/{name}"), &stop, work).await;
    }

    async fn settle_while(self: Arc<Self>, name: ResourceName, Holding { fence, stop }: Holding) {
        let (mut news, mut stand) = (self.configurations.news.subscribe(), Stand::default());
        while !stop.is_cancelled() {
            news.mark_unchanged();
            let Ok(hub) = self.context.table.get(ResourceKind::Hub, &name) else { return };
            let step = tokio::select! {
                () = stop.cancelled() => return,
                step = self.settle_step(&hub, fence.as_ref(), &mut stand) => step,
            };
            let wait = step.unwrap_or_else(|error| {
                tracing::warn!(hub = %name, %error, "configurations are applied later");
                PAUSE
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                _ = news.changed() => {}
            }
        }
    }

    /// Does what is to be done now; how long it may be waited until the next time.
    pub(super) async fn settle_step(
        &self,
        hub: &Resource,
        fence: Option<&Fence>,
        stand: &mut Stand,
    ) -> Result<Duration> {
        let among_others = self.context.cluster.node().is_some();
        let again = if among_others { AGAIN_AMONG_OTHERS } else { AGAIN };
        // What is held may be older than what is read here.
        self.configurations.forget(Some(&hub.name));
        let records = self.all_configurations(hub).await?;
        let pending: BTreeMap<String, Etag> = records
            .iter()
            .filter(|record| record.pending || record.deleted)
            .map(|record| (record.id.clone(), record.etag.clone()))
            .collect();
        if pending.is_empty() {
            stand.first = None;
            let due = stand.passed.map_or(RECHECK, |passed| RECHECK.saturating_sub(passed.elapsed()));
            if records.is_empty() || !due.is_zero() {
                stand.passed.get_or_insert_with(Instant::now);
                return Ok(LOOK);
            }
        }
        let second = match &stand.first {
            Some((seen, begun)) if *seen == pending => {
                let left = again.saturating_sub(begun.elapsed());
                if !left.is_zero() && !pending.is_empty() {
                    return Ok(left);
                }
                true
            }
            _ => false,
        };
        let begun = Instant::now();
        if !pending.is_empty() {
            // Whoever changed it may have died before it told the others.
            self.context.cluster.announce(Change::Configurations(hub.name.clone())).await;
        }
        self.settle_pass(hub, fence).await?;
        stand.passed = Some(Instant::now());
        if second {
            self.settled(hub, records, fence).await?;
            stand.first = None;
            return Ok(Duration::ZERO);
        }
        stand.first = Some((pending, begun));
        Ok(again)
    }

    /// Goes through all twins once.
    pub(super) async fn settle_pass(&self, hub: &Resource, fence: Option<&Fence>) -> Result<()> {
        let store = &self.context.store;
        for of_modules in [false, true] {
            let mut after: Option<String> = None;
            loop {
                let page = match of_modules {
                    true => store.modules(&hub.name, after.as_deref(), CHUNK).await?,
                    false => store.devices(&hub.name, after.as_deref(), CHUNK).await?,
                };
                let set = self.compiled_configurations(hub).await?;
                let mut out = Vec::new();
                for (number, one) in page.items.iter().enumerate() {
                    if number % BREATH == 0 {
                        tokio::task::yield_now().await;
                    }
                    let lacks =
                        !of_modules && one.identity.iot_edge && self.lacks_modules(hub, &set, one).await?;
                    if lacks || self.overlay_of(hub, &set, one).await?.is_some() {
                        out.push(one.address());
                    }
                }
                stream::iter(out)
                    .map(|id| async move { self.bring_in_line(hub, &id, fence).await })
                    .buffer_unordered(AT_ONCE)
                    .try_collect::<Vec<()>>()
                    .await?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Brings one twin in line; of a device then what is deployed to its modules.
    pub(super) async fn bring_in_line(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        fence: Option<&Fence>,
    ) -> Result<()> {
        self.bring_twin_in_line(hub, id, fence).await?;
        if id.module.is_none() { self.deploy(hub, &id.device, fence).await } else { Ok(()) }
    }

    /// The one who has it is told in order.
    pub(super) async fn bring_twin_in_line(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        fence: Option<&Fence>,
    ) -> Result<()> {
        let mut turn = Some(self.in_order(id).await);
        loop {
            let Some(device) = self.context.store.addressed(&hub.name, id).await? else { return Ok(()) };
            let planned = self.plan_twin(hub, device, TwinChange::Follow).await?;
            if !planned.followed || self.commit_planned(hub, planned, &mut turn, fence).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Nothing is pending any more of what did not change meanwhile.
    async fn settled(
        &self,
        hub: &Resource,
        records: Vec<Configuration>,
        fence: Option<&Fence>,
    ) -> Result<()> {
        for record in records.into_iter().filter(|record| record.pending || record.deleted) {
            let (name, expect) = (hub.name.clone(), Expect::Etag(record.etag.clone()));
            let write = if record.deleted {
                Write::DeleteConfiguration { hub: name, id: record.id, expect }
            } else {
                let configuration = Box::new(Configuration { pending: false, ..record });
                Write::PutConfiguration { hub: name, configuration, expect }
            };
            let batch: Batch = held(fence).with(write);
            match self.context.store.commit(batch).await {
                Ok(()) | Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
