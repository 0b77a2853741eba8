//! Scheduled jobs as the REST API writes them (`JobRequest` and `JobResponse` of API version 2021-04-12; the article "Schedule
//! jobs on multiple devices").

use pollux_model::scheduled_job::{JobWork, ScheduledJob, ScheduledJobType};
use pollux_model::{Error, Etag, Result, Timestamp, ids};
use pollux_services::hub::{JobInput, JobWorkInput};
use serde::Deserialize;
use serde_json::{Value, json};

use super::device_twins::{TwinBody, named};
use super::methods::MethodBody;

/// What the service says of a job that it does not know.
const UNKNOWN: &str = "unknown";

/// A job as a client asks for it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobBody {
    job_id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    cloud_to_device_method: Option<MethodBody>,
    update_twin: Option<UpdateBody>,
    query_condition: Option<String>,
    start_time: Option<String>,
    max_execution_time_in_seconds: Option<u64>,
}

/// A twin's change.
#[derive(Debug, Deserialize)]
struct UpdateBody {
    etag: Option<String>,
    #[serde(flatten)]
    twin: TwinBody,
}

impl JobBody {
    /// What is asked of the service.
    pub(super) fn input(self, id: String) -> Result<JobInput> {
        named("jobId", self.job_id, &id)?;
        let kind = job_type(&self.kind)?;
        let work = match (kind, self.update_twin, self.cloud_to_device_method) {
            (ScheduledJobType::ScheduleUpdateTwin, Some(UpdateBody { etag, twin }), _) => {
                JobWorkInput::UpdateTwin(twin.content(), wanted(etag)?)
            }
            (ScheduledJobType::ScheduleDeviceMethod, _, Some(method)) => {
                JobWorkInput::DeviceMethod(method.input())
            }
            (ScheduledJobType::ScheduleUpdateTwin, None, _) => return Err(missing("updateTwin", kind)),
            (ScheduledJobType::ScheduleDeviceMethod, _, None) => {
                return Err(missing("cloudToDeviceMethod", kind));
            }
        };
        Ok(JobInput {
            id,
            work,
            query_condition: self.query_condition.ok_or_else(|| missing("queryCondition", kind))?,
            // Clients that name none may send it empty.
            start: self.start_time.filter(|text| !text.is_empty()).as_deref().map(moment).transpose()?,
            max_execution_seconds: self.max_execution_time_in_seconds,
        })
    }
}

/// The type of that name.
pub(super) fn job_type(name: &str) -> Result<ScheduledJobType> {
    ScheduledJobType::named(name).ok_or_else(|| {
        let [twin, method] = ScheduledJobType::ALL.map(ScheduledJobType::as_str);
        let name = ids::shown(name);
        Error::invalid(format!("a job of type '{name}' cannot be scheduled: use {twin} or {method}"))
    })
}

/// The etag that twins must have: the article asks for one, and `*` is any.
fn wanted(etag: Option<String>) -> Result<Option<Etag>> {
    let etag = etag.ok_or_else(|| Error::invalid("updateTwin must have an etag: use '*' for any"))?;
    let bare = etag.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(&etag);
    Ok((bare != "*").then(|| Etag::new(bare)))
}

/// ISO 8601; without a zone it is UTC, as the .NET client and az iot hub job write it.
fn moment(text: &str) -> Result<Timestamp> {
    let parsed = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z")));
    parsed.ok_or_else(|| {
        Error::invalid(format!("startTime '{}' is no ISO 8601 date and time", ids::shown(text)))
    })
}

fn missing(member: &str, kind: ScheduledJobType) -> Error {
    Error::invalid(format!("a job of type {} must have {member}", kind.as_str()))
}

/// What is answered to whoever scheduled it (the article's examples, one of them with a start that is to come).
pub(super) fn accepted(job: &ScheduledJob) -> Value {
    json!({"jobId": job.id, "type": job.work.kind().as_str(), "status": "queued"})
}

/// A job that there is not.
pub(super) fn unknown(id: &str) -> Value {
    json!({"jobId": id, "type": UNKNOWN, "status": UNKNOWN})
}

/// The whole of it.
pub(super) fn job(job: &ScheduledJob) -> Value {
    let statistics = &job.statistics;
    let mut document = json!({
        "jobId": job.id,
        "queryCondition": job.query_condition,
        "createdTime": job.created,
        "startTime": job.start,
        "maxExecutionTimeInSeconds": job.max_execution_seconds,
        "type": job.work.kind().as_str(),
        "status": job.status.as_str(),
        "deviceJobStatistics": {
            "deviceCount": statistics.devices,
            "failedCount": statistics.failed,
            "succeededCount": statistics.succeeded,
            "runningCount": statistics.running,
            "pendingCount": statistics.pending,
        },
    });
    let mut add = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            document[member] = value;
        }
    };
    add("endTime", job.ended.map(|ended| json!(ended)));
    add("failureReason", job.failure_reason.as_ref().map(|reason| json!(reason)));
    match &job.work {
        JobWork::UpdateTwin { tags, desired, etag } => {
            let mut twin = json!({"etag": etag.as_ref().map_or("*", Etag::as_str)});
            if let Some(tags) = tags {
                twin["tags"] = json!(tags);
            }
            if let Some(desired) = desired {
                twin["properties"] = json!({ "desired": desired });
            }
            add("updateTwin", Some(twin));
        }
        JobWork::DeviceMethod { name, payload, response_timeout, connect_timeout } => {
            let mut method = json!({"methodName": name, "payload": payload});
            if let Some(seconds) = response_timeout {
                method["responseTimeoutInSeconds"] = json!(seconds);
            }
            if let Some(seconds) = connect_timeout {
                method["connectTimeoutInSeconds"] = json!(seconds);
            }
            add("cloudToDeviceMethod", Some(method));
        }
    }
    document
}
