//! Links of a hub's services: they send to devices, and hear what became of it (Azure article "Communicate with your IoT hub by using
//! the AMQP Protocol"; `amqp.js` of npm's azure-iothub, `iothub_amqp_client.py` of PyPI's azure-iot-hub).
//!
//! Each needs the right ServiceConnect, for as long as it is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_amqp::endpoint::{Attached, DeliveryId, LinkId, Outgoing};
use pollux_amqp::performative::{DeliveryState, Error as AmqpError, Role, condition};
use pollux_amqp::{Annotations, Body, Message, Properties, Symbol, Value};
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, Result, Timestamp};
use pollux_services::events::Sent;
use pollux_services::hub::cloud_to_device::{
    Ack, CloudMessage, FEEDBACK_CONTENT_TYPE, FeedbackBatch, MessageProperties, Notices, Settle,
};
use pollux_services::{Caller, HubAction, Services};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::address::{Part, Place, ServicePart, addresses};
use super::condition::hub_error;
use super::devicebound::{settlement, tag, taken};
use super::telemetry::{application_properties, body, id_text, malformed};
use super::{HubDone, HubLink, Hubs};
use crate::amqp::connection::{Connection, Done, Link};
use crate::amqp::publisher::{CREDIT, Publisher, Sink};

/// How often is looked for feedback though nobody told of any: what tells of it may be lost.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes that a message may have beside what counts of it.
const ROOM: usize = 64 * 1024;
/// Which feedback a sender wants.
const ACK: &str = "iothub-ack";

/// Who sends, as things are.
#[derive(Debug, Clone)]
pub(in crate::amqp) struct Service {
    services: Arc<Services>,
    hub: Arc<Resource>,
    caller: Caller,
}

/// A link on which a service hears feedback.
pub(in crate::amqp) struct Feedback {
    service: Service,
    which: Notices,
    receiving: bool,
    /// Ends the receiving that is under way when it is dropped.
    wanted: Option<DropGuard>,
    ready: Option<FeedbackBatch>,
    held: HashMap<DeliveryId, Etag>,
    sent: u64,
}

impl Feedback {
    /// Whether some is on its way.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// What the peer must be allowed.
    pub(in crate::amqp) const fn action(&self) -> HubAction {
        self.which.action()
    }
}

/// Feedback that was received, to be given back where nobody takes it.
pub(in crate::amqp) struct Taken {
    service: Service,
    which: Notices,
    batch: Option<FeedbackBatch>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let (Some(batch), Ok(runtime)) = (self.batch.take(), Handle::try_current()) {
            let (service, which) = (self.service.clone(), self.which);
            runtime.spawn(async move { service.settle(which, &[batch.lock_token], Settle::Release).await });
        }
    }
}

impl Drop for Feedback {
    fn drop(&mut self) {
        let ready = self.ready.take().map(|batch| batch.lock_token);
        let tokens: Vec<Etag> = self.held.drain().map(|(_, token)| token).chain(ready).collect();
        if let (false, Ok(runtime)) = (tokens.is_empty(), Handle::try_current()) {
            let service = self.service.clone();
            let which = self.which;
            runtime.spawn(async move { service.settle(which, &tokens, Settle::Abandon).await });
        }
    }
}

impl Service {
    /// Sends what came together: to each device in its order; the end of each.
    pub(in crate::amqp) async fn send(&self, sent: Vec<Sent>) -> Vec<Result<()>> {
        let mut ends = vec![Ok(()); sent.len()];
        let mut by_device: BTreeMap<String, Vec<(usize, CloudMessage)>> = BTreeMap::new();
        for (at, sent) in sent.into_iter().enumerate() {
            match read(sent) {
                Ok((device, message)) => by_device.entry(device).or_default().push((at, message)),
                Err(error) => ends[at] = Err(error),
            }
        }
        let sends = by_device.into_iter().map(|(device, messages)| async move {
            let mut done = Vec::with_capacity(messages.len());
            for (at, message) in messages {
                done.push((at, self.send_one(&device, message).await));
            }
            done
        });
        for (at, end) in join_all(sends).await.into_iter().flatten() {
            ends[at] = end;
        }
        ends
    }

    /// To the device that is meant: some clients write its id in percent encoding.
    async fn send_one(&self, device: &str, message: CloudMessage) -> Result<()> {
        let mut ids = addresses(device, None).into_iter().rev().peekable();
        while let Some(id) = ids.next() {
            let sent =
                self.services.hub.send_message(&self.caller, &self.hub, &id.device, message.clone()).await;
            match sent {
                Err(error) if error.code == ErrorCode::DeviceNotFound && ids.peek().is_some() => {}
                sent => return sent,
            }
        }
        Err(Error::invalid("the message's 'to' names no device: use /devices/{id}/messages/devicebound"))
    }

