//! Scheduled jobs of a hub: a twin change or a direct method for many devices, and what became of it at each of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{DeviceAddress, Etag, Timestamp};

/// What a job does. The names are those of the API (`type`, `jobType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScheduledJobType {
    /// Changes tags and desired properties.
    ScheduleUpdateTwin,
    /// Calls a direct method.
    ScheduleDeviceMethod,
}

impl ScheduledJobType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ScheduleUpdateTwin, Self::ScheduleDeviceMethod];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScheduleUpdateTwin => "scheduleUpdateTwin",
            Self::ScheduleDeviceMethod => "scheduleDeviceMethod",
        }
    }

    /// The type of that name; clients write it with or without a capital.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }
}

/// How it stands with a job (Azure article "Schedule jobs on multiple devices"; `JobResponse.status` of the REST API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduledJobStatus {
    /// Its time is still to come.
    Scheduled,
    /// Its time has come; no node has begun.
    Queued,
    /// A node is at work, or will go on.
    Running,
    /// It was cancelled; what has not begun is still to be told so.
    Cancelling,
    /// It was cancelled.
    Cancelled,
    /// It could not be done; `failure_reason` says why.
    Failed,
    /// Each device had its turn.
    Completed,
}

impl ScheduledJobStatus {
    /// Those that a caller can ask for.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Queued, Self::Running, Self::Cancelled, Self::Failed, Self::Completed];

    /// What callers are told: cancelled is cancelled, whoever has heard of it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Cancelling | Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Completed => "completed",
        }
    }

    /// The status of that name; clients write it with or without a capital.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether nothing will happen any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed | Self::Completed)
    }

    /// Whether it waits for its time or for its turn.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self, Self::Scheduled | Self::Queued)
    }
}

/// What is done at each device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum JobWork {
    /// A patch of the twin.
    #[serde(rename_all = "camelCase")]
    UpdateTwin {
        /// Merged into the tags.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tags: Option<Map<String, Value>>,
        /// Merged into the desired properties.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        desired: Option<Map<String, Value>>,
        /// The etag the twin must have; `None`: whatever it has (`*`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        etag: Option<Etag>,
    },
    /// A direct method.
    #[serde(rename_all = "camelCase")]
    DeviceMethod {
        /// The method's name.
        name: String,
        /// JSON that goes with it.
        payload: Value,
        /// How long the device may take to answer, in seconds; `None`: as long as unless it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response_timeout: Option<u64>,
        /// How long a device that is not there may take to come, in seconds; `None`: as long as the job goes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connect_timeout: Option<u64>,
    },
}

impl JobWork {
    /// The job's type.
    #[must_use]
    pub const fn kind(&self) -> ScheduledJobType {
        match self {
            Self::UpdateTwin { .. } => ScheduledJobType::ScheduleUpdateTwin,
            Self::DeviceMethod { .. } => ScheduledJobType::ScheduleDeviceMethod,
        }
    }
}

/// How many devices of a job stand where (`deviceJobStatistics`). Kept in the same commit as what it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobStatistics {
    /// Devices and modules of the job.
    pub devices: u64,
    /// Those where it failed.
    pub failed: u64,
    /// Those where it was done.
    pub succeeded: u64,
    /// Those at work now.
    pub running: u64,
    /// Those whose turn is still to come.
    pub pending: u64,
}

/// How far the choice of a job's devices has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    /// None is chosen.
    #[default]
    Beginning,
    /// All up to here are; where this is, is the chooser's own.
    After(String),
    /// All are.
    Done,
}

/// A job as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledJob {
    /// Chosen by whoever asked for it.
    pub id: String,
    /// Changes with every change.
    pub etag: Etag,
    /// What is done.
    pub work: JobWork,
    /// At which devices: a condition, `*`, or a query.
    pub query_condition: String,
    /// How it stands.
    pub status: ScheduledJobStatus,
    /// When it was asked for.
    pub created: Timestamp,
    /// From when on it may run.
    pub start: Timestamp,
    /// How long after that it may begin at a device, in seconds.
    pub max_execution_seconds: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// When it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// How far it has come.
    #[serde(default)]
    pub statistics: JobStatistics,
    /// Which devices are chosen.
    #[serde(default)]
    pub selection: Selection,
}

impl ScheduledJob {
    /// When something is to be done about it: begin, go on, forget it.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.purge.unwrap_or(self.start)
    }

    /// When devices that it has not begun at are given up.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.start.plus(std::time::Duration::from_secs(self.max_execution_seconds))
    }
}

/// How it stands with a job at one device (`status` of `devices.jobs`; `DeviceJobStatus` of the .NET client).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceJobStatus {
    /// Its turn is still to come.
    Pending,
    /// It was called and has not answered.
    Running,
    /// It was done.
    Completed,
    /// It was not, or not known to be.
    Failed,
    /// The job was cancelled before its turn.
    Canceled,
}

impl DeviceJobStatus {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// What a device answered to a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodOutcome {
    /// Its own status.
    pub status: i32,
    /// JSON.
    pub payload: Value,
}

/// Why a job failed at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceJobError {
    /// The service's code for it.
    pub code: String,
    /// For people.
    pub description: String,
}

/// A job at one device or module: what came of it. Kept as long as the job, though the device is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceJob {
    /// The job.
    pub job: String,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: ScheduledJobType,
    /// The device or module.
    pub device: DeviceAddress,
    /// How it stands.
    pub status: DeviceJobStatus,
    /// When the device was chosen.
    pub created: Timestamp,
    /// When something last changed.
    pub updated: Timestamp,
    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// What the device answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<MethodOutcome>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<DeviceJobError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for kind in ScheduledJobType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(
            ScheduledJobType::named("ScheduleDeviceMethod"),
            Some(ScheduledJobType::ScheduleDeviceMethod)
        );
        assert_eq!(ScheduledJobType::named("scheduleTwinUpdate"), None);
        for status in ScheduledJobStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(ScheduledJobStatus::named(&status.as_str().to_uppercase()), Some(status));
        }
        assert_eq!(ScheduledJobStatus::named("cancelling"), None);
        assert_eq!(ScheduledJobStatus::Cancelling.as_str(), "cancelled");
        assert!(!ScheduledJobStatus::Cancelling.is_over());
    }
}
