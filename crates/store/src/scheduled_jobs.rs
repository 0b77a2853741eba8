//! Reading scheduled jobs of a hub, and what became of them at each device.

use async_trait::async_trait;
use pollux_model::scheduled_job::{DeviceJob, DeviceJobStatus, ScheduledJob};
use pollux_model::{DeviceAddress, DeviceId, ResourceName, Timestamp};

use crate::error::StoreError;
use crate::keys::mark_of;
use crate::store::Page;

/// How many jobs a hub has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScheduledJobCounts {
    /// Those whose time has come and that are not over.
    pub active: u64,
    /// Those whose time is still to come.
    pub waiting: u64,
    /// Those that are over.
    pub over: u64,
}

/// Which jobs at devices are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceJobFilter<'a> {
    /// Those of this job.
    pub job: Option<&'a str>,
    /// Those at this device and at its modules.
    pub device: Option<&'a DeviceId>,
    /// Those that stand like this.
    pub status: Option<DeviceJobStatus>,
}

/// Jobs, keyed by hub and id; jobs at devices, keyed by hub, job and the device's address. Ids compare with case.
#[async_trait]
pub trait ScheduledJobs {
    /// One job.
    async fn scheduled_job(&self, hub: &ResourceName, id: &str) -> Result<Option<ScheduledJob>, StoreError>;
    /// Jobs in order of id, after `after`.
    async fn scheduled_jobs(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ScheduledJob>, StoreError>;
    /// The first jobs by [`ScheduledJob::due`], of those that are over or of those that are not.
    async fn due_scheduled_jobs(
        &self,
        hub: &ResourceName,
        over: bool,
        limit: usize,
    ) -> Result<Vec<ScheduledJob>, StoreError>;
    /// How many there are at this moment.
    async fn count_scheduled_jobs(
        &self,
        hub: &ResourceName,
        now: Timestamp,
    ) -> Result<ScheduledJobCounts, StoreError>;
    /// Jobs at devices in order of job and address, after `after`.
    async fn device_jobs(
        &self,
        hub: &ResourceName,
        filter: DeviceJobFilter<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceJob>, StoreError>;
}

/// Where [`ScheduledJobs::device_jobs`] goes on behind a job at a device.
#[must_use]
pub fn after_device_job(job: &str, device: &DeviceAddress) -> String {
    mark_of(job, &device.to_string())
}

pub(crate) fn device_job_mark(job: &DeviceJob) -> String {
    after_device_job(&job.job, &job.device)
}

/// The place such a mark stands for; the beginning when there is none.
pub(crate) fn device_job_place(after: Option<&str>) -> Result<(String, String), StoreError> {
    let foreign = |_| StoreError::Corrupt("a page of jobs is asked for with a foreign mark".to_owned());
    after.map_or_else(|| Ok(Default::default()), |mark| serde_json::from_str(mark).map_err(foreign))
}

impl DeviceJobFilter<'_> {
    /// The statement and its parameters from the fifth on; the first are the hub, the place (job, address) and the number of
    /// rows. An address begins with the device's id, and `0` follows `/`.
    pub(crate) fn select(&self) -> (String, Vec<&str>) {
        let mut sql =
            "SELECT document FROM device_jobs WHERE hub = $1 AND (job, device) > ($2, $3)".to_owned();
        let mut params = Vec::new();
        if let Some(job) = self.job {
            params.push(job);
            sql.push_str(" AND job = $5");
        }
        if let Some(device) = self.device {
            params.push(device.as_str());
            let at = 4 + params.len();
            sql.push_str(&format!(
                " AND (device = ${at} OR (device > ${at} || '/' AND device < ${at} || '0'))"
            ));
        }
        if let Some(status) = self.status {
            sql.push_str(&format!(" AND status = '{}'", status.as_str()));
        }
        sql.push_str(" ORDER BY job, device LIMIT $4");
        (sql, params)
    }
}
