//! A device receives what the cloud sends it (Azure article "Understand cloud-to-device messaging from an IoT hub"): as much as it
//! gives credit for, each to be settled.
//!
//! ```text
//!   accepted ─▶ completed    rejected, or modified as undeliverable here ─▶ dead-lettered
//!   released, modified, or settled without a word, or not settled when the link ends ─▶ abandoned
//! ```
//!
//! A receiver that settles second hears of it when it is done: accepted whatever it had decided, or rejected with the reason
//! (`AmqpIotOutcome.cs` of the SDK for C#, which takes `amqp:not-found` for a lost lock).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use pollux_amqp::endpoint::{DeliveryId, LinkId, Outgoing, SendError};
use pollux_amqp::performative::{DeliveryState, Error as AmqpError, condition};
use pollux_amqp::{
    Annotations, ApplicationProperties, Body, Header, Message, MessageId, Properties, Symbol, Value,
};
use pollux_model::message::{Ack, LockedBy, QueuedMessage};
use pollux_model::{DeviceId, ErrorCode, Etag, Result, Timestamp};
use pollux_services::hub::cloud_to_device::{Received, Settle};
use tokio::runtime::Handle;

use super::condition::hub_error;
use super::{HubDone, HubLink, Own, SeatId};
use crate::amqp::connection::{Connection, Done, Link};

/// Messages received at once.
const MOST: usize = 16;

/// The state of such a link.
pub(in crate::amqp) struct DeviceBound {
    pub(super) seat: SeatId,
    own: Arc<Own>,
    /// Whether the peer wants to hear no more of what it was sent: then it is completed when it is sent.
    settled: bool,
    /// Whether the device's earlier connections were made to give back what they had.
    begun: bool,
    receiving: bool,
    /// There may be something.
    look: bool,
    /// When there may be something again.
    next: Option<Timestamp>,
    drain: bool,
    /// Received, and on its way.
    ready: VecDeque<QueuedMessage>,
    /// Sent, and not settled; by the lock tokens.
    held: HashMap<DeliveryId, Etag>,
    /// How many times the device has given something back that is not in the queue yet: what comes next may be that.
    giving: usize,
    sent: u64,
}

impl DeviceBound {
    pub(super) fn new(seat: SeatId, own: Arc<Own>, settled: bool) -> Self {
        let (ready, held) = (VecDeque::new(), HashMap::new());
        Self {
            seat,
            own,
            settled,
            begun: false,
            receiving: false,
            look: true,
            next: None,
            drain: false,
            ready,
            held,
            giving: 0,
            sent: 0,
        }
    }

    /// There may be something for the device.
    pub(super) const fn waiting(&mut self) {
        self.look = true;
    }

    /// When to look again.
    pub(super) const fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether something is on its way.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    async fn receive(own: &Own, begun: bool, most: usize) -> Result<Received> {
        let hub = &own.services.hub;
        if !begun {
            hub.take_back_messages(&own.caller, &own.hub, &own.id.device).await?;
        }
        hub.receive_messages(&own.caller, &own.hub, &own.id.device, LockedBy::Connection, most).await
    }
}

impl Drop for DeviceBound {
    /// What the device had in its hands goes back at once, however the link ends. Should this not come through, the device's
    /// next connection sees to it.
    fn drop(&mut self) {
        let held: Vec<Etag> = self.held.drain().map(|(_, token)| token).collect();
        let ready: Vec<Etag> = self.ready.drain(..).map(|message| message.etag).collect();
        let own = Arc::clone(&self.own);
        if let (false, Ok(runtime)) = (held.is_empty() && ready.is_empty(), Handle::try_current()) {
            runtime.spawn(async move {
                give_back(&own, &held, Settle::Abandon).await;
                give_back(&own, &ready, Settle::Release).await;
            });
        }
    }
}

async fn give_back(own: &Own, tokens: &[Etag], settle: Settle) -> Vec<Result<()>> {
    let hub = &own.services.hub;
    let ends = hub.settle_messages(&own.caller, &own.hub, &own.id.device, tokens, settle).await;
    for error in ends.iter().filter_map(|end| end.as_ref().err()) {
        tracing::debug!(device = %own.id, %error, "a message is not held any more, or stays so until its time is over");
    }
    ends
}

