//! A link on which the peer sends, to an event hub, as a device of a hub or to such devices: what came together is appended together, one
//! append at a time.

use std::sync::Arc;

use pollux_amqp::endpoint::{Delivery, DeliveryId, LinkId};
use pollux_amqp::performative::DeliveryState;
use pollux_model::{ErrorCode, Result};
use pollux_services::HubAction;
use pollux_services::events::Sent;

use super::condition::amqp_error;
use super::connection::{Connection, Done, Link};
use super::entity::Entity;
use super::hub::{Own, SeatId, Service, hub_error, keep_telemetry};

/// Messages a peer may have under way on a link.
pub(super) const CREDIT: u32 = 1000;
/// Messages, and bytes of them, in one append.
const TOGETHER: usize = 256;
const BYTES: usize = 1024 * 1024;

/// The state of such a link.
pub(super) struct Publisher {
    pub(super) sink: Sink,
    waiting: Vec<(DeliveryId, bool, Sent)>,
    /// Messages of the append that is under way.
    appending: usize,
}

/// Where events go.
pub(super) enum Sink {
    /// An event hub.
    EventHub(Box<Entity>),
    /// The hub of this device, as its telemetry.
    Telemetry(SeatId),
    /// The devices that the messages name.
    Devices,
}

/// The same for one append.
enum To {
    EventHub(Box<Entity>),
    Hub(Arc<Own>),
    Devices(Result<Box<Service>>),
}

impl Publisher {
    pub(super) const fn new(sink: Sink) -> Self {
        Self { sink, waiting: Vec::new(), appending: 0 }
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|(_, _, sent)| sent.message.len()).sum()
    }
}

impl Connection {
    /// A message of the peer.
    pub(super) fn delivered(&mut self, delivery: Delivery) {
        let (link, id) = (delivery.link, delivery.id);
        match self.links.get_mut(&link) {
            Some(Link::Publisher(publisher)) => {
                self.waiting += delivery.payload.len();
                let sent = Sent { format: delivery.message_format, message: delivery.payload };
                publisher.waiting.push((id, delivery.settled, sent));
            }
            Some(Link::Requests(node)) => {
                let node = *node;
                if !delivery.settled {
                    self.endpoint.settle(link, id, DeliveryState::Accepted);
                }
                self.request(node, link, delivery.payload);
            }
            Some(Link::Device { device, stays }) => {
                let (device, stays) = (Arc::clone(device), *stays);
                self.asked_by_device(device, stays, delivery);
            }
            Some(Link::Hub(_)) => self.delivered_to_hub(delivery),
            Some(Link::Refused(error)) => {
                let error = Arc::clone(error);
                self.refuse_request(&error, &delivery);
            }
            _ => {}
        }
    }

    /// Begins an append for each link that has something and none under way; lets peers send on.
    pub(super) fn start_appends(&mut self) {
        for (id, link) in &mut self.links {
            let Link::Publisher(publisher) = link else { continue };
            let under_way = u32::try_from(publisher.waiting.len() + publisher.appending).unwrap_or(u32::MAX);
            if self.endpoint.credit(*id) < CREDIT / 2 && under_way < CREDIT / 2 {
                self.endpoint.grant(*id, CREDIT - under_way);
            }
            if publisher.appending > 0 || publisher.waiting.is_empty() {
                continue;
            }
            let mut bytes = 0;
            let fits = publisher.waiting.iter().take(TOGETHER).take_while(|(_, _, sent)| {
                bytes += sent.message.len();
                bytes <= BYTES
            });
            let count = fits.count().max(1);
            let taken: Vec<_> = publisher.waiting.drain(..count).collect();
            publisher.appending = taken.len();
            let (services, link) = (Arc::clone(&self.edge.services), *id);
            let to = match &publisher.sink {
                Sink::EventHub(entity) => To::EventHub(entity.clone()),
                Sink::Telemetry(seat) => match self.hubs.own(*seat) {
                    Some(own) => To::Hub(Arc::clone(own)),
                    // Its link goes with its seat.
                    None => continue,
                },
                Sink::Devices => {
                    let service = self.hubs.service(&self.edge.services, HubAction::MessagesSend);
                    To::Devices(service.map(Box::new))
                }
            };
            self.work.push(Box::pin(async move {
                let bytes = taken.iter().map(|(_, _, sent)| sent.message.len()).sum();
                let (ids, sent): (Vec<_>, Vec<_>) =
                    taken.into_iter().map(|(id, settled, sent)| ((id, settled), sent)).unzip();
                let stored = match to {
                    To::EventHub(entity) => {
                        services.events.publish(&entity.namespace, &entity.address, sent).await
                    }
                    To::Hub(own) => keep_telemetry(&own, sent).await,
                    To::Devices(Ok(service)) => service.send(sent).await,
                    To::Devices(Err(error)) => sent.iter().map(|_| Err(error.clone())).collect(),
                };
                let outcomes = ids.into_iter().zip(stored).map(|((id, settled), end)| (id, settled, end));
                Done::Published { link, bytes, outcomes: outcomes.collect() }
            }));
        }
    }

    /// An append has ended.
    pub(super) fn published(
        &mut self,
        link: LinkId,
        bytes: usize,
        outcomes: Vec<(DeliveryId, bool, Result<()>)>,
    ) {
        self.waiting = self.waiting.saturating_sub(bytes);
        let Some(Link::Publisher(publisher)) = self.links.get_mut(&link) else { return };
        publisher.appending = 0;
        let of_hub = !matches!(publisher.sink, Sink::EventHub(_));
        let mut fatal = None;
        for (id, settled, outcome) in outcomes {
            let state = match &outcome {
                Ok(()) => DeliveryState::Accepted,
                Err(error) if of_hub => DeliveryState::rejected(hub_error(error)),
                Err(error) => DeliveryState::rejected(amqp_error(error)),
            };
            if let Err(error) = outcome
                && (settled || error.code == ErrorCode::EventHubNotFound)
            {
                // Who does not want to hear of a message hears of the link's end; without its event hub it has no use.
                fatal = Some(error);
            }
            if !settled {
                self.endpoint.settle(link, id, state);
            }
        }
        if let Some(error) = fatal {
            self.detach(link, &error);
        }
    }
}
