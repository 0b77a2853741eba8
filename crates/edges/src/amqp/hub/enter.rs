//! A device attaches a link: who it is, by what was shown, and its place among the live connections.

use std::sync::Arc;

use pollux_amqp::endpoint::Attached;
use pollux_amqp::performative::{Error as AmqpError, Role, SenderSettleMode, condition};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Result};
use pollux_services::hub::Connection as Seated;
use pollux_services::{Caller, Services};

use super::address::{Part, addresses};
use super::condition::hub_error;
use super::devicebound::DeviceBound;
use super::told::{Handle, SeatLink};
use super::twin::Twin;
use super::{Entering, HubDone, HubLink, Ours, Own, Place, Seat, SeatId, method, property, twin};
use crate::amqp::connection::{Connection, Done, Link};
use crate::amqp::outbox::Outbox;
use crate::amqp::publisher::{CREDIT, Publisher, Sink};
use crate::peer::Peer;

/// Devices of one connection: clients that pool connections put somewhat fewer than a thousand on each
/// (`AmqpConnectionPoolSettings` of the SDK for C#).
const DEVICES: usize = 1000;
/// Links of one device: more than any client makes.
const LINKS: usize = 16;
/// How often a certificate may make nobody a device on one connection.
const REFUSALS: u32 = 8;
/// The longest model id, in bytes (DTDL v3, "Digital Twin Model Identifier").
const MODEL_ID: usize = 4096;
/// Bytes that a request about a twin, or an answer to a method, has beside its document.
const ROOM: usize = 16 * 1024;
/// Properties of links. A device announces its model in the first (`BaseHandler.java` of the SDK for Java); the second says
/// which two links of a pair belong together.
const MODEL: &str = "com.microsoft:model-id";
const CHANNEL: &str = "com.microsoft:channel-correlation-id";
/// The longest of the latter that is kept, in bytes.
const LONGEST_CHANNEL: usize = 256;

/// Who has come in.
pub(in crate::amqp) struct Entered {
    own: Own,
    place: Seated,
    link: Arc<SeatLink>,
}

/// What is known of a device before it is let in.
struct Asking {
    services: Arc<Services>,
    peer: Peer,
    /// The hub that the host name leads to.
    hub: Arc<Resource>,
    ids: Vec<DeviceAddress>,
    tokens: Vec<(Arc<Resource>, SasToken)>,
    model_id: Option<String>,
}

impl Asking {
    async fn enter(self, link: Arc<SeatLink>) -> Result<Entered> {
        let (hub, caller, id) = self.authenticate().await?;
        let Self { services, peer, model_id, .. } = self;
        let caller = caller.from_address(peer.address.ip());
        if let Some(model_id) = &model_id {
            services.hub.announce_model(&caller, &hub, &id, model_id).await?;
        }
        let handle = Arc::new(Handle(Arc::clone(&link)));
        let place = services.hub.connect_device(&caller, &hub, &id, handle).await?;
        Ok(Entered { own: Own { services, hub, caller, id, model_id }, place, link })
    }

    /// By a token that was put, or by the certificate that the connection began with. Whoever shows neither, and whoever shows
    /// another device's, is told the same.
    async fn authenticate(&self) -> Result<(Arc<Resource>, Caller, DeviceAddress)> {
        let refused = "nothing that was shown proves that the peer is this device, and may be";
        let mut refused = Error::new(ErrorCode::Unauthorized, refused);
        for id in &self.ids {
            for (hub, token) in &self.tokens {
                // As it is now: rights may have been taken since the token was put.
                let Some(hub) = self.services.context.table.named(ResourceKind::Hub, &hub.name) else {
                    continue;
                };
                match self.services.hub.authenticate_device(&hub, id, token).await {
                    Ok((caller, _)) => return Ok((hub, caller, id.clone())),
                    Err(error) => refused = telling(refused, error),
                }
            }
            if let Some(Ok(chain)) = self.peer.chain() {
                let by = &self.services.hub;
                match by.authenticate_device_by_certificate(&self.hub, id, chain).await {
                    Ok((caller, _)) => return Ok((Arc::clone(&self.hub), caller, id.clone())),
                    Err(error) => refused = telling(refused, error),
                }
            }
        }
        Err(refused)
    }
}

