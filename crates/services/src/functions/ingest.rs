//! The ingest function: telemetry onto the device's twin.
//!
//! Each value is written with its `sourceTime`, in one patch under the twin's etag. A value whose `sourceTime` is older
//! than the one on the twin is left out, so that a stale or repeated message never overwrites a newer value. What a device
//! said before it was deleted is not for the twin of the device that has its id now: the message names its generation. A
//! device without a twin is none of our business.

use pollux_model::resource::Resource;
use pollux_model::{ErrorCode, Result, Timestamp};
use serde_json::{Value, json};

use super::Functions;
use super::event::Event;
use super::mapping::{Assignment, assignments};
use super::twins_client::{FoundTwin, TwinsClient};
use crate::lifecycle::is_present_generation;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The twin changed.
    Applied,
    /// There was nothing to do: no twin, no matching property, or everything was stale.
    Nothing,
}

impl Functions {
    pub(super) async fn ingest(&self, app: &Resource, event: &Event) -> Result<Effect> {
        let Some(device) = event.annotation("iothub-connection-device-id") else {
            return Ok(Effect::Nothing);
        };
        // What a module says is its device's.
        let module = event.annotation("iothub-connection-module-id");
        // Bodies of other content types are not for the twin; without one, JSON is tried and anything else left alone.
        let body = match event.content_type().as_deref() {
            Some(kind) if kind == "application/json" || kind.ends_with("+json") => event.json()?,
            Some(_) => return Ok(Effect::Nothing),
            None => match event.json() {
                Ok(body) => body,
                Err(_) => return Ok(Effect::Nothing),
            },
        };
        let twins = self.twins_of_events(app)?;
        let rules = &Self::app(app)?.mapping;
        loop {
            let Some(twin) = twins.twin(device).await? else { return Ok(Effect::Nothing) };
            // After the twin was read: whoever provisions the device again moves the twin's etag first.
            if let Some(generation) = event.annotation("iothub-connection-auth-generation-id")
                && !is_present_generation(&self.context, (device, module), generation).await?
            {
                return Ok(Effect::Nothing);
            }
            let Some(found) = self.wanted(&*twins, &twin, &body, rules).await? else {
                return Ok(Effect::Nothing);
            };
            let patch = patch(&twin, found, event.measured());
            if patch.is_empty() {
                return Ok(Effect::Nothing);
            }
            match twins.patch_twin(device, Value::Array(patch), &twin.etag).await {
                Ok(()) => return Ok(Effect::Applied),
                // Someone changed the twin meanwhile: decide again on what is there now.
                Err(error)
                    if matches!(error.code, ErrorCode::PreconditionFailed | ErrorCode::TwinNotFound) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn wanted(
        &self,
        twins: &dyn TwinsClient,
        twin: &FoundTwin,
        body: &Value,
        rules: &[pollux_model::resource::TelemetryMapping],
    ) -> Result<Option<Vec<Assignment>>> {
        let Some(models) = twins.models_with(twin.model()).await? else { return Ok(None) };
        let id = pollux_dtdl::Dtmi::parse(twin.model()).ok();
        let Some(interface) = id.as_ref().and_then(|id| models.get(id)) else { return Ok(None) };
        assignments(body, rules, &models, interface).map(Some)
    }
}

/// The JSON Patch of what is not stale.
fn patch(twin: &FoundTwin, found: Vec<Assignment>, measured: Timestamp) -> Vec<Value> {
    let fresh = |assignment: &Assignment| {
        let last = twin
            .document
            .pointer(&assignment.source_time_path())
            .and_then(Value::as_str)
            .and_then(Timestamp::parse);
        last.is_none_or(|last| last <= measured)
    };
    found
        .into_iter()
        .filter(fresh)
        .flat_map(|assignment| {
            let (path, time) = (assignment.path(), assignment.source_time_path());
            [
                json!({"op": "add", "path": path, "value": assignment.value}),
                json!({"op": "add", "path": time, "value": measured}),
            ]
        })
        .collect()
}