    /// The next feedback; none when it is not wanted any more. It is locked then: not to be dropped half way.
    async fn feedback(self, which: Notices, wanted: &CancellationToken) -> Result<Option<Box<Taken>>> {
        let hub = &self.services.hub;
        let mut arrivals = hub.feedback_arrivals();
        while !wanted.is_cancelled() {
            arrivals.borrow_and_update();
            if let Some(batch) = hub.receive_notices(&self.caller, &self.hub, which).await? {
                return Ok(Some(Box::new(Taken { batch: Some(batch), which, service: self })));
            }
            tokio::select! {
                // Either way it is looked for again.
                _ = tokio::time::timeout(LOOK, arrivals.changed()) => {}
                () = wanted.cancelled() => {}
            }
        }
        Ok(None)
    }

    async fn settle(&self, which: Notices, tokens: &[Etag], settle: Settle) -> Vec<Result<()>> {
        let mut ends = Vec::with_capacity(tokens.len());
        for token in tokens {
            let hub = &self.services.hub;
            let end = hub.settle_notices(&self.caller, &self.hub, which, (token, settle)).await;
            if let Err(error) = &end {
                tracing::debug!(hub = %self.hub.name, %error, "feedback comes again");
            }
            ends.push(end);
        }
        ends
    }
}

/// The device that a message is for, as its `to` names it, and what it is sent.
fn read(sent: Sent) -> Result<(String, CloudMessage)> {
    let message = Message::decode(sent.message).map_err(malformed)?;
    let properties = message.properties.unwrap_or_default();
    let to = properties.to.as_deref().and_then(Place::of);
    let Some(Place::Device { device, module: None, part: Part::DeviceBound }) = to else {
        let text = "the message's 'to' names no device: use /devices/{id}/messages/devicebound";
        return Err(Error::invalid(text));
    };
    let mut own = application_properties(&message.application_properties)?;
    let ack = match own.iter().position(|(name, _)| name == ACK) {
        Some(at) => {
            let (_, word) = own.remove(at);
            Ack::parse(&word)
                .ok_or_else(|| Error::invalid(format!("{ACK} must be none, positive, negative or full")))?
        }
        None => Ack::None,
    };
    let system = MessageProperties {
        message_id: properties.message_id.as_ref().map(id_text),
        correlation_id: properties.correlation_id.as_ref().map(id_text),
        user_id: properties.user_id.and_then(|id| String::from_utf8(id.to_vec()).ok()),
        content_type: properties.content_type.map(|text| text.as_str().to_owned()),
        content_encoding: properties.content_encoding.map(|text| text.as_str().to_owned()),
        expiry: properties.absolute_expiry_time.map(Timestamp::from_millis),
    };
    Ok((device, CloudMessage { system, ack, properties: own, body: body(message.body)? }))
}

fn feedback_message(service: &Service, which: Notices, batch: FeedbackBatch) -> Message {
    let (to, kind) = match which {
        Notices::Feedback => ("/messages/serviceBound/feedback", FEEDBACK_CONTENT_TYPE),
        Notices::Files => ("/messages/serviceBound/filenotifications", "application/json"),
    };
    let mut annotations = Annotations::default();
    annotations.push(Symbol::from_static("x-opt-sequence-number"), Value::Long(batch.sequence));
    annotations
        .push(Symbol::from_static("iothub-enqueuedtime"), Value::Timestamp(batch.enqueued.as_millis()));
    annotations.push(Symbol::from_static("iothub-deliverycount"), Value::Long(batch.delivery_count.into()));
    let properties = Properties {
        user_id: Some(service.hub.name.to_string().into()),
        to: Some(to.to_owned()),
        content_type: Some(Symbol::from_static(kind)),
        content_encoding: Some(Symbol::from_static("utf-8")),
        ..Properties::default()
    };
    Message {
        message_annotations: annotations,
        properties: Some(properties),
        body: Body::data(batch.body),
        ..Message::default()
    }
}

impl Hubs {
    /// Who the peer is as a service, as things are. [`ErrorCode::Unauthorized`] where it is none.
    pub(in crate::amqp) fn service(&self, services: &Arc<Services>, action: HubAction) -> Result<Service> {
        let (hub, caller) = self.credentials.service(services, action)?;
        Ok(Service { services: Arc::clone(services), hub, caller })
    }
}

