//! A hub over AMQP: links of its devices and of its services (WIRE.md 4.9; `amqp.js`, `amqp_twin_client.js` and `amqp_device_method_client.js` of
//! npm's azure-iot-device-amqp).
//!
//! ```text
//!   token on $cbs │ SASL PLAIN │ certificate ─▶ credential ─┐
//!   link's address ─▶ address ─────────────────────────────┴─▶ enter ─▶ seat ─┬─▶ telemetry ─▶ services::hub
//!                                                                             ├─▶ twin ◀─▶ services::hub
//!                                                                             ├─▶ devicebound ◀─ services::hub
//!                                               services::hub ─▶ told ────────┴─▶ method ─▶ services::hub
//!   policy or bearer token ─▶ credential ─▶ service: messages to devices, feedback ◀─▶ services::hub
//! ```
//!
//! A device is connected while it has a link here, whatever it shows before (one connection may be that of many devices); then
//! it has a [`Seat`]. Who is disabled, deleted or connected elsewhere loses seat and links at once.

mod address;
mod condition;
mod credential;
mod devicebound;
mod enter;
mod leave;
mod method;
mod service;
mod telemetry;
mod told;
mod twin;

use std::collections::HashMap;
use std::sync::Arc;

use pollux_amqp::endpoint::{Attached, DeliveryId, LinkId};
use pollux_amqp::performative::Error as AmqpError;
use pollux_amqp::{Fields, Message};
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Result, Timestamp};
use pollux_services::hub::Connection as Seated;
use pollux_services::hub::cloud_to_device::{Received, Settle};
use pollux_services::{Caller, Services};

pub(super) use address::Place;
pub(super) use condition::hub_error;
pub(super) use credential::{Credential, Credentials, Plain, shown};
pub(super) use service::Service;
pub(super) use telemetry::keep as keep_telemetry;
pub(super) use told::Mailbox;

use super::cbs::Put;
use super::outbox::Outbox;
use address::Part;
use devicebound::DeviceBound;
use service::Feedback;
use told::SeatLink;

/// Who a device is, for all that it asks for.
#[derive(Debug, Clone)]
pub(super) struct Own {
    services: Arc<Services>,
    hub: Arc<Resource>,
    caller: Caller,
    id: DeviceAddress,
    /// The model that it announced when it attached a link.
    model_id: Option<String>,
}

/// The hubs' side of a connection.
#[derive(Default)]
pub(super) struct Hubs {
    /// What the peer has shown.
    pub(super) credentials: Credentials,
    /// Where services leave what they want of the devices.
    pub(super) mailbox: Arc<Mailbox>,
    /// The devices that are connected here, by the numbers of their seats.
    seats: HashMap<SeatId, Seat>,
    /// Devices that are being looked at, and their links that wait for that.
    entering: Vec<Entering>,
    last: SeatId,
    /// How often a certificate made nobody a device.
    refused: u32,
    /// Whether the certificate is that of the device whose name it bears.
    recognized: bool,
    /// Messages that are being settled: a link that begins takes back what earlier ones had, and not what is done.
    settling: usize,
}

/// A seat's number; never given out twice on a connection.
pub(super) type SeatId = u64;

/// A connected device.
struct Seat {
    own: Arc<Own>,
    /// Gives its place among the live connections up when dropped.
    place: Seated,
    /// The services' end of it.
    link: Ours,
    /// All that it has attached.
    links: Vec<LinkId>,
    twin: twin::Twin,
    /// What it proved itself with has run out, and whether another token holds is being looked at.
    renewing: bool,
}

/// The services' end of a seat; whoever waits for an answer hears when it is over.
struct Ours(Arc<SeatLink>);

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A device that is being looked at.
struct Entering {
    /// Its seat, if it gets one.
    number: SeatId,
    /// What the links name may mean.
    ids: Vec<DeviceAddress>,
    links: Vec<(Box<Attached>, Part)>,
}

