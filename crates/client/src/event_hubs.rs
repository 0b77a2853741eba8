//! An Event Hubs client over AMQP 1.0: sends, receives, asks what there is. For Pollux and for Azure alike.
//!
//! One connection, one session, one task ([`driver`]); links are attached when they are first needed. Authenticates by SASL
//! PLAIN with a shared access policy and its key (Azure article "AMQP 1.0 in Azure Service Bus and Event Hubs protocol
//! guide").

mod driver;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_amqp::performative::Error as AmqpError;
use pollux_amqp::{Annotations, ApplicationProperties, Body, Message, Properties, Symbol, Value};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;

use crate::{ConnectionString, Endpoint};
use driver::{Command, Driver};

/// How long connecting may take, and a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Commands that wait for the task.
const COMMANDS: usize = 64;
/// Events that wait for the application before no more are asked for.
const INCOMING: u32 = 512;

/// The message format of several messages in one (`message.py` of PyPI's azure-eventhub).
const BATCH_FORMAT: u32 = 0x8001_3700;

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EventHubsError {
    /// The server cannot be reached, or not securely.
    #[error("cannot connect to {0}")]
    Connect(String),
    /// The policy or its key does not hold.
    #[error("the server refuses the shared access policy and its key")]
    Refused,
    /// The server says why: a link, a message or the connection has come to an end.
    #[error("{0}")]
    Said(AmqpError),
    /// A request was refused, in the server's words.
    #[error("{0}")]
    Denied(String),
    /// The connection is gone.
    #[error("the connection is gone: {0}")]
    Gone(String),
    /// An answer that is none.
    #[error("the server answered what was not asked: {0}")]
    Answer(String),
}

/// What there is in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStats {
    /// The partition.
    pub id: String,
    /// The oldest event's sequence number; in an empty partition the next one's.
    pub begin: i64,
    /// The newest event's sequence number; -1 before the first.
    pub last: i64,
    /// Its offset.
    pub last_offset: String,
    /// When it came, in milliseconds since the Unix epoch.
    pub last_enqueued: i64,
    /// Whether there is nothing to read.
    pub is_empty: bool,
}

/// A connection to a namespace.
#[derive(Debug, Clone)]
pub struct EventHubs {
    commands: mpsc::Sender<Command>,
}

/// Events of a partition as they come, until the link ends.
pub type Events = mpsc::Receiver<Result<Message, EventHubsError>>;

impl EventHubs {
    /// Connects; `policy` is the namespace's or event hub's connection string.
    ///
    /// # Errors
    /// [`EventHubsError::Connect`], [`EventHubsError::Refused`].
    pub async fn connect(endpoint: &Endpoint, policy: &ConnectionString) -> Result<Self, EventHubsError> {
        let connecting = Self::connect_now(endpoint, policy);
        let late = |_| EventHubsError::Connect(format!("{}: it takes too long", endpoint.host));
        tokio::time::timeout(PATIENCE, connecting).await.map_err(late)?
    }