impl Connection {
    /// Looks for messages of a device, if it gives credit, and sends what was received.
    pub(in crate::amqp) fn pump_messages(&mut self, id: LinkId) {
        let Some(Link::Hub(HubLink::DeviceBound(link))) = self.links.get_mut(&id) else { return };
        while let Some(message) = link.ready.front() {
            let tag = tag(message.sequence, link.sent);
            let payload = to_message(&link.own.id.device, message).encode();
            let outgoing = Outgoing { tag: &tag, message_format: 0, payload, settled: link.settled };
            match self.endpoint.send(id, outgoing) {
                Ok(delivery) => {
                    link.sent += 1;
                    let Some(message) = link.ready.pop_front() else { break };
                    if link.settled {
                        self.hubs.settling += 1;
                        let settled = (vec![message.etag], Settle::Complete);
                        self.work.push(settling(Arc::clone(&link.own), id, settled, Vec::new()));
                    } else {
                        link.held.insert(delivery, message.etag);
                    }
                }
                Err(SendError::TooLarge(most)) => {
                    tracing::debug!(device = %link.own.id, most, "a message is larger than the device takes");
                    let Some(message) = link.ready.pop_front() else { break };
                    self.hubs.settling += 1;
                    let settled = (vec![message.etag], Settle::Reject);
                    self.work.push(settling(Arc::clone(&link.own), id, settled, Vec::new()));
                }
                Err(_) => return,
            }
        }
        let now = link.own.services.context.clock.now();
        if link.next.is_some_and(|next| next <= now) {
            // Said once: a link without credit would be woken for it for ever.
            (link.look, link.next) = (true, None);
        }
        let credit = usize::try_from(self.endpoint.credit(id)).unwrap_or(MOST).min(MOST);
        let begins = !link.begun && self.hubs.settling > 0;
        if link.receiving || link.giving > 0 || begins || credit == 0 {
            return;
        }
        if !link.look {
            if std::mem::take(&mut link.drain) {
                self.endpoint.drained(id);
            }
            return;
        }
        (link.receiving, link.look, link.next) = (true, false, None);
        let (own, begun) = (Arc::clone(&link.own), link.begun);
        self.work.push(Box::pin(async move {
            let received = DeviceBound::receive(&own, begun, credit).await;
            Done::Hub(HubDone::Received { link: id, own, received })
        }));
    }

    /// Messages of a device were received, or not.
    pub(super) fn messages_received(&mut self, id: LinkId, own: Arc<Own>, received: Result<Received>) {
        let Some(Link::Hub(HubLink::DeviceBound(link))) = self.links.get_mut(&id) else {
            // The link is gone.
            let messages = received.unwrap_or_default().messages;
            let tokens = messages.into_iter().map(|message| message.etag).collect();
            self.hubs.settling += 1;
            self.work.push(settling(own, id, (tokens, Settle::Release), Vec::new()));
            return;
        };
        link.receiving = false;
        match received {
            Ok(Received { messages, next }) => {
                link.begun = true;
                link.look |= !messages.is_empty();
                link.next = next;
                link.ready.extend(messages);
                self.pump_messages(id);
            }
            Err(error) => self.detach_from_hub(id, &error),
        }
    }

    /// The peer gives credit, or wants it back.
    pub(super) fn messages_wanted(&mut self, id: LinkId, drain: bool) {
        if let Some(Link::Hub(HubLink::DeviceBound(link))) = self.links.get_mut(&id) {
            link.drain = drain;
            link.look |= drain;
            self.pump_messages(id);
        }
    }

    /// A device has settled what it was sent.
    pub(super) fn messages_settled(
        &mut self,
        id: LinkId,
        (first, last): (DeliveryId, DeliveryId),
        state: Option<&DeliveryState>,
        waits: bool,
    ) {
        let Some(Link::Hub(HubLink::DeviceBound(link))) = self.links.get_mut(&id) else { return };
        let (mut heard, tokens) = taken(&mut link.held, first, last);
        let settle = settlement(state);
        if !waits {
            heard.clear();
        }
        if !tokens.is_empty() {
            link.giving += usize::from(gives_back(settle));
            self.hubs.settling += 1;
            self.work.push(settling(Arc::clone(&link.own), id, (tokens, settle), heard));
        }
    }

    /// What a device settled is done. What it gave back comes again.
    pub(super) fn messages_given_back(
        &mut self,
        id: LinkId,
        settle: Settle,
        ends: Vec<(DeliveryId, Result<()>)>,
    ) {
        self.hubs.settling = self.hubs.settling.saturating_sub(1);
        self.tell_ends(id, ends);
        if let (true, Some(Link::Hub(HubLink::DeviceBound(link)))) =
            (gives_back(settle), self.links.get_mut(&id))
        {
            link.giving = link.giving.saturating_sub(1);
            link.look = true;
            self.pump_messages(id);
        }
        if self.hubs.settling == 0 {
            let begins = |link: &Link| matches!(link, Link::Hub(HubLink::DeviceBound(link)) if !link.begun);
            let ids: Vec<_> = self.links.iter().filter(|(_, link)| begins(link)).map(|(id, _)| *id).collect();
            for id in ids {
                self.pump_messages(id);
            }
        }
    }