/// Of two refusals the one that says more.
fn telling(before: Error, error: Error) -> Error {
    if before.code == ErrorCode::Unauthorized { error } else { before }
}

impl Connection {
    /// Whether a certificate is that of the device whose name it bears. It gives no right, but time: such a device may be
    /// silent until it has something to send, and attaches its first link then (npm's azure-iot-device-amqp).
    pub(in crate::amqp) fn recognize(&mut self) {
        let services = Arc::clone(&self.edge.services);
        let hub = services.context.table.serving(ResourceKind::Hub, &self.host);
        let (Some(hub), true) = (hub, self.peer.shows()) else { return };
        let peer = self.peer.clone();
        self.work.push(Box::pin(async move {
            let Some(Ok(chain)) = peer.chain() else { return Done::Nothing };
            let name = chain.leaf().common_name().map(DeviceId::parse);
            let Some(Ok(id)) = name else { return Done::Nothing };
            let found = services.hub.authenticate_device_by_certificate(&hub, &id.into(), chain).await;
            Done::Hub(HubDone::Recognized(found.is_ok()))
        }));
    }

    /// A peer asks for a link of a hub.
    pub(in crate::amqp) fn attach_to_hub(
        &mut self,
        attached: &Attached,
        place: Place,
    ) -> Result<(), AmqpError> {
        let table = &self.edge.services.context.table;
        let hub = table.serving(ResourceKind::Hub, &self.host).ok_or_else(|| {
            let text = format!("there is no hub at '{}'", pollux_model::ids::shown(&self.host));
            AmqpError::new(condition::IOT_HUB_NOT_FOUND, text)
        })?;
        match place {
            // No message is for a module: those are for edge devices, which route between modules.
            Place::Device { module: Some(_), part: Part::DeviceBound, .. } => {
                Err(AmqpError::new(condition::NOT_FOUND, "a module receives no messages from the cloud"))
            }
            Place::Device { device, module, part } => {
                let ids = addresses(&device, module.as_deref());
                self.attach_device_link(attached, hub, ids, part)
            }
            Place::Service(part) => self.attach_service_link(attached, part),
        }
    }

