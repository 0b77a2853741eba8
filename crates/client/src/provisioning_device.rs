//! A device that asks the provisioning service where it belongs, over MQTT (WIRE.md 4.2; Azure article "Communicate
//! with DPS using the MQTT protocol").

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::credential::Credential;
use crate::device::{Closed, ConnectError, ConnectOptions, DeviceError, Endpoint, Incoming, MqttDevice, QoS};
use crate::topic::answer;

const ANSWERS: &str = "$dps/registrations/res/";
/// For one answer, as in Azure's Python SDK.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at an operation when the service names no time, as in Azure's Python SDK.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait the service may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// Who registers, and with what.
#[derive(Debug, Clone)]
pub struct Registration {
    /// `0ne…`.
    pub id_scope: String,
    /// The registration id.
    pub registration_id: String,
    /// The device's own key (for a group: derived), a token, or the certificate of the TLS configuration.
    pub credential: Credential,
    /// Goes to the allocation function, `{"modelId": …}`.
    pub payload: Option<Value>,
    /// For everything together.
    pub timeout: Duration,
}

impl Registration {
    /// With a key, without a payload, within a minute.
    #[must_use]
    pub fn new(id_scope: &str, registration_id: &str, credential: Credential) -> Self {
        Self {
            id_scope: id_scope.to_owned(),
            registration_id: registration_id.to_owned(),
            credential,
            payload: None,
            timeout: Duration::from_secs(60),
        }
    }

    /// Adds the payload.
    #[must_use]
    pub fn payload(mut self, payload: Value) -> Self {
        self.payload = Some(payload);
        self
    }
}

/// One step of a registration and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// `tcp`, `tls`, `connect`, `subscribe`, `register`, `wait`, `poll`.
    pub name: &'static str,
    /// Its duration.
    pub took: Duration,
}

/// Where a device belongs.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Host name of the hub.
    pub assigned_hub: String,
    /// The device's id there.
    pub device_id: String,
    /// `initialAssignment`, `reprovisionedToInitialAssignment`, …
    pub substatus: Option<String>,
    /// What the allocation function sends to the device.
    pub payload: Option<Value>,
    /// The whole `registrationState`.
    pub state: Value,
    /// What happened, in order.
    pub hops: Vec<Hop>,
}

