//! A device at the hub, over MQTT: telemetry, twin, desired properties, direct methods, messages from the cloud
//! (WIRE.md 4.7; Azure article "Communicate with an IoT hub using the MQTT protocol").

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::credential::Credential;
use crate::device::{
    Closed, ConnectError, ConnectOptions, DeviceError, Endpoint, Incoming, MqttDevice, PublishAck, QoS,
};
use crate::properties::Properties;
use crate::topic::answer;

const TWIN_ANSWERS: &str = "$iothub/twin/res/";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";
const METHODS: &str = "$iothub/methods/POST/";
/// For an answer about the twin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Events that wait for the application; behind them twin answers wait too, so read or drop the receiver.
const EVENTS: usize = 64;

/// How a device connects to its hub.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Host name of the hub, as the registration gave it; goes into user name and token.
    pub host: String,
    /// The device id.
    pub device_id: String,
    /// Its key, a token, or the certificate of the TLS configuration.
    pub credential: Credential,
    /// DTDL id of the device's model, for plug and play.
    pub model_id: Option<String>,
    /// False as with the SDKs: the hub keeps subscriptions and messages.
    pub clean_session: bool,
    /// In seconds.
    pub keep_alive: u16,
    /// Body of the message the hub sends to telemetry when the device vanishes.
    pub will: Option<Bytes>,
}

impl HubOptions {
    /// As the SDKs connect.
    #[must_use]
    pub fn new(host: &str, device_id: &str, credential: Credential) -> Self {
        Self {
            host: host.to_owned(),
            device_id: device_id.to_owned(),
            credential,
            model_id: None,
            clean_session: false,
            keep_alive: 60,
            will: None,
        }
    }
}

/// What the hub sends unasked.
#[derive(Debug, Clone, PartialEq)]
pub enum HubEvent {
    /// Desired properties changed. Needs [`HubDevice::subscribe_desired`].
    Desired {
        /// `$version` after the change.
        version: Option<u64>,
        /// What changed; null deletes.
        patch: Value,
    },
    /// A direct method is called; answer with [`HubDevice::respond`]. Needs [`HubDevice::subscribe_methods`].
    Method {
        /// The method's name.
        name: String,
        /// To be given back with the answer.
        request_id: String,
        /// The argument; null when there is none.
        payload: Value,
    },
    /// A message from the cloud. Needs [`HubDevice::subscribe_messages`].
    Message {
        /// Its property bag.
        properties: Properties,
        /// Its body.
        body: Bytes,
    },
}

/// Why the hub did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The connection is gone, or the request is too long.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A subscription was refused.
    #[error("the hub refused the subscription to '{0}'")]
    SubscriptionRefused(String),
    /// The hub answered no.
    #[error("the hub answered {status}: {body}")]
    Refused {
        /// As in HTTP.
        status: u16,
        /// What the hub said.
        body: String,
    },
    /// The answer is not JSON.
    #[error("the hub's answer is not JSON: {0}")]
    NotJson(String),
    /// No answer within 30 seconds.
    #[error("the hub did not answer within {0:?}")]
    Timeout(Duration),
}

struct TwinAnswer {
    status: u16,
    version: Option<u64>,
    body: Bytes,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<TwinAnswer>>>>;

/// A device connected to its hub. Clones share the connection.
#[derive(Clone, Debug)]
pub struct HubDevice {
    device: MqttDevice,
    id: Arc<str>,
    waiting: Waiting,
    next_id: Arc<AtomicU32>,
    twin_subscribed: Arc<OnceCell<()>>,
}

impl std::fmt::Debug for TwinAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TwinAnswer({})", self.status)
    }
}

impl HubDevice {
    /// Connects. The receiver hands out what the hub sends unasked and ends with the connection.
    ///
    /// # Errors
    /// See [`ConnectError`]; a wrong key shows as `Refused(NotAuthorized)`.
    pub async fn connect(
        endpoint: &Endpoint,
        options: HubOptions,
    ) -> Result<(Self, mpsc::Receiver<HubEvent>), ConnectError> {
        let id = &options.device_id;
        let will = options.will.map(|body| (format!("devices/{id}/messages/events/"), body));
        let connect = ConnectOptions {
            client_id: id.clone(),
            username: Some(username(&options.host, id, options.model_id.as_deref())),
            password: options.credential.password(&format!("{}/devices/{id}", options.host), None),
            clean_session: options.clean_session,
            keep_alive: options.keep_alive,
            will,
            ..ConnectOptions::default()
        };
        let (device, incoming) = MqttDevice::connect(endpoint, connect).await?;
        let (events, receiver) = mpsc::channel(EVENTS);
        let waiting = Waiting::default();
        tokio::spawn(dispatch(incoming, Arc::clone(&waiting), events));
        let hub = Self {
            device,
            id: options.device_id.into(),
            waiting,
            next_id: Arc::default(),
            twin_subscribed: Arc::default(),
        };
        Ok((hub, receiver))
    }

    /// The MQTT connection itself.
    #[must_use]
    pub const fn mqtt(&self) -> &MqttDevice {
        &self.device
    }

