//! An MQTT 3.1.1 client that is small enough to hold ten thousand of: one task and one TLS session each.
//!
//! It speaks only MQTT; what the topics of provisioning and hub mean is in `provisioning_device` and `hub_device`.

mod handshake;
mod task;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::sync::{mpsc, oneshot};

pub use handshake::{ConnectError, RefusalCode};
pub use rmqtt_codec::types::QoS;
use task::Command;

/// Messages from the server that wait for the application before the client stops reading.
const INCOMING: usize = 64;
/// Requests of the application that wait for the client's task.
const COMMANDS: usize = 64;
/// Longest topic MQTT can say, in bytes.
const MAX_TOPIC: usize = 65_535;
/// Longest payload sent, in bytes. Far above what any of the services takes, so that their limits can be tried.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// Where a service is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name the certificate must carry; goes into SNI.
    pub host: String,
    /// 8883 at Azure.
    pub port: u16,
    /// Where to connect instead of where `host` and `port` lead.
    pub address: Option<SocketAddr>,
    /// See [`crate::tls`].
    pub tls: Arc<rustls::ClientConfig>,
}

/// What the CONNECT says.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The client id.
    pub client_id: String,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// False: the server keeps the session.
    pub clean_session: bool,
    /// In seconds; 0 for none.
    pub keep_alive: u16,
    /// Topic and payload of the message for the case that the client vanishes (QoS 1).
    pub will: Option<(String, Bytes)>,
    /// For TCP, TLS and CONNACK together.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            username: None,
            password: None,
            clean_session: true,
            keep_alive: 60,
            will: None,
            timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ConnectOptions {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// How long each step of a connection took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectTimings {
    /// Until the TCP connection stood.
    pub tcp: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From CONNECT to CONNACK.
    pub connack: Duration,
}

/// A message from the server. It was acknowledged when it was put into the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The topic name.
    pub topic: ByteString,
    /// The body.
    pub payload: Bytes,
    /// At QoS 0 or 1.
    pub qos: QoS,
    /// Whether it may have come before.
    pub dup: bool,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// This side asked for it, or let go of the device.
    #[error("disconnected")]
    ByUs,
    /// The server closed it.
    #[error("the server closed the connection")]
    ByServer,
    /// A ping was not answered within the keep-alive.
    #[error("the server does not answer pings")]
    Silent,
    /// The server sent what it must not.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Why a request to a connected device failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The connection is gone; whether the request reached the server is not known.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// MQTT cannot say it.
    #[error("the topic or payload is longer than MQTT allows")]
    TooLong,
}

/// A connected client. Clones speak over the same connection; when the last is dropped, it says goodbye.
#[derive(Clone, Debug)]
pub struct MqttDevice {
    commands: mpsc::Sender<Command>,
    closed: Arc<OnceLock<Closed>>,
    timings: ConnectTimings,
    session_present: bool,
}

impl MqttDevice {
    /// Connects: TCP, TLS, CONNECT, CONNACK. The receiver hands out what the server publishes and ends with the
    /// connection; while it is full, nothing is read.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        endpoint: &Endpoint,
        options: ConnectOptions,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), ConnectError> {
        let keep_alive = Duration::from_secs(options.keep_alive.into());
        let connected = handshake::connect(endpoint, options).await?;
        let (commands, requests) = mpsc::channel(COMMANDS);
        let (deliver, incoming) = mpsc::channel(INCOMING);
        let closed = Arc::new(OnceLock::new());
        let device = Self {
            commands,
            closed: Arc::clone(&closed),
            timings: connected.timings,
            session_present: connected.session_present,
        };
        tokio::spawn(task::run(connected, requests, deliver, keep_alive, closed));
        Ok((device, incoming))
    }

    /// How long connecting took.
    #[must_use]
    pub const fn timings(&self) -> ConnectTimings {
        self.timings
    }

    /// Whether the server went on with a session it had kept.
    #[must_use]
    pub const fn session_present(&self) -> bool {
        self.session_present
    }

    /// Publishes and waits for the acknowledgement (QoS 0: until it is on its way).
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn publish(
        &self,
        topic: impl Into<ByteString>,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Result<(), DeviceError> {
        self.publish_start(topic, payload, qos).await?.await
    }

    /// Publishes and gives back the wait for the acknowledgement, so that many can be under way.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn publish_start(
        &self,
        topic: impl Into<ByteString>,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Result<PublishAck, DeviceError> {
        let (topic, payload) = (topic.into(), payload.into());
        if topic.len() > MAX_TOPIC || payload.len() > MAX_PAYLOAD {
            return Err(DeviceError::TooLong);
        }
        let (done, acknowledged) = oneshot::channel();
        self.command(Command::Publish { topic, payload, qos, done }).await?;
        Ok(PublishAck { acknowledged, closed: Arc::clone(&self.closed) })
    }

    /// Subscribes; for each filter the QoS granted, or none where the server refused.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn subscribe(&self, filters: &[(&str, QoS)]) -> Result<Vec<Option<QoS>>, DeviceError> {
        let filters: Vec<_> = filters.iter().map(|(filter, qos)| (ByteString::from(*filter), *qos)).collect();
        if filters.iter().any(|(filter, _)| filter.len() > MAX_TOPIC) {
            return Err(DeviceError::TooLong);
        }
        let (done, granted) = oneshot::channel();
        self.command(Command::Subscribe { filters, done }).await?;
        granted.await.map_err(|_| self.gone())
    }

    /// Unsubscribes.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn unsubscribe(&self, filters: &[&str]) -> Result<(), DeviceError> {
        let filters: Vec<_> = filters.iter().map(|filter| ByteString::from(*filter)).collect();
        if filters.iter().any(|filter| filter.len() > MAX_TOPIC) {
            return Err(DeviceError::TooLong);
        }
        let (done, answered) = oneshot::channel();
        self.command(Command::Unsubscribe { filters, done }).await?;
        answered.await.map_err(|_| self.gone())
    }

    /// Says goodbye (the will is not published) and waits until the connection is gone.
    pub async fn disconnect(&self) {
        if self.commands.send(Command::Disconnect).await.is_ok() {
            self.commands.closed().await;
        }
    }

    /// Drops the connection without a goodbye, as a device that loses power does, and waits until it is gone.
    pub async fn vanish(&self) {
        if self.commands.send(Command::Vanish).await.is_ok() {
            self.commands.closed().await;
        }
    }

    /// Waits until the connection is gone, whoever ended it.
    pub async fn closed(&self) -> Closed {
        self.commands.closed().await;
        self.why()
    }

    async fn command(&self, command: Command) -> Result<(), DeviceError> {
        self.commands.send(command).await.map_err(|_| self.gone())
    }

    fn gone(&self) -> DeviceError {
        DeviceError::Closed(self.why())
    }

    fn why(&self) -> Closed {
        self.closed.get().cloned().unwrap_or(Closed::ByServer)
    }
}

/// The wait for the acknowledgement of one message.
#[derive(Debug)]
pub struct PublishAck {
    acknowledged: oneshot::Receiver<()>,
    closed: Arc<OnceLock<Closed>>,
}

impl Future for PublishAck {
    type Output = Result<(), DeviceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.acknowledged)
            .poll(cx)
            .map_err(|_| DeviceError::Closed(self.closed.get().cloned().unwrap_or(Closed::ByServer)))
    }
}
