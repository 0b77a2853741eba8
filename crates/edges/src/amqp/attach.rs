//! Links that peers ask for: what they are for, and whether the peer may.

use std::sync::Arc;
use std::time::Duration;

use pollux_amqp::endpoint::Attached;
use pollux_amqp::performative::{Error as AmqpError, Role, condition};
use pollux_amqp::{Symbol, Value};
use pollux_model::resource::PolicyRight;
use pollux_model::{Error, Result};
use pollux_services::events::{Place, Receiver, Seat};

use super::condition::amqp_error;
use super::connection::{Connection, Done, Link};
use super::consumer::{Consumer, position};
use super::entity::Entity;
use super::hub::Place as HubPlace;
use super::outbox::Outbox;
use super::publisher::{CREDIT, Publisher, Sink};
use super::registration::Place as Registration;
use super::request::{self, Answers, Node};

/// Links of a connection: more than any client makes; and before a token was put, the pairs of `$cbs` and `$management`.
const LINKS: usize = 5000;
const STRANGERS_LINKS: usize = 16;
/// The longest address that is kept, in bytes.
const LONGEST: usize = 1024;
/// Where AMQP over TLS is (IANA's amqps); clients know no other.
const PORT: i32 = 5671;
/// How long a link is open whose client is sent on.
const MOMENT: Duration = Duration::from_millis(50);
/// Properties and capabilities of receivers.
const EPOCH: &str = "com.microsoft:epoch";
const RECEIVER_NAME: &str = "com.microsoft:receiver-name";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";
/// npm's client wants offsets as strings that are not numbers, where the service has them; ours are numbers anyway.
const GEOREPLICATION: &str = "com.microsoft:georeplication";

impl Connection {
    /// A peer asks for a link.
    pub(super) fn attach(&mut self, attached: Attached) {
        let link = attached.link;
        self.links.insert(link, Link::Attaching);
        self.sessions.insert(link, attached.session);
        let address = match attached.role {
            Role::Receiver => attached.target.as_ref().and_then(|target| target.address.as_deref()),
            Role::Sender => attached.source.as_ref().and_then(|source| source.address.as_deref()),
        };
        let done = match attached.role {
            _ if self.links.len() > self.most_links() => {
                let text = format!("the connection has {} links; detach some", self.most_links());
                Err(AmqpError::new(condition::RESOURCE_LIMIT_EXCEEDED, text))
            }
            _ if let Some(place) = address.and_then(HubPlace::of) => self.attach_to_hub(&attached, place),
            _ if let Some(place) = address.and_then(Registration::of) => {
                self.attach_device(&attached, place);
                Ok(())
            }
            Role::Receiver => self.attach_sending_peer(&attached),
            Role::Sender => self.attach_receiving_peer(&attached),
        };
        if let Err(error) = done {
            self.leave(link);
            self.endpoint.refuse_attach(link, error);
        }
    }

    /// Links the connection may have: few until a token was put.
    fn most_links(&self) -> usize {
        if self.is_stranger() { STRANGERS_LINKS } else { LINKS }
    }

    fn attach_sending_peer(&mut self, attached: &Attached) -> std::result::Result<(), AmqpError> {
        let address = attached.target.as_ref().and_then(|target| target.address.as_deref());
        let Some(address) = address else {
            let text = "name an event hub in the target's address: there is no anonymous relay";
            return Err(AmqpError::new(condition::NOT_IMPLEMENTED, text));
        };
        if self.sent_on(attached, address)? {
            return Ok(());
        }
        let (link, credit) = match Node::of(address) {
            Some(node) => (Link::Requests(node), request::CREDIT),
            None => {
                let publisher = self.publisher(address).map_err(|error| amqp_error(&error))?;
                (Link::Publisher(publisher), CREDIT)
            }
        };
        self.accept(attached);
        self.links.insert(attached.link, link);
        self.endpoint.grant(attached.link, credit);
        Ok(())
    }

    fn entity(&self, path: &str, right: PolicyRight) -> Result<Entity> {
        Entity::find(&self.edge.services, self.claims.all(), &self.host, path, right)
    }

    fn publisher(&self, path: &str) -> Result<Publisher> {
        let entity = self.entity(path, PolicyRight::Send)?;
        if matches!(entity.address.place, Place::Consumer { .. }) {
            return Err(Error::invalid(
                "events are sent to the event hub or a partition, not to a consumer group",
            ));
        }
        Ok(Publisher::new(Sink::EventHub(Box::new(entity))))
    }

