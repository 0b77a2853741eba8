//! The bus over NATS (core publish and request; nothing of JetStream).
//!
//! A subject nobody listens on is known at once ("no responders", NATS 2.2). The client reconnects by itself and takes
//! its subscriptions along; what is said in between is refused here rather than kept, for it would be heard too late.

mod connect;

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use crate::bus::{Bus, BusError, Enough, Heard, Listener};

pub use connect::{NatsOptions, OpenError};

/// A connection to NATS.
pub struct NatsBus {
    client: async_nats::Client,
    prefix: String,
    connections: watch::Sender<u64>,
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl NatsBus {
    /// Connects. `url`: one or several servers, separated by commas, such as `nats://user:password@host:4222`.
    ///
    /// # Errors
    /// See [`OpenError`]; later losses of the connection heal by themselves.
    pub async fn connect(url: &str, options: &NatsOptions) -> Result<Self, OpenError> {
        let connections = watch::Sender::new(0);
        let client = connect::connect(url, options, connections.clone()).await?;
        Ok(Self { client, prefix: options.prefix.clone(), connections })
    }

    fn subject(&self, subject: &str) -> String {
        format!("{}.{subject}", self.prefix)
    }
}

#[async_trait]
impl Bus for NatsBus {
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.healthy()?;
        // An answer goes to an inbox, which has no prefix of ours.
        let subject = if subject.starts_with("_INBOX.") { subject.to_owned() } else { self.subject(subject) };
        self.client.publish(subject, payload).await.map_err(unavailable)
    }

    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Option<Bytes>, BusError> {
        self.healthy()?;
        let request = async_nats::Request::new().payload(payload).timeout(Some(patience));
        match self.client.send_request(self.subject(subject), request).await {
            Ok(answer) => Ok(Some(answer.payload)),
            Err(error) => match error.kind() {
                RequestErrorKind::NoResponders => Ok(None),
                RequestErrorKind::TimedOut => Err(BusError::NoAnswer),
                _ => Err(unavailable(error)),
            },
        }
    }

    async fn gather(
        &self,
        subject: &str,
        payload: Bytes,
        enough: Enough<'_>,
        patience: Duration,
    ) -> Result<(), BusError> {
        self.healthy()?;
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let asked = self.client.publish_with_reply(self.subject(subject), inbox, payload).await;
        asked.map_err(unavailable)?;
        let hear = async {
            while let Some(answer) = answers.next().await {
                if answer.status.is_some() || enough(&answer.payload) {
                    return;
                }
            }
        };
        // Those who did not answer in time are the caller's to notice.
        let _late = tokio::time::timeout(patience, hear).await;
        Ok(())
    }

    async fn subscribe(&self, subject: &str) -> Result<Listener, BusError> {
        self.healthy()?;
        let messages = self.client.subscribe(self.subject(subject)).await.map_err(unavailable)?;
        let heard = messages.map(|message| Heard {
            payload: message.payload,
            reply: message.reply.map(|subject| subject.to_string()),
        });
        Ok(heard.boxed())
    }

    fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    fn healthy(&self) -> Result<(), BusError> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => {
                Err(BusError::Unavailable("there is no connection to NATS".to_owned()))
            }
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> BusError {
    BusError::Unavailable(error.to_string())
}
