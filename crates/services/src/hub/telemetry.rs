//! Device-to-cloud messages: checked, routed, appended. Acknowledged when durable.

use bytes::Bytes;
use pollux_eventlog::{LogError, NewRecord};
use pollux_model::resource::{Resource, RouteSource};
use pollux_model::{DeviceId, Error, ErrorCode, Result};

use super::Hub;
use super::hub_event::{HubEvent, System, encode};
use crate::caller::{Caller, Identity};

/// A message as a device sent it.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// Application properties, in order.
    pub properties: Vec<(String, String)>,
    /// System properties the device may set; the rest is filled in here.
    pub system: System,
    /// The body.
    pub body: Bytes,
}

/// What authentication by the device's own key looks like in a message.
const AUTH_METHOD: &str = r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#;

impl Hub {
    /// Takes a message; durable when it returns.
    pub async fn telemetry(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        message: Telemetry,
    ) -> Result<()> {
        caller.require_device(&hub.name, id)?;
        self.check_message(&message)?;
        let generation_id = match &caller.identity {
            Identity::Device { generation_id, .. } => Some(generation_id.clone()),
            _ => None,
        };
        let enqueued = self.context.clock.now();
        let system =
            System { auth_method: Some(AUTH_METHOD.into()), generation_id, enqueued, ..message.system };
        let event = HubEvent {
            source: RouteSource::DeviceMessages,
            device_id: id.to_string(),
            properties: message.properties,
            system,
            body: message.body,
        };
        let twin =
            if self.needs_twin(hub, event.source) { Some(self.existing(hub, id).await?) } else { None };
        let destinations = self.destinations(hub, &event, twin.as_ref());
        if destinations.is_empty() {
            metrics::counter!("pollux_hub_messages_unrouted_total").increment(1);
            return Ok(());
        }
        let payload = encode(&event);
        for destination in destinations {
            let record = NewRecord {
                partition_key: Some(id.as_ref().into()),
                payload: payload.clone(),
                idempotency_key: None,
            };
            let partition = destination.partition(id);
            self.context.log.append(&destination.stream, partition, vec![record]).await.map_err(refused)?;
        }
        metrics::counter!("pollux_hub_messages_total").increment(1);
        Ok(())
    }

    fn check_message(&self, message: &Telemetry) -> Result<()> {
        let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let (size, most) = (message.body.len() + properties, self.context.limits.device_message);
        if size > most {
            let text = format!("the message is {size} bytes with its properties; at most {most} are allowed");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        Ok(())
    }
}

fn refused(error: LogError) -> Error {
    tracing::warn!(%error, "telemetry cannot be appended");
    Error::new(ErrorCode::Unavailable, "the message cannot be kept for now; send it again")
}