    /// Tells a receiver that waits for it what became of what it has decided.
    pub(super) fn tell_ends(&mut self, id: LinkId, ends: Vec<(DeliveryId, Result<()>)>) {
        for (delivery, end) in ends {
            let outcome = match end {
                Ok(()) => DeliveryState::Accepted,
                Err(error) if error.code == ErrorCode::MessageLockLost => {
                    DeliveryState::rejected(AmqpError::new(condition::NOT_FOUND, error.message))
                }
                Err(error) => DeliveryState::rejected(hub_error(&error)),
            };
            self.endpoint.confirm(id, (delivery, delivery), Some(outcome));
        }
    }
}

const fn gives_back(settle: Settle) -> bool {
    matches!(settle, Settle::Abandon | Settle::Release)
}

/// The name of a delivery: clients of .NET take it for a GUID (`AmqpIotMessageConverter.cs` of the SDK for C#).
pub(super) fn tag(sequence: i64, sent: u64) -> [u8; 16] {
    (u128::from(sequence.cast_unsigned()) << 64 | u128::from(sent)).to_be_bytes()
}

/// Of deliveries that follow each other those that are held, with their lock tokens.
pub(super) fn taken(
    held: &mut HashMap<DeliveryId, Etag>,
    first: DeliveryId,
    last: DeliveryId,
) -> (Vec<DeliveryId>, Vec<Etag>) {
    let all = (0..=last.since(first)).map(|step| first.plus(step));
    all.filter_map(|id| held.remove_entry(&id)).unzip()
}

/// `heard`: the deliveries of the tokens, where the receiver waits to hear of their ends.
fn settling(
    own: Arc<Own>,
    link: LinkId,
    (tokens, settle): (Vec<Etag>, Settle),
    heard: Vec<DeliveryId>,
) -> BoxFuture<'static, Done> {
    // What the device said counts, also where the connection ends before it is done.
    let done = tokio::spawn(async move { give_back(&own, &tokens, settle).await });
    Box::pin(async move {
        let ends = done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "messages could not be settled");
            Vec::new()
        });
        Done::Hub(HubDone::GaveBack { link, settle, ends: heard.into_iter().zip(ends).collect() })
    })
}

/// What becomes of a message by what its receiver says.
pub(super) fn settlement(state: Option<&DeliveryState>) -> Settle {
    match state {
        Some(DeliveryState::Accepted) => Settle::Complete,
        Some(DeliveryState::Rejected(_)) => Settle::Reject,
        Some(DeliveryState::Modified(how)) if how.undeliverable_here => Settle::Reject,
        Some(DeliveryState::Released | DeliveryState::Modified(_) | DeliveryState::Received { .. })
        | None => Settle::Abandon,
    }
}

/// The message that a device gets.
fn to_message(device: &DeviceId, message: &QueuedMessage) -> Message {
    let system = &message.system;
    let mut annotations = Annotations::default();
    annotations.push(Symbol::from_static("x-opt-sequence-number"), Value::Long(message.sequence));
    annotations
        .push(Symbol::from_static("iothub-enqueuedtime"), Value::Timestamp(message.enqueued.as_millis()));
    annotations.push(Symbol::from_static("iothub-deliverycount"), Value::Long(message.delivery_count.into()));
    let mut application = ApplicationProperties::default();
    for (name, value) in &message.properties {
        application.push(name.clone(), value.clone());
    }
    if message.ack != Ack::None {
        application.push("iothub-ack", message.ack.as_str());
    }
    let properties = Properties {
        message_id: system.message_id.as_deref().map(MessageId::from),
        user_id: system.user_id.clone().map(Into::into),
        to: Some(format!("/devices/{device}/messages/devicebound")),
        correlation_id: system.correlation_id.as_deref().map(MessageId::from),
        content_type: system.content_type.clone().and_then(Symbol::new),
        content_encoding: system.content_encoding.clone().and_then(Symbol::new),
        absolute_expiry_time: system.expiry.map(|at| at.as_millis()),
        ..Properties::default()
    };
    Message {
        header: Some(Header { delivery_count: Some(message.delivery_count), ..Header::default() }),
        message_annotations: annotations,
        properties: Some(properties),
        application_properties: application,
        body: Body::data(message.payload.clone()),
        ..Message::default()
    }
}
