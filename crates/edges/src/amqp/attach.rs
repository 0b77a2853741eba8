//! Links that peers ask for: what they are for, and whether the peer may.

use std::collections::VecDeque;
use std::sync::Arc;

use pollux_amqp::endpoint::Attached;
use pollux_amqp::performative::{Error as AmqpError, Role, condition};
use pollux_amqp::{Symbol, Value};
use pollux_model::resource::PolicyRight;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::events::{Address, Place, Receiver, Seat};

use super::condition::amqp_error;
use super::connection::{Connection, Done, Link};
use super::consumer::{Consumer, Start, position};
use super::publisher::{CREDIT, Publisher};
use super::request::{self, Answers, Node};

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
        let done = match attached.role {
            Role::Receiver => self.attach_sending_peer(&attached),
            Role::Sender => self.attach_receiving_peer(&attached),
        };
        if let Err(error) = done {
            self.leave(link);
            self.endpoint.refuse_attach(link, error);
        }
    }

    fn attach_sending_peer(&mut self, attached: &Attached) -> std::result::Result<(), AmqpError> {
        let address = attached.target.as_ref().and_then(|target| target.address.as_deref());
        let Some(address) = address else {
            let text = "name an event hub in the target's address: there is no anonymous relay";
            return Err(AmqpError::new(condition::NOT_IMPLEMENTED, text));
        };
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

    fn publisher(&self, path: &str) -> Result<Publisher> {
        let events = &self.edge.services.events;
        let address = Address::parse(path)?;
        let namespace = events.namespace(&self.host, path).ok_or_else(|| nowhere(&self.host))?;
        events.require(&namespace, self.claims.all(), path, PolicyRight::Send)?;
        events.event_hub(&namespace, &address)?;
        if matches!(address.place, Place::Consumer { .. }) {
            return Err(Error::invalid(
                "events are sent to the event hub or a partition, not to a consumer group",
            ));
        }
        Ok(Publisher::new(namespace, address, path.to_owned()))
    }

    fn attach_receiving_peer(&mut self, attached: &Attached) -> std::result::Result<(), AmqpError> {
        let address = attached.source.as_ref().and_then(|source| source.address.as_deref());
        let Some(address) = address else {
            return Err(AmqpError::new(condition::INVALID_FIELD, "the source has no address"));
        };
        if let Some(node) = Node::of(address) {
            let reply_to = attached.target.as_ref().and_then(|target| target.address.clone());
            self.accept(attached);
            let answers = Answers { node, reply_to, waiting: VecDeque::new() };
            self.links.insert(attached.link, Link::Answers(answers));
            return Ok(());
        }
        self.consumer(attached, address).map_err(|error| amqp_error(&error))
    }

    fn consumer(&mut self, attached: &Attached, path: &str) -> Result<()> {
        let services = Arc::clone(&self.edge.services);
        let events = &services.events;
        let address = Address::parse(path)?;
        let namespace = events.namespace(&self.host, path).ok_or_else(|| nowhere(&self.host))?;
        events.require(&namespace, self.claims.all(), path, PolicyRight::Listen)?;
        let hub = events.event_hub(&namespace, &address)?.name.clone();
        let Place::Consumer { group, partition } = address.place.clone() else {
            return Err(Error::invalid(
                "events are received from <hub>/ConsumerGroups/<group>/Partitions/<n>",
            ));
        };
        let from = position(attached)?;
        let receiver = Receiver {
            name: attached.properties.get(RECEIVER_NAME).and_then(Value::as_str).map(str::to_owned),
            epoch: attached.properties.get(EPOCH).and_then(Value::as_i64),
        };
        let seat = Seat { namespace: namespace.name.clone(), event_hub: hub.clone(), group, partition };
        let runtime_metric = attached.desired_capabilities.iter().any(|one| one.as_str() == RUNTIME_METRIC);
        self.accept(attached);
        let start = Start { namespace: namespace.clone(), address, path: path.to_owned(), runtime_metric };
        let link = attached.link;
        self.links.insert(link, Link::Consumer(Box::new(Consumer::new(start, attached))));
        self.work.push(Box::pin(async move {
            let seated = async {
                // The end is looked up first: what comes while the place is taken is not missed.
                let reader = services.events.reader(&namespace, &hub, partition, from).await?;
                Ok((services.events.take_seat(seat, receiver).await?, reader))
            };
            Done::Seated { link, seated: seated.await }
        }));
        Ok(())
    }

    fn accept(&mut self, attached: &Attached) {
        let mut options = attached.agreed();
        let largest = self.edge.services.events.largest() as u64;
        options.max_message_size = Some(largest);
        let offered = |name: &Symbol| [RUNTIME_METRIC, GEOREPLICATION].contains(&name.as_str());
        options.offered_capabilities =
            attached.desired_capabilities.iter().filter(|one| offered(one)).cloned().collect();
        options.properties = attached.properties.clone();
        self.endpoint.accept_attach(attached.link, options);
    }
}

fn nowhere(host: &str) -> Error {
    let text = format!("there is no event hubs namespace at '{}'", pollux_model::ids::shown(host));
    Error::new(ErrorCode::EventHubNotFound, text)
}