    async fn connect_now(endpoint: &Endpoint, policy: &ConnectionString) -> Result<Self, EventHubsError> {
        let failed = |error: std::io::Error| EventHubsError::Connect(format!("{}: {error}", endpoint.host));
        let stream = match endpoint.address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await,
        };
        let stream = stream.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_| EventHubsError::Connect(format!("'{}' is no host name", endpoint.host)))?;
        let connector = TlsConnector::from(Arc::clone(&endpoint.tls));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (ready, is_ready) = oneshot::channel();
        let driver = Driver::new(policy, &endpoint.host, asked, ready);
        tokio::spawn(driver.run(stream));
        is_ready.await.map_err(|_| EventHubsError::Gone("while it was opened".to_owned()))??;
        Ok(Self { commands })
    }

    /// Sends messages in their order to `<hub>` or `<hub>/Partitions/<n>`; returns when each is accepted.
    ///
    /// # Errors
    /// [`EventHubsError::Said`] with the first refusal; those before it are kept.
    pub async fn send(&self, address: &str, messages: Vec<Bytes>) -> Result<(), EventHubsError> {
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            let (reply, answer) = oneshot::channel();
            self.tell(Command::Send { address: address.to_owned(), format: 0, message, reply }).await?;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.map_err(|_| gone())??;
        }
        Ok(())
    }

    /// Sends messages of one partition key in their order as one: all of them are accepted or none.
    ///
    /// # Errors
    /// [`EventHubsError::Said`] with the refusal.
    pub async fn send_together(
        &self,
        address: &str,
        key: &str,
        messages: Vec<Bytes>,
    ) -> Result<(), EventHubsError> {
        let mut message_annotations = Annotations::default();
        message_annotations.push(Symbol::from_static("x-opt-partition-key"), key);
        let batch = Message { message_annotations, body: Body::Data(messages), ..Message::default() };
        let (reply, answer) = oneshot::channel();
        let (address, message) = (address.to_owned(), batch.encode());
        self.tell(Command::Send { address, format: BATCH_FORMAT, message, reply }).await?;
        answer.await.map_err(|_| gone())?
    }

    /// Receives from a partition of a consumer group. `selector`: where to begin, such as
    /// `amqp.annotation.x-opt-offset > '-1'`.
    ///
    /// # Errors
    /// [`EventHubsError::Gone`]; a refusal comes as the first event.
    pub async fn receive(
        &self,
        event_hub: &str,
        group: &str,
        partition: &str,
        selector: Option<&str>,
    ) -> Result<Events, EventHubsError> {
        let (events, come) = mpsc::channel(INCOMING as usize);
        let address = format!("{event_hub}/ConsumerGroups/{group}/Partitions/{partition}");
        self.tell(Command::Receive { address, selector: selector.map(str::to_owned), events }).await?;
        Ok(come)
    }

    /// The partitions of an event hub.
    ///
    /// # Errors
    /// [`EventHubsError::Said`] for one there is not.
    pub async fn partitions(&self, event_hub: &str) -> Result<Vec<String>, EventHubsError> {
        let answer = self.read("com.microsoft:eventhub", event_hub, None).await?;
        let Some(Value::Array(ids)) = field(&answer, "partition_ids") else {
            return Err(EventHubsError::Answer("there are no partition_ids".to_owned()));
        };
        Ok(ids.elements().iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect())
    }

    /// What there is in a partition.
    ///
    /// # Errors
    /// [`EventHubsError::Said`] for one there is not.
    pub async fn partition(&self, event_hub: &str, id: &str) -> Result<PartitionStats, EventHubsError> {
        let answer = self.read("com.microsoft:partition", event_hub, Some(id)).await?;
        let number = |name: &str| match field(&answer, name) {
            Some(Value::Timestamp(millis)) => *millis,
            other => other.and_then(Value::as_i64).unwrap_or(-1),
        };
        Ok(PartitionStats {
            id: id.to_owned(),
            begin: number("begin_sequence_number"),
            last: number("last_enqueued_sequence_number"),
            last_offset: field(&answer, "last_enqueued_offset")
                .and_then(Value::as_str)
                .unwrap_or("-1")
                .to_owned(),
            last_enqueued: number("last_enqueued_time_utc"),
            is_empty: field(&answer, "is_partition_empty") == Some(&Value::Bool(true)),
        })
    }

    /// Whether the connection has come to an end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// Says goodbye.
    pub async fn close(self) {
        // The task may have ended already.
        let _ = self.commands.send(Command::Close).await;
        self.commands.closed().await;
    }

    async fn read(
        &self,
        kind: &str,
        name: &str,
        partition: Option<&str>,
    ) -> Result<Vec<(Value, Value)>, EventHubsError> {
        let mut application = ApplicationProperties::default();
        application.push("operation", "READ");
        application.push("type", kind);
        application.push("name", name);
        if let Some(partition) = partition {
            application.push("partition", partition);
        }
        let request = Message {
            properties: Some(Properties::default()),
            application_properties: application,
            ..Message::default()
        };
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Request { request: Box::new(request), reply }).await?;
        let late = |_| EventHubsError::Gone("$management does not answer".to_owned());
        let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(late)?.map_err(|_| gone())??;
        let said = |name: &str| answer.application_properties.get(name);
        let status = said("status-code").and_then(Value::as_i64);
        match (status, answer.body) {
            (Some(200), Body::Value(Value::Map(map))) => Ok(map),
            _ => {
                let text = said("status-description").and_then(Value::as_str).unwrap_or("no reason is given");
                Err(EventHubsError::Denied(text.to_owned()))
            }
        }
    }

    async fn tell(&self, command: Command) -> Result<(), EventHubsError> {
        self.commands.send(command).await.map_err(|_| gone())
    }
}

fn gone() -> EventHubsError {
    EventHubsError::Gone("it was closed".to_owned())
}

fn field<'m>(map: &'m [(Value, Value)], name: &str) -> Option<&'m Value> {
    map.iter().find_map(|(key, value)| (key.as_str() == Some(name)).then_some(value))
}
