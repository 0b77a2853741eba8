//! What an endpoint tells its driver, what its driver tells it, and the words for it.

use bytes::Bytes;

use super::serial::Serial;
use crate::composite::Fields;
use crate::performative::{
    DeliveryState, Error, Open, ReceiverSettleMode, Role, SenderSettleMode, Source, Target,
};
use crate::sasl;
use crate::value::Symbol;

/// A session of this connection. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(super) channel: u16,
    pub(super) serial: u32,
}

/// A link of this connection. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId {
    pub(super) channel: u16,
    pub(super) handle: u16,
    pub(super) serial: u32,
}

/// A delivery's number, unique among the unsettled ones of a session and a direction.
pub type DeliveryId = Serial;

/// Whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The other side's.
    Peer,
    /// Ours: the peer broke a rule or a bound, or was silent for too long.
    Us,
}

/// What happened, in the order it happened. What the driver itself commanded is not told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Server: a client shows its credentials. Wants [`super::Endpoint::sasl_outcome`] or
    /// [`super::Endpoint::sasl_challenge`]; nothing is read meanwhile.
    Sasl(sasl::Init),
    /// Server: the answer to a challenge. Wants the same.
    SaslResponse(sasl::Response),
    /// The peer's open. A server answers with [`super::Endpoint::open`]; nothing is read meanwhile.
    Opened(Box<Open>),
    /// A session is there: the peer began it (and was answered), or answered ours.
    SessionBegun(SessionId),
    /// The peer wants a link. Wants [`super::Endpoint::accept_attach`] or [`super::Endpoint::refuse_attach`].
    AttachRequested(Box<Attached>),
    /// The peer agreed to a link of ours. If it does not, [`Event::Detached`] comes instead.
    Attached(Box<Attached>),
    /// On a link where we send: the peer takes this many more messages now.
    Credit {
        /// The link.
        link: LinkId,
        /// Messages it takes from now on.
        credit: u32,
        /// The peer wants them now or never: send what there is, then call [`super::Endpoint::drained`].
        drain: bool,
        /// What the flow says besides.
        properties: Fields,
    },
    /// A session takes transfers again, after [`SendError::NoWindow`].
    WindowOpened(SessionId),
    /// A whole message on a link where we receive.
    Delivery(Delivery),
    /// Deliveries we sent have found their end: all unsettled ones of the link from `first` to `last`, which are
    /// consecutive.
    Settled {
        /// The link.
        link: LinkId,
        /// The first of them.
        first: DeliveryId,
        /// The last of them.
        last: DeliveryId,
        /// What became of them; `None`: settled without a word.
        state: Option<DeliveryState>,
        /// The receiver goes on when it hears that this is done (receiver-settle-mode second): wants
        /// [`super::Endpoint::confirm`].
        waits: bool,
    },
    /// On a link where we receive: the sender gave the rest of the credit back, after [`super::Endpoint::drain`].
    Drained(LinkId),
    /// A link is gone. The engine has answered.
    Detached {
        /// The link.
        link: LinkId,
        /// For good. (Links are never taken up again here, so they are gone either way.)
        closed: bool,
        /// Why, if not in peace.
        error: Option<Error>,
        /// Whose doing it was.
        by: Party,
    },
    /// A session is gone, and its links with it. The engine has answered.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Why, if not in peace.
        error: Option<Error>,
        /// Whose doing it was.
        by: Party,
    },
    /// The connection is gone, and all in it. The last event.
    Closed {
        /// Why, if not in peace.
        error: Option<Error>,
        /// Whose doing it was.
        by: Party,
    },
}

/// What the peer said when it attached.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// The session.
    pub session: SessionId,
    /// The link.
    pub link: LinkId,
    /// The link's name.
    pub name: String,
    /// What this side is on the link.
    pub role: Role,
    /// Where messages come from.
    pub source: Option<Source>,
    /// Where messages go.
    pub target: Option<Target>,
    /// How the sending end settles.
    pub snd_settle_mode: SenderSettleMode,
    /// How the receiving end settles.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Where a sending peer's count begins.
    pub initial_delivery_count: Option<u32>,
    /// Longest message the peer takes, in bytes; 0 or `None`: no bound. Sending respects it.
    pub max_message_size: Option<u64>,
    /// Extensions the peer has.
    pub offered_capabilities: Vec<Symbol>,
    /// Extensions the peer would use.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else, such as `com.microsoft:epoch`.
    pub properties: Fields,
}

