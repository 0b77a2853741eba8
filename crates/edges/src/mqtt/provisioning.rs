//! A device registers over MQTT (WIRE.md 4.2; Azure article "Communicate with DPS using the MQTT protocol").
//!
//! ```text
//!   PUT/iotdps-register/?$rid=R                                ─▶ res/202/?$rid=R&retry-after=N
//!   GET/iotdps-get-operationstatus/?$rid=R&operationId=O       ─▶ res/202/… while assigning, then res/200/?$rid=R
//! ```

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pollux_model::resource::Resource;
use pollux_model::{Error, Result, Timestamp};
use pollux_mqtt::ConnectRefusal;
use pollux_services::{Caller, Services};

use super::session::{BatchEnd, Close, Ending, Handling, Inbound, Outbound, Session};
use super::topic;
use crate::provisioning_status;
use crate::registering::{Registering, Reply, is_before_reprovisioning};

const ANSWERS: &str = "$dps/registrations/res/#";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/";
const STATUS: &str = "$dps/registrations/GET/iotdps-get-operationstatus/";

/// One registering device.
#[derive(Debug)]
pub(super) struct ProvisioningSession {
    device: Arc<Registering>,
    /// See [`is_before_reprovisioning`].
    stays: bool,
}

impl ProvisioningSession {
    /// A session of a device that has proved its registration id.
    pub(super) fn open(
        services: Arc<Services>,
        dps: Arc<Resource>,
        caller: Caller,
        version: &str,
    ) -> Result<Box<dyn Session>, ConnectRefusal> {
        let device = Registering::new(services, dps, caller).map_err(|_| ConnectRefusal::NotAuthorized)?;
        Ok(Box::new(Self { device: Arc::new(device), stays: is_before_reprovisioning(version) }))
    }

    fn request(&self, message: &Inbound) -> Result<Handling, Close> {
        if let Some(query) = message.topic.strip_prefix(REGISTER) {
            let rid = topic::request_id(query)?.to_owned();
            let force = topic::value(query, "forceRegistration");
            let force = force.is_some_and(|value| value.eq_ignore_ascii_case("true"));
            let (own, body, stays) = (Arc::clone(&self.device), message.payload.clone(), self.stays);
            return Ok(Handling::Request(Box::pin(async move {
                let outcome = register(&own, &body, force, stays).await;
                Ok(vec![answer(&own.services, &rid, outcome)])
            })));
        }
        if let Some(query) = message.topic.strip_prefix(STATUS) {
            let rid = topic::request_id(query)?.to_owned();
            let operation = topic::decode(topic::value(query, "operationId").unwrap_or_default())?;
            let own = Arc::clone(&self.device);
            return Ok(Handling::Request(Box::pin(async move {
                let outcome = own.status(&operation).await;
                Ok(vec![answer(&own.services, &rid, outcome)])
            })));
        }
        Err(Close::because("a topic that the provisioning service does not have"))
    }
}

impl Session for ProvisioningSession {
    fn publish(&mut self, message: Inbound) -> Handling {
        self.request(&message).unwrap_or_else(Handling::Close)
    }

    fn batch(&mut self) -> BoxFuture<'static, BatchEnd> {
        Box::pin(std::future::ready(BatchEnd { durable: 0, close: None }))
    }

    fn subscribe(&mut self, filter: &str) -> bool {
        filter == ANSWERS
    }

    fn expires(&self) -> Option<Timestamp> {
        self.device.caller.expires
    }

    fn ended(self: Box<Self>, _how: Ending) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

async fn register(own: &Registering, body: &[u8], force: bool, stays: bool) -> Result<Reply> {
    let said = own.said(body)?;
    if said.tpm.is_some() {
        return Err(Error::invalid("TPM attestation does not work over MQTT: use HTTPS or AMQP"));
    }
    own.register(said, force, stays).await
}

fn answer(services: &Services, rid: &str, outcome: Result<Reply>) -> Outbound {
    let reply = outcome.unwrap_or_else(|error| provisioning_status::refusal(&services.context, &error));
    let mut topic = format!("$dps/registrations/res/{}/?$rid={rid}", reply.status);
    if let Some(seconds) = reply.retry_after(services) {
        topic.push_str(&format!("&retry-after={seconds}"));
    }
    Outbound { topic, payload: Bytes::from(reply.body.to_string()) }
}
