//! What became of a job at a device: as a document for queries (`devices.jobs`), as an event for routes.

use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::scheduled_job::{DeviceJob, DeviceJobStatus};
use pollux_model::{DeviceId, Result};
use pollux_query::PredicateOp;
use pollux_query::devices::Query;
use pollux_store::scheduled_jobs::DeviceJobFilter;
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::hub::hub_event::{self, HubEvent};
use crate::hub::query::Place;

/// Rows read from the store at once: each may hold what a device answered.
const CHUNK: usize = 100;

/// The members are those of the article "Queries for IoT Hub jobs" and of `DeviceJob` in the .NET client, which takes times
/// that are left out, not `null`; a module's id is ours.
fn document(row: &DeviceJob) -> Value {
    let mut document = json!({
        "deviceId": row.device.device,
        "jobId": row.job,
        "jobType": row.kind.as_str(),
        "status": row.status.as_str(),
        "createdDateTimeUtc": row.created,
        "lastUpdatedDateTimeUtc": row.updated,
    });
    if let Some(module) = &row.device.module {
        document["moduleId"] = json!(module);
    }
    if let Some(start) = row.start {
        document["startTimeUtc"] = json!(start);
    }
    if let Some(end) = row.end {
        document["endTimeUtc"] = json!(end);
        let response =
            row.outcome.as_ref().map(|answer| json!({"status": answer.status, "payload": answer.payload}));
        document["outcome"] = json!({ "deviceMethodResponse": response });
    }
    if let Some(error) = &row.error {
        document["error"] = json!({"code": error.code, "description": error.description});
    }
    document
}

/// Tells of where a job stands at a device. The article "Use IoT Hub message routing" names the source; no article says what
/// its events are: they are made as the others, and the body is the row of `devices.jobs`.
pub(super) fn event(hub: &Resource, row: &DeviceJob, device: Option<&Device>) -> HubEvent {
    let operation = match row.status {
        DeviceJobStatus::Pending => "deviceJobPending",
        DeviceJobStatus::Running => "deviceJobRunning",
        DeviceJobStatus::Completed => "deviceJobCompleted",
        DeviceJobStatus::Failed => "deviceJobFailed",
        DeviceJobStatus::Canceled => "deviceJobCanceled",
    };
    let mut event = hub_event::device_job(hub, &row.device, operation, &document(row), row.updated);
    let whose = [("jobId".into(), row.job.clone()), ("jobType".into(), row.kind.as_str().into())];
    event.properties.extend(whose);
    event.system.generation_id = device.map(|device| device.identity.generation_id.clone());
    event
}

impl Hub {
    /// The next rows as documents, as far as they can match, and where those behind them begin.
    pub(in crate::hub) async fn device_job_documents(
        &self,
        hub: &Resource,
        query: &Query,
        after: Option<&str>,
    ) -> Result<(Option<String>, Vec<(Place, Value)>)> {
        let hints = query.hints();
        let device = match hints.ids.as_deref() {
            // Nothing can match.
            Some([]) => return Ok((None, Vec::new())),
            Some([id]) => DeviceId::parse(id).ok(),
            _ => None,
        };
        let mut equal = hints.predicates.iter().filter(|one| one.op == PredicateOp::Eq);
        let job = equal.find(|one| one.path == ["jobId"]).and_then(|one| one.value.as_str());
        let filter = DeviceJobFilter { job, device: device.as_ref(), status: None };
        let page = self.context.store.device_jobs(&hub.name, filter, after, CHUNK).await?;
        let shown = |row: DeviceJob| {
            let document = document(&row);
            (Place { job: Some(row.job), device: row.device }, document)
        };
        Ok((page.next, page.items.into_iter().map(shown).collect()))
    }
}
