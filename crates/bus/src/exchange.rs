//! A bus within one process: several nodes of a test speak to each other through one [`Exchange`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::bus::{Bus, BusError, Enough, Heard, Listener};

/// Messages that may wait for one listener.
const ROOM: usize = 1024;

/// What the nodes share.
#[derive(Debug, Default)]
pub struct Exchange {
    listeners: Mutex<HashMap<String, Vec<Ear>>>,
    inboxes: AtomicU64,
}

/// A node's listener.
#[derive(Debug)]
struct Ear {
    node: Arc<Cuts>,
    tell: mpsc::Sender<Heard>,
}

/// How a node is cut off.
#[derive(Debug, Default)]
struct Cuts {
    /// It knows.
    known: AtomicBool,
    /// What it says and what is said to it is lost, and it does not know.
    silent: AtomicBool,
}

impl Cuts {
    fn any(&self) -> bool {
        self.known.load(Ordering::SeqCst) || self.silent.load(Ordering::SeqCst)
    }
}

/// One node's way into an [`Exchange`].
#[derive(Debug)]
pub struct ExchangeBus {
    exchange: Arc<Exchange>,
    node: Arc<Cuts>,
    connections: watch::Sender<u64>,
}

impl Exchange {
    /// An exchange without nodes.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A node's way in.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Arc<ExchangeBus> {
        let connections = watch::Sender::new(1);
        Arc::new(ExchangeBus { exchange: Arc::clone(self), node: Arc::default(), connections })
    }

    /// Hands a message to all who can hear it; how many those are.
    fn say(&self, subject: &str, heard: &Heard) -> usize {
        let mut listeners = self.listeners.lock();
        let Some(ears) = listeners.get_mut(subject) else { return 0 };
        ears.retain(|ear| !ear.tell.is_closed());
        let told = |ear: &&Ear| match ear.node.any() {
            // What is said to a node that is lost unnoticed is on its way for ever.
            true => ear.node.silent.load(Ordering::SeqCst),
            false => ear.tell.try_send(heard.clone()).is_ok(),
        };
        ears.iter().filter(told).count()
    }
}

impl ExchangeBus {
    /// Cuts the node off from the others, or lets it back.
    pub fn cut(&self, cut: bool) {
        let before = self.node.known.swap(cut, Ordering::SeqCst);
        if before && !cut {
            self.connections.send_modify(|number| *number += 1);
        }
    }

    /// The same, but it does not notice, as when packets are lost on the way.
    pub fn cut_silently(&self, cut: bool) {
        self.node.silent.store(cut, Ordering::SeqCst);
    }

    /// As far as it is heard; how many heard it.
    fn say(&self, subject: &str, heard: &Heard) -> Option<usize> {
        (!self.node.any()).then(|| self.exchange.say(subject, heard))
    }

    async fn ask(&self, subject: &str, payload: Bytes) -> Result<Option<Listener>, BusError> {
        let inbox = format!("inbox.{}", self.exchange.inboxes.fetch_add(1, Ordering::Relaxed));
        let answers = self.subscribe(&inbox).await?;
        let heard = self.say(subject, &Heard { payload, reply: Some(inbox) });
        Ok((heard != Some(0)).then_some(answers))
    }
}

#[async_trait]
impl Bus for ExchangeBus {
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.healthy()?;
        self.say(subject, &Heard { payload, reply: None });
        Ok(())
    }

    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Option<Bytes>, BusError> {
        self.healthy()?;
        let Some(mut answers) = self.ask(subject, payload).await? else { return Ok(None) };
        let answer = tokio::time::timeout(patience, answers.next()).await;
        answer.ok().flatten().map(|heard| Some(heard.payload)).ok_or(BusError::NoAnswer)
    }

    async fn gather(
        &self,
        subject: &str,
        payload: Bytes,
        enough: Enough<'_>,
        patience: Duration,
    ) -> Result<(), BusError> {
        self.healthy()?;
        let Some(mut answers) = self.ask(subject, payload).await? else { return Ok(()) };
        let hear = async {
            while let Some(answer) = answers.next().await {
                if enough(&answer.payload) {
                    return;
                }
            }
        };
        // Those who did not answer in time are the caller's to notice.
        let _late = tokio::time::timeout(patience, hear).await;
        Ok(())
    }

    async fn subscribe(&self, subject: &str) -> Result<Listener, BusError> {
        let (tell, mut hear) = mpsc::channel(ROOM);
        let ear = Ear { node: Arc::clone(&self.node), tell };
        self.exchange.listeners.lock().entry(subject.to_owned()).or_default().push(ear);
        Ok(futures_util::stream::poll_fn(move |context| hear.poll_recv(context)).boxed())
    }

    fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    fn healthy(&self) -> Result<(), BusError> {
        if self.node.known.load(Ordering::SeqCst) {
            return Err(BusError::Unavailable("the node is cut off".to_owned()));
        }
        Ok(())
    }
}
