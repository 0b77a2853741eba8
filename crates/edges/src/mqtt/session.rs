//! The seam between an MQTT connection and the service behind it.
//!
//! [`super::connection`] owns the socket and the protocol machine; a [`Session`] knows one service's topics. A session
//! never waits inside a call: what takes time is returned as a future and runs beside the connection. There are two
//! lanes:
//!
//! - messages are collected into batches: all that came with one read go to the disk together, one batch at a time, so
//!   their order is kept;
//! - requests run one after the other, in the order in which they came.
//!
//! Acknowledgements leave in the order of the publishes whatever order the futures end in.

use std::fmt::{self, Debug};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pollux_model::{Etag, Timestamp};
use pollux_mqtt::{ByteString, PacketId, QoS};

/// A PUBLISH from the device. QoS 2 never gets here.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The topic as it was sent.
    pub topic: ByteString,
    /// The body.
    pub payload: Bytes,
    /// The retain flag.
    pub retain: bool,
}

/// A PUBLISH to the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The topic.
    pub topic: String,
    /// The body.
    pub payload: Bytes,
}

/// What becomes of a publish.
pub enum Handling {
    /// Acknowledge it in its turn: there is nothing to wait for.
    Done,
    /// It is in the batch that [`Session::batch`] hands out next.
    Batched,
    /// Runs after the requests before it. When it ends well the publish is acknowledged, then the messages of the
    /// result are sent to the device.
    Request(BoxFuture<'static, Result<Vec<Outbound>, Close>>),
    /// Close the connection.
    Close(Close),
}

impl Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "Done",
            Self::Batched => "Batched",
            Self::Request(_) => "Request",
            Self::Close(_) => "Close",
        })
    }
}

/// How a batch ended.
#[derive(Debug)]
pub struct BatchEnd {
    /// How many of its messages, counted from the first, are durable and may be acknowledged.
    pub durable: usize,
    /// Why the connection must be closed, if not all of them are.
    pub close: Option<Close>,
}

/// Why a connection is closed. MQTT 3.1.1 has no words for it on the wire: this is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// What happened, without secrets.
    pub reason: String,
}

impl Close {
    /// A reason in words.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What the device subscribed to, with the quality of service that was granted.
pub type Subscriptions = Vec<(ByteString, QoS)>;

/// Names a message whose way is followed: its lock token.
pub type Receipt = Etag;

/// How far a message came whose way is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way; the device acknowledges it under this id.
    Awaits(PacketId),
    /// It is on its way, and nobody will say whether it came.
    Away,
    /// The device does not listen to it.
    Unheard,
    /// No packet can hold it.
    TooLarge,
}

/// What the service side wants of a live connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this to the device, if it subscribed to the topic.
    Send(Outbound),
    /// The same of a message whose way is followed, once all before it is written: it is kept until then.
    Follow(Outbound, Receipt),
    /// Close the connection: takeover, disable, delete.
    Close(Close),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a DISCONNECT.
    Goodbye,
    /// The device vanished, fell silent, or did what it must not.
    Lost,
    /// The service side closed it.
    Closed,
    /// The server shuts down.
    Shutdown,
}

/// One authenticated connection's side of a service.
pub trait Session: Send + Debug {
    /// A PUBLISH from the device.
    fn publish(&mut self, message: Inbound) -> Handling;

    /// Takes the messages collected since the last call, on their way to where they become durable. Called only when
    /// something was [`Handling::Batched`].
    fn batch(&mut self) -> BoxFuture<'static, BatchEnd>;

    /// A SUBSCRIBE: whether the filter is granted.
    fn subscribe(&mut self, filter: &str) -> bool;

    /// An UNSUBSCRIBE of a filter that was granted.
    fn unsubscribe(&mut self, _filter: &str) {}

    /// What an earlier connection of the device left to this one (MQTT-3.1.2-4); `None`: nothing.
    fn resumed(&mut self) -> Option<Subscriptions> {
        None
    }

    /// The subscriptions are these now: what there is to do before the device is told so, if anything.
    fn keep(&mut self, _subscriptions: &Subscriptions) -> Option<BoxFuture<'static, Result<(), Close>>> {
        None
    }

    /// How far a message came whose way is followed.
    fn sent(&mut self, _receipt: Receipt, _sent: Sent) {}

    /// The device acknowledged a message.
    fn acknowledged(&mut self, _packet_id: PacketId) {}

    /// When the credential runs out.
    fn expires(&self) -> Option<Timestamp>;

    /// The connection ended. What is left to do, if anything, is in the future.
    fn ended(self: Box<Self>, how: Ending) -> Option<BoxFuture<'static, ()>>;
}
