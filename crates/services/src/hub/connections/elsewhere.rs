//! Connections on other nodes. A node listens on a subject of each device that is connected to it.
//!
//! ```text
//!   enter   Enter? ──▶ whoever has the device closes it and answers (or nobody is there)
//!           listen; Claim ──▶ heard by oneself: from now on nothing is missed
//!                         ──▶ heard by another that enters at the same moment: the greater claim stays
//!   bus back Back ──▶ whoever has the device meanwhile says Here, and the one that was away closes
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use pollux_bus::{BusError, Heard, Listener};
use pollux_model::{DeviceAddress, ResourceName, Result, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::{Connections, DeviceCommand, Key, Live, Map, methods};
use crate::cluster::{Shared, away};
use crate::hub::{MethodAnswer, MethodCall, MethodFailure};

/// How long another node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// On which nodes are asked about their connections.
pub(super) const CONNECTED: &str = "connected";
/// Up to so many devices are asked for one by one; more, node by node.
const FEW: usize = 4;

/// What is said about one device.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    /// Asked: hand it this.
    Command(DeviceCommand),
    /// Asked: have it answer this.
    Invoke { call: MethodCall, patience: Duration },
    /// Asked: since when is it connected?
    Since,
    /// Asked: it connects to this node now; close what you have.
    Enter { node: String },
    /// Told: this node has it.
    Claim { node: String, claim: u64 },
    /// Told: this node has it, but was away from the bus.
    Back { node: String },
    /// Told: this node has it and was not away.
    Here { node: String },
    /// Asked: compare it with its state.
    Look,
}

/// What a node is asked about its connections.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) hub: ResourceName,
    /// Of these devices; of all, only how many, when `None`.
    pub(super) devices: Option<Vec<DeviceAddress>>,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) node: String,
    pub(super) count: usize,
    pub(super) since: HashMap<DeviceAddress, Timestamp>,
    /// Messages of the day, where the hub is held to a tier.
    #[serde(default)]
    pub(super) messages: u64,
}

/// A connection's ear for what other nodes say of its device.
struct Ear {
    shared: Arc<Shared>,
    map: Arc<Map>,
    live: Arc<Live>,
    claim: u64,
    /// Fired by one's own claim.
    echo: Option<oneshot::Sender<()>>,
    /// Looks after the connection.
    look: Arc<dyn Fn(Arc<Live>) + Send + Sync>,
}

impl Connections {
    /// Takes the place from other nodes, and listens.
    pub(super) async fn enter_among(&self, shared: &Arc<Shared>, live: &Arc<Live>) -> Result<AbortHandle> {
        let subject = subject(&live.key);
        let node = shared.node.clone();
        match say_and_wait(shared, &subject, &Said::Enter { node: node.clone() }).await {
            // A node that is frozen must not hold the device up; it finds this when it wakes, and gives way.
            Ok(_) | Err(BusError::NoAnswer) => {}
            Err(error @ BusError::Unavailable(_)) => return Err(away(error)),
        }
        let listener = shared.bus.subscribe(&subject).await.map_err(away)?;
        let (echo, heard) = oneshot::channel();
        let mut claim = [0; 8];
        self.context.random.fill(&mut claim);
        let claim = u64::from_le_bytes(claim);
        let ear = Ear {
            shared: Arc::clone(shared),
            map: Arc::clone(&self.live),
            live: Arc::clone(live),
            claim,
            echo: Some(echo),
            look: self.looker(),
        };
        let listening = tokio::spawn(ear.listen(listener)).abort_handle();
        let claimed = async {
            say(shared, &subject, &Said::Claim { node, claim }).await.map_err(away)?;
            let heard = tokio::time::timeout(PATIENCE, heard).await;
            heard
                .ok()
                .and_then(Result::ok)
                .ok_or_else(|| away(BusError::Unavailable("it does not answer".to_owned())))
        };
        let claimed = claimed.await;
        claimed.inspect_err(|_| listening.abort()).map(|()| listening.clone())
    }

    pub(super) async fn deliver_elsewhere(&self, key: &Key, command: DeviceCommand) -> bool {
        self.ask_about(key, &Said::Command(command)).await
    }

    pub(super) async fn invoke_elsewhere(
        &self,
        key: &Key,
        call: MethodCall,
        patience: Duration,
    ) -> std::result::Result<MethodAnswer, MethodFailure> {
        let Some(shared) = self.context.cluster.others() else { return Err(MethodFailure::NotOnline) };
        let asked = bytes(&Said::Invoke { call, patience });
        match shared.bus.request(&subject(key), asked, patience + PATIENCE).await {
            Ok(Some(answer)) => serde_json::from_slice(&answer).unwrap_or(Err(MethodFailure::Late)),
            Ok(None) => Err(MethodFailure::NotOnline),
            Err(error) => {
                tracing::warn!(hub = %key.0, device = %key.1, %error, "a method has no answer");
                Err(MethodFailure::Late)
            }
        }
    }

