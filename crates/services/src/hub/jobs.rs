//! Scheduled jobs: a twin change or a direct method for many devices (Azure article "Schedule jobs on multiple devices").
//!
//! ```text
//!   create ─▶ a record "queued" or "scheduled" ─▶ the node that has the lease hub-jobs/<hub>, once its time has come
//!                │ choose   devices that fulfil the condition: a row "pending" for each
//!                │ do       twins: the twin, its event, the row and the counts are one commit, so that it is done once
//!                │          methods: "running" is durable before the device is asked, so that it is asked at most once
//!                ├─ kill -9, another node: goes on behind the last commit; who was asked and is not known to have answered
//!                │          is not asked again
//!                └─ cancel: the record says so, and whoever works on it tells the devices' rows
//! ```
//!
//! | file | concern |
//! |---|---|
//! | `create_job`, `get_job`, `list_jobs`, `cancel_job` | the verbs |
//! | `work` | who works on which job, and when |
//! | `run` | a job under way: its record, and how it ends |
//! | `select` | which devices it is for |
//! | `update_twins`, `call_methods` | the work |
//! | `pace` | how fast it goes, and how often who does not hear is asked |
//! | `device_job` | what became of it at a device: as a document for queries, as an event for routes |

mod call_methods;
mod cancel_job;
mod create_job;
mod device_job;
mod get_job;
mod list_jobs;
mod pace;
mod run;
mod select;
mod update_twins;
mod work;

use std::sync::Arc;

use pollux_model::scheduled_job::{ScheduledJob, ScheduledJobStatus};
use pollux_model::{Error, ErrorCode, Timestamp, ids};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Hub;
use crate::caller::{HubAction, Right};

pub use create_job::{JobInput, JobWorkInput};
pub use list_jobs::JobFilter;

/// On which nodes tell each other that there is something to do.
const SUBJECT: &str = "hub-jobs";
/// The article "Schedule and broadcast jobs" asks a policy for the rights to read and write the registry.
const READ: Right = Right::Hub(HubAction::JobsRead);
const WRITE: Right = Right::Hub(HubAction::JobsWrite);
const CANCEL: Right = Right::Hub(HubAction::JobsDelete);

/// What jobs share in this process.
#[derive(Debug)]
pub(super) struct Jobs {
    /// Changes when a job was added or cancelled, on whatever node. A hint: one may be lost with the bus.
    news: watch::Sender<u64>,
    /// Held while a job is added, so that their number keeps its bound.
    adding: tokio::sync::Mutex<()>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { news: watch::Sender::new(0), adding: tokio::sync::Mutex::default() }
    }
}

impl Jobs {
    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Hub {
    /// Tells whoever works on jobs, wherever that is.
    async fn jobs_changed(&self) {
        self.jobs.tell();
        if let Some(shared) = self.context.cluster.others() {
            shared.hint(SUBJECT).await;
        }
    }

    /// Hears of jobs that were added or cancelled through other nodes, until shutdown.
    pub(crate) async fn hear_of_jobs(self: Arc<Self>, shutdown: CancellationToken) {
        let Some(shared) = self.context.cluster.others() else { return };
        shared.hear_hints(SUBJECT, &shutdown, || self.jobs.tell()).await;
    }
}

/// The job as callers are told of it: one whose time has come waits for its turn.
fn shown_at(mut job: ScheduledJob, now: Timestamp) -> ScheduledJob {
    if job.status == ScheduledJobStatus::Scheduled && job.start <= now {
        job.status = ScheduledJobStatus::Queued;
    }
    job
}

fn not_found(id: &str) -> Error {
    Error::new(ErrorCode::JobNotFound, format!("there is no job '{}'", ids::shown(id)))
}

#[cfg(test)]
mod tests;
