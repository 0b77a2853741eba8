//! The retire function: when a device is deleted in its hub, its twin goes with all its relationships.
//!
//! A delete event may come late. If by then a device of that id is there again, or is just being provisioned, its twin
//! is in use and stays. What closes the gap between looking and deleting is the twin's etag: allocation moves it.

use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Result};
use serde_json::Value;

use super::Functions;
use super::event::Event;
use super::ingest::Effect;
use super::twins_client::TwinsClient;
use crate::lifecycle::{Standing, standing};

impl Functions {
    pub(super) async fn retire(&self, app: &Resource, event: &Event) -> Result<Effect> {
        let Some(operation) = event.property("opType") else {
            return Err(Error::invalid("the event has no application property opType"));
        };
        if operation != "deleteDeviceIdentity" || event.property("moduleId").is_some() {
            return Ok(Effect::Nothing);
        }
        let Some(device) = event.property("deviceId") else {
            return Err(Error::invalid("the delete event has no application property deviceId"));
        };
        let twin_id = twin_of(event).unwrap_or_else(|| device.to_owned());
        let twins = self.twins_of_events(app)?;
        loop {
            let Some(twin) = twins.twin(&twin_id).await? else { return Ok(Effect::Nothing) };
            match standing(&self.context, event.property("hubName"), device, &twin_id).await? {
                Standing::Present => return Ok(Effect::Nothing),
                Standing::Assigning => {
                    let message = format!(
                        "the device '{device}' is being provisioned again; whether its twin goes is seen after that"
                    );
                    return Err(Error::new(ErrorCode::Unavailable, message));
                }
                Standing::Absent => {}
            }
            remove_relationships(&*twins, &twin_id).await?;
            match twins.delete_twin(&twin_id, &twin.etag).await {
                Ok(()) => return Ok(Effect::Applied),
                Err(error) if error.code == ErrorCode::TwinNotFound => return Ok(Effect::Applied),
                // The twin or its relationships changed meanwhile: look again from the start.
                Err(error)
                    if matches!(
                        error.code,
                        ErrorCode::PreconditionFailed | ErrorCode::RelationshipsNotDeleted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The twin that the device's tags name, else the one named like the device.
fn twin_of(event: &Event) -> Option<String> {
    event.json().ok()?.pointer("/tags/dtId").and_then(Value::as_str).map(str::to_owned)
}

async fn remove_relationships(twins: &dyn TwinsClient, twin: &str) -> Result<()> {
    for relationship in twins.outgoing(twin).await? {
        twins.delete_relationship(&relationship).await?;
    }
    for relationship in twins.incoming(twin).await? {
        twins.delete_relationship(&relationship).await?;
    }
    Ok(())
}