    pub(super) async fn look_elsewhere(&self, key: &Key) {
        self.ask_about(key, &Said::Look).await;
    }

    /// Whether whoever has the device answered. Where that is not known, it is made up for.
    async fn ask_about(&self, key: &Key, said: &Said) -> bool {
        let Some(shared) = self.context.cluster.others() else { return false };
        match say_and_wait(shared, &subject(key), said).await {
            Ok(answer) => answer.is_some(),
            Err(error) => {
                tracing::warn!(hub = %key.0, device = %key.1, %error, "another node may not have been told: it is asked to look");
                self.unsaid.lock().add(key.clone());
                false
            }
        }
    }

    /// Since when the device is connected anywhere.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::Unavailable`]: that cannot be said, for whoever may have it does not answer.
    pub(in crate::hub) async fn since_for_certain(
        &self,
        hub: &ResourceName,
        device: &DeviceAddress,
    ) -> Result<Option<Timestamp>> {
        let key = (hub.clone(), device.clone());
        if let Some(live) = self.here(&key) {
            return Ok(Some(live.since));
        }
        let Some(shared) = self.context.cluster.others() else { return Ok(None) };
        let answer = say_and_wait(shared, &subject(&key), &Said::Since).await.map_err(away)?;
        Ok(answer.and_then(|answer| serde_json::from_slice(&answer).ok()))
    }

    pub(super) async fn since_elsewhere(&self, key: &Key) -> Option<Timestamp> {
        let shared = self.context.cluster.others()?;
        let answer = say_and_wait(shared, &subject(key), &Said::Since).await.ok()??;
        serde_json::from_slice(&answer).ok()
    }

    pub(super) async fn add_elsewhere(
        &self,
        hub: &ResourceName,
        devices: Vec<DeviceAddress>,
        found: &mut HashMap<DeviceAddress, Timestamp>,
    ) {
        if self.context.cluster.others().is_none() || devices.is_empty() {
            return;
        }
        if devices.len() <= FEW {
            for device in devices {
                let since = self.since_elsewhere(&(hub.clone(), device.clone())).await;
                found.extend(since.map(|since| (device, since)));
            }
            return;
        }
        let question = Question { hub: hub.clone(), devices: Some(devices) };
        self.ask_all(&question, |answer| found.extend(answer.since)).await;
    }

    pub(super) async fn count_elsewhere(&self, hub: &ResourceName) -> usize {
        let mut count = 0;
        self.ask_all(&Question { hub: hub.clone(), devices: None }, |answer| count += answer.count).await;
        count
    }

    /// Messages of the day that other nodes have counted of a hub.
    pub(in crate::hub) async fn messages_elsewhere(&self, hub: &ResourceName) -> u64 {
        let (mut messages, devices) = (0, Some(Vec::new()));
        self.ask_all(&Question { hub: hub.clone(), devices }, |answer| messages += answer.messages).await;
        messages
    }

    /// Asks every other node, and hears each once.
    async fn ask_all(&self, question: &Question, mut hear: impl FnMut(Answer) + Send) {
        let Some(shared) = self.context.cluster.others() else { return };
        let mut missing: BTreeSet<String> = BTreeSet::clone(&self.context.cluster.members().borrow());
        missing.remove(&shared.node);
        if missing.is_empty() {
            return;
        }
        let Ok(text) = serde_json::to_vec(question) else { return };
        let mut enough = |answer: &Bytes| {
            if let Ok(answer) = serde_json::from_slice::<Answer>(answer)
                && missing.remove(&answer.node)
            {
                hear(answer);
            }
            missing.is_empty()
        };
        let asked = shared.bus.gather(CONNECTED, text.into(), &mut enough, PATIENCE).await;
        if asked.is_err() || !missing.is_empty() {
            tracing::warn!(?missing, "nodes did not say which devices are connected to them");
        }
    }

    /// Answers another node.
    pub(super) fn answer(&self, node: &str, question: &Question) -> Answer {
        let mut since = HashMap::new();
        for device in question.devices.iter().flatten() {
            if let Some(live) = self.here(&(question.hub.clone(), device.clone())) {
                since.insert(device.clone(), live.since);
            }
        }
        let count = if question.devices.is_none() { self.count_here(&question.hub) } else { 0 };
        let messages = self.today.here(&question.hub, self.context.clock.now());
        Answer { node: node.to_owned(), count, since, messages }
    }