    /// Sends a message and waits until the hub has it safe.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn send(&self, body: impl Into<Bytes>, properties: &Properties) -> Result<(), HubError> {
        Ok(self.send_start(body, properties).await?.await?)
    }

    /// Sends a message and gives back the wait for the acknowledgement.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn send_start(
        &self,
        body: impl Into<Bytes>,
        properties: &Properties,
    ) -> Result<PublishAck, HubError> {
        let topic = format!("devices/{}/messages/events/{}", self.id, properties.encode());
        Ok(self.device.publish_start(topic, body, QoS::AtLeastOnce).await?)
    }

    /// The twin's properties: `{"desired": {…, "$version": n}, "reported": {…, "$version": n}}`.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn twin(&self) -> Result<Value, HubError> {
        let answer = self.twin_request("$iothub/twin/GET/", Bytes::from_static(b" ")).await?;
        serde_json::from_slice(&answer.body).map_err(|error| HubError::NotJson(error.to_string()))
    }

    /// Changes reported properties (null deletes). Their new version, where the hub tells it.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn report(&self, patch: &Value) -> Result<Option<u64>, HubError> {
        let body = Bytes::from(patch.to_string());
        Ok(self.twin_request("$iothub/twin/PATCH/properties/reported/", body).await?.version)
    }

    /// Asks for [`HubEvent::Desired`].
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn subscribe_desired(&self) -> Result<(), HubError> {
        self.subscribe("$iothub/twin/PATCH/properties/desired/#").await
    }

    /// Asks for [`HubEvent::Method`].
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn subscribe_methods(&self) -> Result<(), HubError> {
        self.subscribe("$iothub/methods/POST/#").await
    }

    /// Asks for [`HubEvent::Message`].
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn subscribe_messages(&self) -> Result<(), HubError> {
        self.subscribe(&format!("devices/{}/messages/devicebound/#", self.id)).await
    }

    /// Answers a direct method.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn respond(&self, request_id: &str, status: u16, body: &Value) -> Result<(), HubError> {
        let topic = format!("$iothub/methods/res/{status}/?$rid={request_id}");
        Ok(self.device.publish(topic, body.to_string(), QoS::AtLeastOnce).await?)
    }

    /// Says goodbye.
    pub async fn disconnect(&self) {
        self.device.disconnect().await;
    }

    /// Waits until the connection is gone, whoever ended it.
    pub async fn closed(&self) -> Closed {
        self.device.closed().await
    }

    async fn subscribe(&self, filter: &str) -> Result<(), HubError> {
        let granted = self.device.subscribe(&[(filter, QoS::AtLeastOnce)]).await?;
        if granted == [None] { Err(HubError::SubscriptionRefused(filter.to_owned())) } else { Ok(()) }
    }

    async fn twin_request(&self, topic: &str, body: Bytes) -> Result<TwinAnswer, HubError> {
        self.twin_subscribed.get_or_try_init(|| self.subscribe("$iothub/twin/res/#")).await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let (done, answered) = oneshot::channel();
        self.waiting.lock().insert(id.clone(), done);
        let asked = async {
            self.device.publish(format!("{topic}?$rid={id}"), body, QoS::AtLeastOnce).await?;
            Ok(answered.await.ok())
        };
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, asked).await;
        self.waiting.lock().remove(&id);
        match answer {
            Err(_) => Err(HubError::Timeout(REQUEST_TIMEOUT)),
            Ok(Err(error)) => Err(HubError::Device(error)),
            Ok(Ok(None)) => Err(HubError::Device(DeviceError::Closed(self.device.closed().await))),
            Ok(Ok(Some(answer))) if answer.status >= 300 => Err(HubError::Refused {
                status: answer.status,
                body: String::from_utf8_lossy(&answer.body).into_owned(),
            }),
            Ok(Ok(Some(answer))) => Ok(answer),
        }
    }
}

fn username(host: &str, id: &str, model_id: Option<&str>) -> String {
    let agent = concat!("pollux-client%2F", env!("CARGO_PKG_VERSION"));
    let model = model_id.map(|id| format!("&model-id={}", utf8_percent_encode(id, NON_ALPHANUMERIC)));
    format!("{host}/{id}/?api-version=2021-04-12{}&DeviceClientType={agent}", model.unwrap_or_default())
}

/// Sorts what comes in: answers to who waits for them, the rest to the application. Ends with the connection.
async fn dispatch(mut incoming: mpsc::Receiver<Incoming>, waiting: Waiting, events: mpsc::Sender<HubEvent>) {
    while let Some(message) = incoming.recv().await {
        if let Some(answer) = answer(TWIN_ANSWERS, &message.topic) {
            let waiter = answer.properties.get("$rid").and_then(|id| waiting.lock().remove(id));
            let version = answer.properties.get("$version").and_then(|text| text.parse().ok());
            if let Some(waiter) = waiter {
                let _ = waiter.send(TwinAnswer { status: answer.status, version, body: message.payload });
            }
        } else if let Some(event) = event(message) {
            // An application that dropped the receiver does not want to know.
            let _ = events.send(event).await;
        }
    }
    waiting.lock().clear();
}

fn event(message: Incoming) -> Option<HubEvent> {
    let json = || serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
    if let Some(bag) = message.topic.strip_prefix(DESIRED) {
        let version = Properties::decode(bag).get("$version").and_then(|text| text.parse().ok());
        return Some(HubEvent::Desired { version, patch: json() });
    }
    if let Some((name, bag)) = message.topic.strip_prefix(METHODS).and_then(|rest| rest.split_once("/?")) {
        let request_id = Properties::decode(bag).get("$rid")?.to_owned();
        return Some(HubEvent::Method { name: name.to_owned(), request_id, payload: json() });
    }
    let (_, bag) = message.topic.strip_prefix("devices/")?.split_once("/messages/devicebound/")?;
    Some(HubEvent::Message { properties: Properties::decode(bag), body: message.payload })
}
