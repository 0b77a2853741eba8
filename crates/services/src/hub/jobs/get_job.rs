//! One job.

use pollux_model::Result;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::scheduled_job::ScheduledJob;

use super::{READ, shown_at};
use crate::caller::Caller;
use crate::hub::{Hub, Operation};

impl Hub {
    /// A job, if there is one of that id: the service answers for one that it does not know as well.
    pub async fn job(&self, caller: &Caller, hub: &Resource, id: &str) -> Result<Option<ScheduledJob>> {
        caller.require(ResourceKind::Hub, &hub.name, READ)?;
        self.throttle(hub, Operation::Job, 1)?;
        let found = self.context.store.scheduled_job(&hub.name, id).await?;
        Ok(found.map(|job| shown_at(job, self.context.clock.now())))
    }
}