    /// Says of every connection here that this node was away.
    pub(super) async fn say_back(&self, shared: &Shared) {
        let keys: Vec<Key> = self.live.iter().map(|entry| entry.key().clone()).collect();
        for key in keys {
            let back = Said::Back { node: shared.node.clone() };
            if say(shared, &subject(&key), &back).await.is_err() {
                // Gone again: it is said when it is back again.
                return;
            }
        }
    }
}

impl Ear {
    async fn listen(mut self, mut listener: Listener) {
        while let Some(heard) = listener.next().await {
            match serde_json::from_slice(&heard.payload) {
                Ok(said) => self.hear(said, &heard).await,
                Err(error) => tracing::warn!(%error, "a node said what this one does not understand"),
            }
        }
    }

    async fn hear(&mut self, said: Said, heard: &Heard) {
        match said {
            // The connection that has the device now answers, not one that is on its way out.
            Said::Command(command) if self.is_current() => {
                self.live.deliver(command);
                self.reply(heard, Bytes::from_static(b"1")).await;
            }
            Said::Invoke { call, patience } if self.is_current() => {
                let (live, bus) = (Arc::clone(&self.live), Arc::clone(&self.shared));
                let Some(reply) = heard.reply.clone() else { return };
                // What else is said to the device does not wait for its answer.
                tokio::spawn(async move {
                    let outcome = methods::encoded(&live.invoke(call, patience).await);
                    if let Err(error) = bus.bus.publish(&reply, outcome).await {
                        tracing::debug!(%error, "an answer to another node is lost");
                    }
                });
            }
            Said::Since if self.is_current() => {
                let since = serde_json::to_vec(&self.live.since).unwrap_or_default();
                self.reply(heard, since.into()).await;
            }
            Said::Enter { node } => {
                if !self.is_own(&node) {
                    self.yield_place("the device connected again elsewhere");
                }
                self.reply(heard, Bytes::from_static(b"1")).await;
            }
            Said::Claim { node, claim } if self.is_own(&node) => {
                if claim == self.claim
                    && let Some(echo) = self.echo.take()
                {
                    // Whoever waited may have given up.
                    let _gone = echo.send(());
                }
            }
            Said::Claim { node, claim } if self.is_current() => {
                if (claim, &node) > (self.claim, &self.shared.node) {
                    self.yield_place("the device connected again elsewhere");
                } else {
                    let claim = Said::Claim { node: self.shared.node.clone(), claim: self.claim };
                    self.tell(&claim).await;
                }
            }
            Said::Back { node } if !self.is_own(&node) && self.is_current() => {
                self.tell(&Said::Here { node: self.shared.node.clone() }).await;
            }
            Said::Here { node } if !self.is_own(&node) => {
                self.yield_place("the device connected elsewhere while this node was away");
            }
            Said::Look if self.is_current() => {
                (self.look)(Arc::clone(&self.live));
                self.reply(heard, Bytes::from_static(b"1")).await;
            }
            Said::Command(_)
            | Said::Invoke { .. }
            | Said::Since
            | Said::Look
            | Said::Claim { .. }
            | Said::Back { .. }
            | Said::Here { .. } => {}
        }
    }

    fn is_own(&self, node: &str) -> bool {
        self.shared.node == node
    }

    fn is_current(&self) -> bool {
        self.map.get(&self.live.key).is_some_and(|entry| entry.number == self.live.number)
    }

    fn yield_place(&self, reason: &'static str) {
        self.map.remove_if(&self.live.key, |_, entry| entry.number == self.live.number);
        self.live.close(reason);
    }

    async fn reply(&self, heard: &Heard, answer: Bytes) {
        let Some(reply) = &heard.reply else { return };
        if let Err(error) = self.shared.bus.publish(reply, answer).await {
            tracing::debug!(%error, "an answer to another node is lost");
        }
    }

    async fn tell(&self, said: &Said) {
        if let Err(error) = say(&self.shared, &subject(&self.live.key), said).await {
            tracing::debug!(%error, "another node cannot be told: it is told when the bus is back");
        }
    }
}

/// A device's subject. Ids may hold dots and stars.
fn subject((hub, device): &Key) -> String {
    format!("device.{hub}.{}", URL_SAFE_NO_PAD.encode(device.to_string()))
}

fn bytes(said: &Said) -> Bytes {
    serde_json::to_vec(said).unwrap_or_default().into()
}

async fn say(shared: &Shared, subject: &str, said: &Said) -> Result<(), BusError> {
    shared.bus.publish(subject, bytes(said)).await
}

async fn say_and_wait(shared: &Shared, subject: &str, said: &Said) -> Result<Option<Bytes>, BusError> {
    shared.bus.request(subject, bytes(said), PATIENCE).await
}