    fn attach_receiving_peer(&mut self, attached: &Attached) -> std::result::Result<(), AmqpError> {
        let address = attached.source.as_ref().and_then(|source| source.address.as_deref());
        let Some(address) = address else {
            return Err(AmqpError::new(condition::INVALID_FIELD, "the source has no address"));
        };
        if self.sent_on(attached, address)? {
            return Ok(());
        }
        if let Some(node) = Node::of(address) {
            let reply_to = attached.target.as_ref().and_then(|target| target.address.clone());
            if reply_to.as_ref().is_some_and(|address| address.len() > LONGEST) {
                let text = format!("the target's address is longer than {LONGEST} bytes");
                return Err(AmqpError::new(condition::INVALID_FIELD, text));
            }
            self.accept(attached);
            let answers = Answers { node, reply_to, waiting: Outbox::default() };
            self.links.insert(attached.link, Link::Answers(answers));
            return Ok(());
        }
        self.consumer(attached, address).map_err(|error| amqp_error(&error))
    }

    /// Sends whoever wants a hub's built-in endpoint of the hub itself on to it, on links of both directions: npm's
    /// @azure/event-hubs asks for one to send requests on first. True where that was so.
    fn sent_on(&mut self, attached: &Attached, address: &str) -> std::result::Result<bool, AmqpError> {
        let events = &self.edge.services.events;
        let Some(there) = events.at_built_in(&self.host, self.claims.all(), address) else {
            return Ok(false);
        };
        let path = there.map_err(|error| amqp_error(&error))?;
        self.redirect(attached, &path);
        Ok(true)
    }

    /// Sends a client of a hub on to the hub's built-in endpoint, at this same server, as IoT Hub does (`hostname` and
    /// `address` are what clients read: `iothubConnectionString.ts` of npm's @azure/event-hubs samples,
    /// `hub_target_builder.py` of the Azure CLI's extension azure-iot).
    ///
    /// The link is open for a moment first: clients look for its errors once they know that it is.
    fn redirect(&mut self, attached: &Attached, path: &str) {
        self.accept(attached);
        let host = self.host.split(':').next().unwrap_or_default();
        let mut error = AmqpError::new(condition::LINK_REDIRECT, "events are read at the built-in endpoint");
        error.info.push(Symbol::from_static("hostname"), host);
        error.info.push(Symbol::from_static("network-host"), host);
        error.info.push(Symbol::from_static("port"), Value::Int(PORT));
        error.info.push(Symbol::from_static("address"), format!("amqps://{host}:{PORT}/{path}"));
        let link = attached.link;
        self.work.push(Box::pin(async move {
            tokio::time::sleep(MOMENT).await;
            Done::Redirected { link, error: Box::new(error) }
        }));
    }

    fn consumer(&mut self, attached: &Attached, path: &str) -> Result<()> {
        let services = Arc::clone(&self.edge.services);
        let entity = self.entity(path, PolicyRight::Listen)?;
        let Place::Consumer { group, partition } = entity.address.place.clone() else {
            return Err(Error::invalid(
                "events are received from <hub>/ConsumerGroups/<group>/Partitions/<n>",
            ));
        };
        let from = position(attached)?;
        let receiver = Receiver {
            name: attached.properties.get(RECEIVER_NAME).and_then(Value::as_str).map(str::to_owned),
            epoch: attached.properties.get(EPOCH).and_then(Value::as_i64),
        };
        let (namespace, hub) = (Arc::clone(&entity.namespace), entity.address.event_hub.clone());
        let seat = Seat { namespace: namespace.name.to_string(), event_hub: hub.clone(), group, partition };
        let runtime_metric = attached.desired_capabilities.iter().any(|one| one.as_str() == RUNTIME_METRIC);
        let link = attached.link;
        self.links.insert(link, Link::Consumer(Box::new(Consumer::new(entity, runtime_metric, attached))));
        self.work.push(Box::pin(async move {
            // The peer is answered when all this is done: whoever sends right after its receiver is attached is heard.
            let seated = async {
                let reader = services.events.reader(&namespace, &hub, partition, from).await?;
                Ok((services.events.take_seat(seat, receiver).await?, reader))
            };
            Done::Seated { link, seated: seated.await }
        }));
        Ok(())
    }

    /// Agrees to a link. Of its filters only the selector stays, which is in place.
    pub(super) fn accept(&mut self, attached: &Attached) {
        let mut options = attached.agreed();
        if let Some(source) = &mut options.source {
            source.filter.0.retain(|(name, value)| super::consumer::is_selector(name, value));
        }
        let largest = self.edge.services.events.largest() as u64;
        options.max_message_size = Some(largest);
        let offered = |name: &Symbol| [RUNTIME_METRIC, GEOREPLICATION].contains(&name.as_str());
        options.offered_capabilities =
            attached.desired_capabilities.iter().filter(|one| offered(one)).cloned().collect();
        options.properties = attached.properties.clone();
        self.endpoint.accept_attach(attached.link, options);
    }
}