/// What a device's link is for. Telemetry comes in on the link of a publisher.
pub(super) enum HubLink {
    /// The device asks about its twin.
    TwinRequests { seat: SeatId, channel: Option<String> },
    /// It is answered, and told of desired properties.
    Twin { seat: SeatId, channel: Option<String>, waiting: Outbox },
    /// It is asked.
    Methods { seat: SeatId, waiting: Outbox },
    /// It answers.
    MethodAnswers { seat: SeatId },
    /// It receives what the cloud sends it.
    DeviceBound(Box<DeviceBound>),
    /// A service hears what became of what it sent, or of files.
    Feedback(Box<Feedback>),
}

impl HubLink {
    /// Whose it is, where it is a device's.
    const fn seat(&self) -> Option<SeatId> {
        match self {
            Self::TwinRequests { seat, .. }
            | Self::Twin { seat, .. }
            | Self::Methods { seat, .. }
            | Self::MethodAnswers { seat } => Some(*seat),
            Self::DeviceBound(link) => Some(link.seat),
            Self::Feedback(_) => None,
        }
    }

    /// Whether something was received that could not be sent yet.
    fn is_ready(&self) -> bool {
        match self {
            Self::DeviceBound(link) => link.is_ready(),
            Self::Feedback(link) => link.is_ready(),
            _ => false,
        }
    }

    /// When to look for what may be there then.
    pub(super) const fn next(&self) -> Option<Timestamp> {
        match self {
            Self::DeviceBound(link) => link.next(),
            _ => None,
        }
    }

    /// What waits for the peer's credit.
    pub(super) const fn outbox(&mut self) -> Option<&mut Outbox> {
        match self {
            Self::Twin { waiting, .. } | Self::Methods { waiting, .. } => Some(waiting),
            _ => None,
        }
    }
}

/// Work for a hub's links that has ended.
pub(super) enum HubDone {
    /// SASL: a user name and password were looked at.
    Shown(Result<Box<Put>>),
    /// Whether the certificate is that of a device is known.
    Recognized(bool),
    /// A device was looked at, and has its place among the live connections or not.
    Entered { number: SeatId, entered: Result<Box<enter::Entered>> },
    /// The model that a device announced with a link is kept or not.
    Announced { seat: SeatId, asked: (Box<Attached>, Part), announced: Result<String> },
    /// A device whose credential ran out has another one or not.
    Renewed { seat: SeatId, renewed: Result<(Arc<Resource>, Box<Caller>)> },
    /// Why a device must go is known.
    Ended { seat: SeatId, error: Box<AmqpError> },
    /// A request about a twin was carried out.
    Twin { seat: SeatId, link: LinkId, delivery: Option<DeliveryId>, answer: Box<Message> },
    /// Messages of a device were received.
    Received { link: LinkId, own: Arc<Own>, received: Result<Received> },
    /// What a device settled is done; the ends that it waits to hear of.
    GaveBack { link: LinkId, settle: Settle, ends: Vec<(DeliveryId, Result<()>)> },
    /// Feedback was received, or nobody wanted it any more.
    Feedback { link: LinkId, received: Option<Result<Box<service::Taken>>> },
    /// What a service settled is done; the ends that it waits to hear of.
    NoticesSettled { link: LinkId, ends: Vec<(DeliveryId, Result<()>)> },
}

impl Hubs {
    /// Whether the peer has proved nothing here.
    pub(super) fn is_stranger(&self) -> bool {
        self.credentials.is_empty() && self.seats.is_empty()
    }

    /// Whether it may be silent: it has proved something, or will be known by its certificate when it asks for a link.
    pub(super) fn may_be_silent(&self) -> bool {
        self.recognized || !self.is_stranger()
    }

    /// Who the device of a seat is.
    pub(super) fn own(&self, seat: SeatId) -> Option<&Arc<Own>> {
        self.seats.get(&seat).map(|seat| &seat.own)
    }

    /// When the first of all credentials runs out.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let seats = self.seats.values().filter(|seat| !seat.renewing);
        seats.filter_map(|seat| seat.own.caller.expires).chain(self.credentials.expires()).min()
    }

    /// The peer is gone, and all its devices with it.
    pub(super) fn clear(&mut self) {
        self.seats.clear();
        self.entering.clear();
    }
}

/// A text among a link's properties.
fn property<'a>(properties: &'a Fields, name: &str) -> Option<&'a str> {
    properties.get(name).and_then(pollux_amqp::Value::as_str)
}
