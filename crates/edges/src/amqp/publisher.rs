//! A link on which the peer sends events: what came together is appended together, one append at a time.

use bytes::Bytes;
use pollux_amqp::endpoint::{Delivery, DeliveryId, LinkId};
use pollux_amqp::performative::DeliveryState;
use pollux_model::resource::PolicyRight;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Services;
use pollux_services::events::{Address, Claim, Namespace, Sent};

use super::condition::amqp_error;
use super::connection::{Connection, Done, Link};

/// Messages a peer may have under way on a link.
pub(super) const CREDIT: u32 = 1000;
/// Messages, and bytes of them, in one append.
const TOGETHER: usize = 256;
const BYTES: usize = 1024 * 1024;

/// The state of such a link.
pub(super) struct Publisher {
    namespace: Namespace,
    address: Address,
    /// The address as the peer wrote it.
    path: String,
    waiting: Vec<(DeliveryId, bool, Sent)>,
    /// Messages of the append that is under way.
    appending: usize,
}

impl Publisher {
    pub(super) const fn new(namespace: Namespace, address: Address, path: String) -> Self {
        Self { namespace, address, path, waiting: Vec::new(), appending: 0 }
    }

    /// Whether the link may stay.
    pub(super) fn review<'c>(
        &mut self,
        services: &Services,
        claims: impl Iterator<Item = &'c Claim>,
    ) -> Result<()> {
        self.namespace = services.events.current(&self.namespace).ok_or_else(gone)?;
        services.events.event_hub(&self.namespace, &self.address)?;
        services.events.require(&self.namespace, claims, &self.path, PolicyRight::Send).map(drop)
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|(_, _, sent)| sent.message.len()).sum()
    }
}

/// What a link is told whose namespace was deleted.
pub(super) fn gone() -> Error {
    Error::new(ErrorCode::EventHubNotFound, "The messaging entity could not be found: it was deleted.")
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
                self.endpoint.grant(link, super::request::CREDIT);
                self.request(node, delivery.payload);
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
            let (services, link) = (std::sync::Arc::clone(&self.edge.services), *id);
            let (namespace, address) = (publisher.namespace.clone(), publisher.address.clone());
            self.work.push(Box::pin(async move {
                let bytes = taken.iter().map(|(_, _, sent)| sent.message.len()).sum();
                let (ids, sent): (Vec<_>, Vec<_>) =
                    taken.into_iter().map(|(id, settled, sent)| ((id, settled), sent)).unzip();
                let stored = services.events.publish(&namespace, &address, sent).await;
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
        let mut fatal = None;
        for (id, settled, outcome) in outcomes {
            let state = match &outcome {
                Ok(()) => DeliveryState::Accepted,
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

    /// A request of the peer.
    fn request(&mut self, node: super::request::Node, payload: Bytes) {
        super::request::begin(self, node, payload);
    }
}
