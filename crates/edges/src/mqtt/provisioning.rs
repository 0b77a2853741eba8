//! A device registers over MQTT (WIRE.md 4.2; Azure article "Communicate with DPS using the MQTT protocol").
//!
//! ```text
//!   PUT/iotdps-register/?$rid=R                                ─▶ res/202/?$rid=R&retry-after=N
//!   GET/iotdps-get-operationstatus/?$rid=R&operationId=O       ─▶ res/202/… while assigning, then res/200/?$rid=R
//! ```

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::Resource;
use pollux_model::{Error, RegistrationId, Result, Timestamp};
use pollux_mqtt::ConnectRefusal;
use pollux_services::caller::Identity;
use pollux_services::provisioning::{OperationStatus, RegisterRequest, contract};
use pollux_services::{Caller, Services};
use serde_json::{Map, Value, json};

use super::session::{BatchEnd, Close, Ending, Handling, Inbound, Outbound, Session};
use super::topic;
use crate::provisioning_status;

const ANSWERS: &str = "$dps/registrations/res/#";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/";
const STATUS: &str = "$dps/registrations/GET/iotdps-get-operationstatus/";

/// One registering device.
#[derive(Debug)]
pub(super) struct ProvisioningSession(Arc<Own>);

#[derive(Debug)]
struct Own {
    services: Arc<Services>,
    dps: Arc<Resource>,
    caller: Caller,
    id: RegistrationId,
}

impl ProvisioningSession {
    /// A session of a device that has proved its registration id.
    pub(super) fn open(
        services: Arc<Services>,
        dps: Arc<Resource>,
        caller: Caller,
    ) -> Result<Box<dyn Session>, ConnectRefusal> {
        let Identity::Registration { id, .. } = &caller.identity else {
            return Err(ConnectRefusal::NotAuthorized);
        };
        let id = id.clone();
        Ok(Box::new(Self(Arc::new(Own { services, dps, caller, id }))))
    }

    fn request(&self, message: &Inbound) -> Result<Handling, Close> {
        if let Some(query) = message.topic.strip_prefix(REGISTER) {
            let rid = topic::request_id(query)?.to_owned();
            let force = topic::value(query, "forceRegistration");
            let force = force.is_some_and(|value| value.eq_ignore_ascii_case("true"));
            let (own, body) = (Arc::clone(&self.0), message.payload.clone());
            return Ok(Handling::Request(Box::pin(async move {
                let outcome = own.register(&body, force).await;
                Ok(vec![own.answer(&rid, outcome)])
            })));
        }
        if let Some(query) = message.topic.strip_prefix(STATUS) {
            let rid = topic::request_id(query)?.to_owned();
            let operation = topic::decode(topic::value(query, "operationId").unwrap_or_default())?;
            let own = Arc::clone(&self.0);
            return Ok(Handling::Request(Box::pin(async move {
                let outcome = own.status(&operation).await;
                Ok(vec![own.answer(&rid, outcome)])
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
        self.0.caller.expires
    }

    fn ended(self: Box<Self>, _how: Ending) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

impl Own {
    async fn register(&self, body: &[u8], force: bool) -> Result<(u16, Value)> {
        let payload = self.registration(body)?;
        let request = RegisterRequest { payload, force };
        let begun = self.services.provisioning.register(&self.caller, &self.dps, request).await?;
        Ok((202, json!({"operationId": begun.operation_id, "status": "assigning"})))
    }

    /// The payload of a registration's body (`DeviceRegistration` of the DPS device API; names without regard to case,
    /// as the real service reads them).
    fn registration(&self, body: &[u8]) -> Result<Option<Value>> {
        let text = body.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(text)
            .map_err(|error| Error::invalid(format!("the body must be a JSON object: {error}")))?;
        let mut take = |name: &str| {
            let key = fields.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()?;
            fields.swap_remove(&key).filter(|value| !value.is_null())
        };
        match take("registrationId") {
            None => {}
            Some(Value::String(id)) if id.eq_ignore_ascii_case(&self.id) => {}
            Some(_) => return Err(Error::invalid("registrationId must be that of the user name")),
        }
        if take("tpm").is_some() {
            return Err(Error::invalid("TPM attestation does not work over MQTT: use HTTPS or AMQP"));
        }
        Ok(take("payload"))
    }

    async fn status(&self, operation_id: &str) -> Result<(u16, Value)> {
        let provisioning = &self.services.provisioning;
        let found = provisioning.operation_status(&self.caller, &self.dps, &self.id, operation_id).await?;
        let OperationStatus { operation_id, registration } = found;
        let status = if registration.status == RegistrationStatus::Assigning { 202 } else { 200 };
        let state = contract::device_registration_state(&registration);
        let body = json!({
            "operationId": operation_id,
            "status": registration.status.as_str(),
            "registrationState": state,
        });
        Ok((status, body))
    }

    fn answer(&self, rid: &str, outcome: Result<(u16, Value)>) -> Outbound {
        let context = &self.services.context;
        let (status, body) = outcome.unwrap_or_else(|error| {
            (provisioning_status::status(error.code).0, provisioning_status::envelope(context, &error))
        });
        let mut topic = format!("$dps/registrations/res/{status}/?$rid={rid}");
        if matches!(status, 202 | 429 | 500..) {
            topic.push_str(&format!("&retry-after={}", context.limits.registration_retry_after_seconds));
        }
        Outbound { topic, payload: Bytes::from(body.to_string()) }
    }
}