/// Why a registration failed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// No connection.
    #[error("cannot connect to the provisioning service: {0}")]
    Connect(#[from] ConnectError),
    /// The connection was lost on the way. The service closes it, without a word, when it does not know the scope.
    #[error("the provisioning service: {0}")]
    Lost(#[from] DeviceError),
    /// The subscription for the answers was refused.
    #[error("the provisioning service refused the subscription to '$dps/registrations/res/#'")]
    SubscriptionRefused,
    /// The service said no.
    #[error("the provisioning service answered {status}: {message}")]
    Refused {
        /// As in HTTP.
        status: u16,
        /// What the service said.
        message: String,
        /// Its whole answer.
        body: Value,
    },
    /// The operation ended, but not with an assignment.
    #[error("the registration is {status}: {message}")]
    NotAssigned {
        /// `failed`, `disabled`, …
        status: String,
        /// `errorMessage` of the registration.
        message: String,
        /// The whole `registrationState`.
        state: Value,
    },
    /// The answer is not what the contract says.
    #[error("the provisioning service sent an answer without {0}")]
    BadAnswer(&'static str),
    /// Longer than [`Registration::timeout`], or one request longer than 30 seconds.
    #[error("no answer from the provisioning service within {0:?}")]
    Timeout(Duration),
}

/// Registers a device and waits until it is assigned to a hub.
///
/// # Errors
/// See [`RegisterError`].
pub async fn register(endpoint: &Endpoint, registration: &Registration) -> Result<Assignment, RegisterError> {
    let all = attempt(endpoint, registration);
    let timeout = registration.timeout;
    tokio::time::timeout(timeout, all).await.map_err(|_| RegisterError::Timeout(timeout))?
}

async fn attempt(endpoint: &Endpoint, registration: &Registration) -> Result<Assignment, RegisterError> {
    let mut session = Session::open(endpoint, registration).await?;
    let mut body = json!({ "registrationId": registration.registration_id });
    if let Some(payload) = &registration.payload {
        body["payload"] = payload.clone();
    }
    let put = "$dps/registrations/PUT/iotdps-register/?";
    let mut reply = session.request("register", put, &body.to_string()).await?;
    let operation = match &reply.body["operationId"] {
        Value::String(id) => id.clone(),
        _ if reply.body["registrationState"].is_object() => String::new(),
        _ => return Err(RegisterError::BadAnswer("operationId")),
    };
    let get = format!("$dps/registrations/GET/iotdps-get-operationstatus/?operationId={operation}&");
    while reply.status == 202 || matches!(reply.body["status"].as_str(), Some("assigning" | "unassigned")) {
        session.wait(reply.retry_after).await;
        reply = session.request("poll", &get, " ").await?;
    }
    session.device.disconnect().await;
    assignment(reply.body, session.hops)
}

/// A connection to the service with its answers coming in.
struct Session {
    device: MqttDevice,
    incoming: mpsc::Receiver<Incoming>,
    hops: Vec<Hop>,
    requests: u32,
}

struct Reply {
    status: u16,
    retry_after: Option<Duration>,
    body: Value,
}

impl Session {
    async fn open(endpoint: &Endpoint, registration: &Registration) -> Result<Self, RegisterError> {
        let (scope, id) = (&registration.id_scope, &registration.registration_id);
        let resource = format!("{scope}/registrations/{id}");
        let agent = concat!("pollux-client%2F", env!("CARGO_PKG_VERSION"));
        let options = ConnectOptions {
            client_id: id.clone(),
            username: Some(format!("{resource}/api-version=2019-03-31&ClientVersion={agent}")),
            password: registration.credential.password(&resource, Some("registration")),
            ..ConnectOptions::default()
        };
        let (device, incoming) = MqttDevice::connect(endpoint, options).await?;
        let timings = device.timings();
        let hops = [("tcp", timings.tcp), ("tls", timings.tls), ("connect", timings.connack)];
        let hops = hops.into_iter().map(|(name, took)| Hop { name, took }).collect();
        let mut session = Self { device, incoming, hops, requests: 0 };
        let start = Instant::now();
        let granted = session.device.subscribe(&[("$dps/registrations/res/#", QoS::AtLeastOnce)]).await?;
        session.hop("subscribe", start);
        if granted != [None] { Ok(session) } else { Err(RegisterError::SubscriptionRefused) }
    }

    fn hop(&mut self, name: &'static str, start: Instant) {
        self.hops.push(Hop { name, took: start.elapsed() });
    }

    async fn wait(&mut self, retry_after: Option<Duration>) {
        let start = Instant::now();
        tokio::time::sleep(retry_after.unwrap_or(POLL_INTERVAL).min(MAX_RETRY_AFTER)).await;
        self.hop("wait", start);
    }

    /// Asks until there is an answer that is not "later" (429 and 5xx, as the SDKs do).
    async fn request(&mut self, hop: &'static str, topic: &str, body: &str) -> Result<Reply, RegisterError> {
        loop {
            let start = Instant::now();
            let reply = tokio::time::timeout(REQUEST_TIMEOUT, self.ask(topic, body)).await;
            let reply = reply.map_err(|_| RegisterError::Timeout(REQUEST_TIMEOUT))??;
            self.hop(hop, start);
            match reply.status {
                429 | 500..=599 => self.wait(reply.retry_after).await,
                300.. => return Err(refused(reply)),
                _ => return Ok(reply),
            }
        }
    }

    async fn ask(&mut self, topic: &str, body: &str) -> Result<Reply, RegisterError> {
        self.requests += 1;
        let id = self.requests.to_string();
        let payload = Bytes::copy_from_slice(body.as_bytes());
        self.device.publish(format!("{topic}$rid={id}"), payload, QoS::AtLeastOnce).await?;
        while let Some(message) = self.incoming.recv().await {
            let Some(answer) = answer(ANSWERS, &message.topic) else { continue };
            if answer.properties.get("$rid") != Some(&id) {
                continue;
            }
            let seconds = answer.properties.get("retry-after").and_then(|text| text.parse().ok());
            // An error may come with a text that is not JSON.
            let text = || Value::String(String::from_utf8_lossy(&message.payload).into_owned());
            let body = serde_json::from_slice(&message.payload).unwrap_or_else(|_| text());
            return Ok(Reply { status: answer.status, retry_after: seconds.map(Duration::from_secs), body });
        }
        let why: Closed = self.device.closed().await;
        Err(DeviceError::Closed(why).into())
    }
}

fn refused(reply: Reply) -> RegisterError {
    let message = match (&reply.body["message"], &reply.body) {
        (Value::String(message), _) | (_, Value::String(message)) => message.clone(),
        (_, body) => body.to_string(),
    };
    RegisterError::Refused { status: reply.status, message, body: reply.body }
}

fn assignment(mut body: Value, hops: Vec<Hop>) -> Result<Assignment, RegisterError> {
    let state = body.get_mut("registrationState").map(Value::take).unwrap_or_default();
    let text = |name: &str| state[name].as_str().map(str::to_owned);
    let status = text("status").or_else(|| body["status"].as_str().map(str::to_owned));
    match status.as_deref() {
        Some("assigned") => {}
        None => return Err(RegisterError::BadAnswer("status")),
        Some(other) => {
            let status = other.to_owned();
            let message = text("errorMessage").unwrap_or_else(|| "no reason given".to_owned());
            return Err(RegisterError::NotAssigned { status, message, state });
        }
    }
    Ok(Assignment {
        assigned_hub: text("assignedHub").ok_or(RegisterError::BadAnswer("assignedHub"))?,
        device_id: text("deviceId").ok_or(RegisterError::BadAnswer("deviceId"))?,
        substatus: text("substatus"),
        payload: state.get("payload").filter(|payload| !payload.is_null()).cloned(),
        hops,
        state,
    })
}