impl Connection {
    pub(super) fn attach_service_link(
        &mut self,
        attached: &Attached,
        part: ServicePart,
    ) -> std::result::Result<(), AmqpError> {
        let action = match part {
            ServicePart::DeviceBound => HubAction::MessagesSend,
            ServicePart::Notices(which) => which.action(),
        };
        let service = self.hubs.service(&self.edge.services, action).map_err(|error| hub_error(&error))?;
        let link = match (part, attached.role) {
            (ServicePart::DeviceBound, Role::Receiver) => Link::Publisher(Publisher::new(Sink::Devices)),
            (ServicePart::Notices(which), Role::Sender) => {
                let (receiving, wanted, ready, held) = Default::default();
                let feedback = Feedback { service, which, receiving, wanted, ready, held, sent: 0 };
                Link::Hub(HubLink::Feedback(Box::new(feedback)))
            }
            _ => {
                let text = "services send to /messages/devicebound, and receive from the others";
                return Err(AmqpError::new(condition::NOT_ALLOWED, text));
            }
        };
        let mut options = attached.agreed();
        options.properties = attached.properties.clone();
        let largest = self.edge.services.context.limits.cloud_message + ROOM;
        options.max_message_size = Some(largest as u64);
        self.links.insert(attached.link, link);
        self.endpoint.accept_attach(attached.link, options);
        if attached.role == Role::Receiver {
            self.endpoint.grant(attached.link, CREDIT);
        }
        Ok(())
    }

    /// Looks for feedback, if the service gives credit, and sends what there is.
    pub(super) fn pump_feedback(&mut self, id: LinkId) {
        let Some(Link::Hub(HubLink::Feedback(link))) = self.links.get_mut(&id) else { return };
        if let Some(batch) = &link.ready {
            let tag = tag(batch.sequence, link.sent);
            let payload = feedback_message(&link.service, link.which, batch.clone()).encode();
            let outgoing = Outgoing { tag: &tag, message_format: 0, payload, settled: false };
            let Ok(delivery) = self.endpoint.send(id, outgoing) else { return };
            link.sent += 1;
            link.held.extend(link.ready.take().map(|batch| (delivery, batch.lock_token)));
        }
        if link.receiving || self.endpoint.credit(id) == 0 {
            return;
        }
        let (service, which) = (link.service.clone(), link.which);
        let wanted = CancellationToken::new();
        (link.receiving, link.wanted) = (true, Some(wanted.clone().drop_guard()));
        // In a task of its own: what it has locked is given back though the connection ends meanwhile.
        let receiving = tokio::spawn(async move { service.feedback(which, &wanted).await });
        self.work.push(Box::pin(async move {
            let received = receiving.await.unwrap_or_else(|error| {
                tracing::error!(%error, "feedback could not be received");
                Ok(None)
            });
            Done::Hub(HubDone::Feedback { link: id, received: received.transpose() })
        }));
    }

    /// Feedback was received, or there was none.
    pub(super) fn feedback_received(&mut self, id: LinkId, received: Option<Result<Box<Taken>>>) {
        let Some(Link::Hub(HubLink::Feedback(link))) = self.links.get_mut(&id) else { return };
        (link.receiving, link.wanted) = (false, None);
        match received {
            // Without credit it goes back: others may want it.
            Some(Ok(mut taken)) if self.endpoint.credit(id) > 0 => link.ready = taken.batch.take(),
            Some(Ok(_)) | None => {}
            Some(Err(error)) => return self.detach_from_hub(id, &error),
        }
        self.pump_feedback(id);
    }

    /// A service gives credit, or wants it back: then what comes later comes without.
    pub(super) fn feedback_wanted(&mut self, id: LinkId, drain: bool) {
        let Some(Link::Hub(HubLink::Feedback(link))) = self.links.get_mut(&id) else { return };
        if drain && link.ready.is_none() {
            link.wanted = None;
            self.endpoint.drained(id);
            return;
        }
        self.pump_feedback(id);
    }

    /// A service has settled feedback.
    pub(super) fn feedback_settled(
        &mut self,
        id: LinkId,
        (first, last): (DeliveryId, DeliveryId),
        state: Option<&DeliveryState>,
        waits: bool,
    ) {
        let Some(Link::Hub(HubLink::Feedback(link))) = self.links.get_mut(&id) else { return };
        let (mut heard, tokens) = taken(&mut link.held, first, last);
        if !waits {
            heard.clear();
        }
        let (settle, service, which) = (settlement(state), link.service.clone(), link.which);
        // Also where the connection ends before it is done.
        let done = tokio::spawn(async move { service.settle(which, &tokens, settle).await });
        self.work.push(Box::pin(async move {
            let ends = done.await.unwrap_or_else(|error| {
                tracing::error!(%error, "feedback could not be settled");
                Vec::new()
            });
            Done::Hub(HubDone::NoticesSettled { link: id, ends: heard.into_iter().zip(ends).collect() })
        }));
    }
}
