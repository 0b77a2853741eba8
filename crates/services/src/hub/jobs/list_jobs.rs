//! Jobs of a hub, page by page.

use pollux_model::Result;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::scheduled_job::{ScheduledJob, ScheduledJobStatus, ScheduledJobType};
use pollux_store::Page;

use super::{READ, shown_at};
use crate::caller::Caller;
use crate::hub::{Hub, Operation};

/// Jobs read from the store at once.
const CHUNK: usize = 50;

/// Which jobs are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobFilter {
    /// Of this type.
    pub kind: Option<ScheduledJobType>,
    /// That stand like this.
    pub status: Option<ScheduledJobStatus>,
}

impl JobFilter {
    fn keeps(self, job: &ScheduledJob) -> bool {
        self.kind.is_none_or(|kind| kind == job.work.kind())
            && self.status.is_none_or(|status| status.as_str() == job.status.as_str())
    }
}

impl Hub {
    /// Jobs in order of id. `after` is what the page before gave as `next`.
    pub async fn jobs(
        &self,
        caller: &Caller,
        hub: &Resource,
        filter: JobFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ScheduledJob>> {
        caller.require(ResourceKind::Hub, &hub.name, READ)?;
        self.throttle(hub, Operation::Job, 1)?;
        let now = self.context.clock.now();
        let (mut items, mut after) = (Vec::new(), after.map(str::to_owned));
        loop {
            let page = self.context.store.scheduled_jobs(&hub.name, after.as_deref(), CHUNK).await?;
            for job in page.items.into_iter().map(|job| shown_at(job, now)).filter(|job| filter.keeps(job)) {
                let id = job.id.clone();
                items.push(job);
                if items.len() == limit {
                    return Ok(Page { items, next: Some(id) });
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Page { items, next: None });
            }
        }
    }
}