impl Attached {
    /// Options that agree to everything: source, target and settle modes as asked for.
    #[must_use]
    pub fn agreed(&self) -> LinkOptions {
        LinkOptions {
            source: self.source.clone(),
            target: self.target.clone(),
            snd_settle_mode: self.snd_settle_mode,
            rcv_settle_mode: self.rcv_settle_mode,
            ..LinkOptions::default()
        }
    }
}

/// What this side says when it attaches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkOptions {
    /// Where messages come from.
    pub source: Option<Source>,
    /// Where messages go.
    pub target: Option<Target>,
    /// How the sending end settles.
    pub snd_settle_mode: SenderSettleMode,
    /// How the receiving end settles.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Longest message taken, in bytes, on a link where we receive; `None`: [`super::Limits::max_message_size`].
    pub max_message_size: Option<u64>,
    /// Extensions we have.
    pub offered_capabilities: Vec<Symbol>,
    /// Extensions we would use.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

/// What this side says when it opens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// Our name.
    pub container_id: String,
    /// Client: the host we want to talk to.
    pub hostname: Option<String>,
    /// Extensions we have.
    pub offered_capabilities: Vec<Symbol>,
    /// Extensions we would use.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else: product, version, platform.
    pub properties: Fields,
}

/// A whole message from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The link.
    pub link: LinkId,
    /// For [`super::Endpoint::settle`].
    pub id: DeliveryId,
    /// The sender's name for it; at most 32 bytes.
    pub tag: Bytes,
    /// How the payload is built: 0 for a message, 0x80013700 for Event Hubs' batch.
    pub message_format: u32,
    /// Settled already: the sender wants to hear no more.
    pub settled: bool,
    /// The encoded message. When it came in one frame it shares the memory of what was read from the socket: who keeps it
    /// for long should copy it.
    pub payload: Bytes,
}

/// A message for the peer.
#[derive(Clone, Debug)]
pub struct Outgoing<'t> {
    /// Our name for it; at most 32 bytes, unique among the unsettled ones of the link.
    pub tag: &'t [u8],
    /// How the payload is built: 0 for a message.
    pub message_format: u32,
    /// The encoded message.
    pub payload: Bytes,
    /// Whether we want to hear no more of it: no [`Event::Settled`] comes, and it does not count towards
    /// [`super::Limits::max_unsettled`]. On the wire it is settled unless the link never settles; a link that always does
    /// overrides false.
    pub settled: bool,
}

/// Why a message was not taken. Nothing was sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No such link, or it is not attached (yet, or any more), or the other end sends.
    #[error("there is no such link to send on")]
    NotAttached,
    /// The peer takes no more for now; [`Event::Credit`] comes.
    #[error("the link has no credit")]
    NoCredit,
    /// The session takes no more for now; [`Event::WindowOpened`] comes.
    #[error("the session's window is closed")]
    NoWindow,
    /// The output is at [`super::Limits::max_output`]: take it and write it first.
    #[error("too much output waits to be written")]
    OutputFull,
    /// [`super::Limits::max_unsettled`] deliveries are not settled; [`Event::Settled`] makes room.
    #[error("too many deliveries are not settled")]
    TooManyUnsettled,
    /// Longer than the peer takes.
    #[error("the message is longer than the peer takes ({0} bytes)")]
    TooLarge(u64),
    /// More than 32 bytes.
    #[error("a delivery tag has at most 32 bytes")]
    TagTooLong,
}

/// Why a session or link was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// What it would be part of is not open.
    #[error("the connection or session is not open")]
    NotOpen,
    /// Ours or the peer's bound is reached.
    #[error("there are as many as this side or the peer allows")]
    TooMany,
}
