//! Device-to-cloud messages: checked, routed, appended. Acknowledged when durable.

use bytes::Bytes;
use futures_util::future::join_all;
use pollux_eventlog::{LogError, NewRecord};
use pollux_model::resource::{Resource, RouteSource};
use pollux_model::{DeviceAddress, Error, ErrorCode, Result};

use super::Hub;
use super::fault_injection::Fault;
use super::hub_event::{HubEvent, System, encode};
use crate::caller::{Caller, DeviceProof, Identity};
use crate::destination::Destination;

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

/// `iothub-connection-auth-method` (Azure article "Create and read IoT Hub messages", "Anti-spoofing properties").
fn auth_method(id: &DeviceAddress, by: DeviceProof) -> String {
    let (scope, kind) = match by {
        DeviceProof::Key => (id.noun(), "sas"),
        DeviceProof::Policy => ("hub", "sas"),
        DeviceProof::Certificate => (id.noun(), "x509"),
    };
    format!(r#"{{"scope":"{scope}","type":"{kind}","issuer":"iothub","acceptingIpFilterRule":null}}"#)
}

/// How a batch of messages ended.
#[derive(Debug)]
pub struct Taken {
    /// This many of them, from the first, are durable.
    pub durable: usize,
    /// Why the next one is not, if there is a next one.
    pub refused: Option<Error>,
}

/// The records of a batch that go to one partition.
struct Load {
    destination: Destination,
    /// The place in the batch of the first of them.
    first: usize,
    records: Vec<NewRecord>,
}

impl Hub {
    /// Takes messages in their order, with one append for each place they are routed to; says how many are durable. A
    /// message that is refused does not take those before it along; those after it are not looked at.
    pub async fn telemetry(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        messages: Vec<Telemetry>,
    ) -> Taken {
        if let Some(refused) = self.refusing(hub, id) {
            return Taken { durable: 0, refused: Some(refused) };
        }
        if let Err(refused) = self.admit(caller, hub, id, &messages).await {
            return Taken { durable: 0, refused: Some(refused) };
        }
        let (count, fault) = (messages.len(), messages.iter().find_map(Fault::of));
        let (loads, refused) = match self.routed(caller, hub, id, messages).await {
            Ok(routed) => routed,
            Err(error) => return Taken { durable: 0, refused: Some(error) },
        };
        let mut taken = refused.map_or(Taken { durable: count, refused: None }, |(at, error)| Taken {
            durable: at,
            refused: Some(error),
        });
        let appends = loads.into_iter().map(|Load { destination, first, records }| async move {
            let partition = destination.partition(&id.device);
            (first, self.context.log.append(&destination.stream, partition, records).await)
        });
        for (first, appended) in join_all(appends).await {
            if let Err(error) = appended
                && (taken.refused.is_none() || first < taken.durable)
            {
                taken = Taken { durable: first.min(taken.durable), refused: Some(unavailable(&error)) };
            }
        }
        if taken.durable > 0 {
            self.connections.active(&hub.name, id);
        }
        metrics::counter!("pollux_hub_messages_total").increment(u64::try_from(taken.durable).unwrap_or(0));
        if let Some(fault) = fault.filter(|_| taken.refused.is_none()) {
            self.inject(hub, id, fault);
        }
        taken
    }

    /// Counts the messages where the hub's tier bounds them; they may have to wait for their turn.
    async fn admit(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        messages: &[Telemetry],
    ) -> Result<()> {
        caller.require_device(&hub.name, id)?;
        self.shape(hub, messages.len()).await?;
        self.bill(hub, messages.iter().map(|message| message.body.len())).await
    }

    /// The records of each destination, and the first message that is refused with its place.
    async fn routed(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        messages: Vec<Telemetry>,
    ) -> Result<(Vec<Load>, Option<(usize, Error)>)> {
        caller.require_device(&hub.name, id)?;
        let Identity::Device { generation_id, by, .. } = &caller.identity else {
            return Err(Error::internal());
        };
        let asks_twin = self.needs_twin(hub, RouteSource::DeviceMessages);
        let twin = if asks_twin { Some(self.addressed(hub, id).await?) } else { None };
        let mut loads: Vec<Load> = Vec::new();
        for (at, message) in messages.into_iter().enumerate() {
            if let Err(error) = self.check_message(&message) {
                return Ok((loads, Some((at, error))));
            }
            let event = self.event(id, (generation_id, *by), message);
            let destinations = self.destinations(hub, &event, twin.as_ref());
            if destinations.is_empty() {
                metrics::counter!("pollux_hub_messages_unrouted_total").increment(1);
                continue;
            }
            let plain = encode(&event);
            for target in destinations {
                let record = record(id, target.payload(hub, &event, &plain, twin.as_ref()));
                match loads.iter_mut().find(|load| load.destination == target.destination) {
                    Some(load) => load.records.push(record),
                    None => {
                        let destination = target.destination.clone();
                        loads.push(Load { destination, first: at, records: vec![record] });
                    }
                }
            }
        }
        Ok((loads, None))
    }

    fn event(
        &self,
        id: &DeviceAddress,
        (generation_id, by): (&str, DeviceProof),
        message: Telemetry,
    ) -> HubEvent {
        let enqueued = self.context.clock.now();
        HubEvent {
            source: RouteSource::DeviceMessages,
            device_id: id.device.to_string(),
            module_id: id.module.as_ref().map(ToString::to_string),
            properties: message.properties,
            system: System {
                auth_method: Some(auth_method(id, by)),
                generation_id: Some(generation_id.to_owned()),
                enqueued,
                ..message.system
            },
            body: message.body,
        }
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

fn record(id: &DeviceAddress, payload: Bytes) -> NewRecord {
    NewRecord { partition_key: Some(id.device.as_ref().into()), payload, idempotency_key: None }
}

fn unavailable(error: &LogError) -> Error {
    tracing::warn!(%error, "telemetry cannot be appended");
    Error::new(ErrorCode::Unavailable, "the message cannot be kept for now; send it again")
}