    fn attach_device_link(
        &mut self,
        attached: &Attached,
        hub: Arc<Resource>,
        ids: Vec<DeviceAddress>,
        part: Part,
    ) -> Result<(), AmqpError> {
        let model_id = model_of(attached)?;
        match (part, attached.role) {
            (Part::Events, Role::Receiver) | (Part::DeviceBound, Role::Sender) => {}
            (Part::Twin | Part::Methods, _) => {}
            (Part::Events, Role::Sender) | (Part::DeviceBound, Role::Receiver) => {
                let text =
                    "a device sends events, and receives what is bound for it: not the other way round";
                return Err(AmqpError::new(condition::NOT_ALLOWED, text));
            }
        }
        let attached = Box::new(attached.clone());
        let tokens = self.hubs.credentials.of_devices(&ids);
        let seat = self.hubs.seats.iter().find(|(_, seat)| {
            let own = &seat.own;
            let here = own.hub.name == hub.name || tokens.iter().any(|(hub, _)| hub.name == own.hub.name);
            here && ids.contains(&own.id)
        });
        if let Some((number, seat)) = seat {
            let (number, own) = (*number, Arc::clone(&seat.own));
            match model_id.filter(|id| own.model_id.as_ref() != Some(id)) {
                None => return self.take_link(number, &attached, part),
                Some(model_id) => self.announce(number, own, model_id, (attached, part)),
            }
            return Ok(());
        }
        if let Some(entering) = self.hubs.entering.iter_mut().find(|one| one.ids == ids) {
            if entering.links.len() >= LINKS {
                return Err(too_many_links());
            }
            entering.links.push((attached, part));
            return Ok(());
        }
        let certificate = self.peer.shows() && self.hubs.refused < REFUSALS;
        if tokens.is_empty() && !certificate {
            let text =
                "put a token of this device on $cbs before you attach its links, or show its certificate";
            return Err(AmqpError::new(condition::UNAUTHORIZED_ACCESS, text));
        }
        if self.hubs.seats.len() + self.hubs.entering.len() >= DEVICES {
            let text = format!("the connection has {DEVICES} devices; open another");
            return Err(AmqpError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        self.hubs.last += 1;
        let number = self.hubs.last;
        let link = SeatLink::new(number, &self.hubs.mailbox);
        let (services, peer) = (Arc::clone(&self.edge.services), self.peer.clone());
        self.hubs.entering.push(Entering { number, ids: ids.clone(), links: vec![(attached, part)] });
        let asking = Asking { services, peer, hub, ids, tokens, model_id };
        self.work.push(Box::pin(async move {
            let entered = asking.enter(link).await.map(Box::new);
            Done::Hub(HubDone::Entered { number, entered })
        }));
        Ok(())
    }

    /// A device was looked at.
    pub(super) fn entered(&mut self, number: SeatId, entered: Result<Box<Entered>>) {
        let Some(at) = self.hubs.entering.iter().position(|one| one.number == number) else { return };
        let links = self.hubs.entering.swap_remove(at).links;
        // Those that the peer has taken back meanwhile are gone.
        let links = links.into_iter().filter(|(attached, _)| self.links.contains_key(&attached.link));
        let links: Vec<_> = links.collect();
        match entered {
            Ok(entered) if entered.link.is_closed() => {
                // Whoever closed it was heard before there was a seat.
                let text = "the device connected elsewhere, or may not be connected any more";
                self.refuse_links(&links, &AmqpError::new(condition::LINK_STOLEN, text));
            }
            Ok(_) if links.is_empty() => {}
            Ok(entered) => {
                let Entered { own, place, link } = *entered;
                tracing::debug!(peer = %self.peer, device = %own.id, "a device is connected over AMQP");
                let (own, link) = (Arc::new(own), Ours(link));
                let (seated, twin) = (Arc::clone(&own), Twin::default());
                let seat = Seat { own: seated, place, link, links: Vec::new(), twin, renewing: false };
                self.hubs.seats.insert(number, seat);
                self.known();
                for (attached, part) in links {
                    // The first link's model is known; a further one may announce it only now.
                    let model =
                        model_of(&attached).ok().flatten().filter(|id| own.model_id.as_ref() != Some(id));
                    if let Some(model_id) = model {
                        self.announce(number, Arc::clone(&own), model_id, (attached, part));
                    } else if let Err(error) = self.take_link(number, &attached, part) {
                        self.refuse_links(&[(attached, part)], &error);
                    }
                }
            }
            Err(error) => {
                tracing::info!(peer = %self.peer, "a device's link is refused: {error}");
                self.hubs.refused += u32::from(self.peer.shows());
                self.refuse_links(&links, &hub_error(&error));
            }
        }
    }

    /// A device that is there announces its model with a further link.
    fn announce(&mut self, seat: SeatId, own: Arc<Own>, model_id: String, asked: (Box<Attached>, Part)) {
        self.work.push(Box::pin(async move {
            let kept = own.services.hub.announce_model(&own.caller, &own.hub, &own.id, &model_id).await;
            Done::Hub(HubDone::Announced { seat, asked, announced: kept.map(|()| model_id) })
        }));
    }

    /// The model that a device announced is kept, or not.
    pub(super) fn announced(
        &mut self,
        number: SeatId,
        (attached, part): (Box<Attached>, Part),
        announced: Result<String>,
    ) {
        if !self.links.contains_key(&attached.link) {
            return;
        }
        let taken = announced.map_err(|error| hub_error(&error)).and_then(|model_id| {
            if let Some(seat) = self.hubs.seats.get_mut(&number) {
                seat.own = Arc::new(Own { model_id: Some(model_id), ..(*seat.own).clone() });
            }
            self.take_link(number, &attached, part)
        });
        if let Err(error) = taken {
            self.refuse_links(&[(attached, part)], &error);
        }
    }

    /// A device receives on one link: a later one takes its place, as a later connection of the device does, and with it
    /// what the earlier one has not settled.
    fn displace_receivers(&mut self, number: SeatId) {
        let links = self.hubs.seats.get(&number).map(|seat| seat.links.clone()).unwrap_or_default();
        for id in links {
            if matches!(self.links.get(&id), Some(Link::Hub(HubLink::DeviceBound(_)))) {
                let text = "the device has attached another link on which it receives";
                self.endpoint.detach(id, Some(AmqpError::new(condition::LINK_STOLEN, text)));
                self.leave(id);
            }
        }
    }

    fn refuse_links(&mut self, links: &[(Box<Attached>, Part)], error: &AmqpError) {
        for (attached, _) in links {
            self.leave(attached.link);
            self.endpoint.refuse_attach(attached.link, error.clone());
        }
    }

    /// Agrees to a link of a device that is there.
    fn take_link(&mut self, number: SeatId, attached: &Attached, part: Part) -> Result<(), AmqpError> {
        let id = attached.link;
        let gone = || AmqpError::new(condition::LINK_DETACH_FORCED, "the device is gone");
        let seat = self.hubs.seats.get_mut(&number).ok_or_else(gone)?;
        if seat.links.len() >= LINKS {
            return Err(too_many_links());
        }
        seat.links.push(id);
        if part == Part::DeviceBound {
            // Now that the device keeps its seat whatever goes.
            self.displace_receivers(number);
        }
        let seat = self.hubs.seats.get_mut(&number).ok_or_else(gone)?;
        let channel = property(&attached.properties, CHANNEL).filter(|text| text.len() <= LONGEST_CHANNEL);
        let channel = channel.map(str::to_owned);
        let limits = &self.edge.services.context.limits;
        let (largest, credit, link) = match (part, attached.role) {
            (Part::Twin, Role::Receiver) => {
                let link = HubLink::TwinRequests { seat: number, channel };
                (limits.device_twin_properties + ROOM, twin::CREDIT, Link::Hub(link))
            }
            (Part::Twin, Role::Sender) => {
                let link = HubLink::Twin { seat: number, channel, waiting: Outbox::default() };
                (0, 0, Link::Hub(link))
            }
            (Part::Methods, Role::Receiver) => {
                let link = HubLink::MethodAnswers { seat: number };
                (limits.method_payload + ROOM, method::CREDIT, Link::Hub(link))
            }
            (Part::Methods, Role::Sender) => {
                seat.link.0.listens(true);
                (0, 0, Link::Hub(HubLink::Methods { seat: number, waiting: Outbox::default() }))
            }
            (Part::DeviceBound, _) => {
                let settled = attached.snd_settle_mode == SenderSettleMode::Settled;
                let link = DeviceBound::new(number, Arc::clone(&seat.own), settled);
                (0, 0, Link::Hub(HubLink::DeviceBound(Box::new(link))))
            }
            (Part::Events, _) => {
                let link = Publisher::new(Sink::Telemetry(number));
                (limits.device_message + ROOM, CREDIT, Link::Publisher(link))
            }
        };
        let mut options = attached.agreed();
        options.properties = attached.properties.clone();
        options.max_message_size = Some(largest as u64);
        self.links.insert(id, link);
        self.endpoint.accept_attach(id, options);
        if attached.role == Role::Receiver {
            self.endpoint.grant(id, credit);
        }
        Ok(())
    }
}

fn too_many_links() -> AmqpError {
    let text = format!("the device has {LINKS} links; detach some");
    AmqpError::new(condition::RESOURCE_LIMIT_EXCEEDED, text)
}

/// The model that a device announces with a link, if it does.
fn model_of(attached: &Attached) -> Result<Option<String>, AmqpError> {
    match property(&attached.properties, MODEL) {
        None => Ok(None),
        Some(id) if id.len() <= MODEL_ID && id.starts_with("dtmi:") => Ok(Some(id.to_owned())),
        Some(_) => {
            let text = format!("{MODEL} must be a digital twin model identifier: dtmi:…");
            Err(AmqpError::new(condition::ARGUMENT_ERROR, text))
        }
    }
}
