//! What a connection tells its driver, and the words for it.

use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

/// Packet identifier: 1 to 65535, one number space per direction.
pub type PacketId = NonZeroU16;

/// Quality of service as far as IoT Hub has it. QoS 2 closes the connection when published and is granted as QoS 1
/// when subscribed to (the hub article, "Sending device-to-cloud messages", "Receiving cloud-to-device messages").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// QoS 0: not acknowledged.
    AtMostOnce = 0,
    /// QoS 1: acknowledged, may come twice.
    AtLeastOnce = 1,
}

/// What happened on the connection, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client asks to connect. Answer with [`crate::Connection::accept`] or [`crate::Connection::refuse`]; until then
    /// nothing more is read.
    Connect(Box<Connect>),
    /// A message. With a packet id (QoS 1) it wants [`crate::Connection::ack_publish`] once it is durable.
    Publish(Publish),
    /// The client acknowledged a message that [`crate::Connection::publish`] gave this id.
    PubAck(PacketId),
    /// Wants [`crate::Connection::suback`] with one answer per filter, in their order. QoS 2 shows as QoS 1 already.
    Subscribe {
        /// To be given back with the answer.
        packet_id: PacketId,
        /// One or more valid filters with the QoS asked for.
        filters: Vec<(ByteString, QoS)>,
    },
    /// Wants [`crate::Connection::unsuback`].
    Unsubscribe {
        /// To be given back with the answer.
        packet_id: PacketId,
        /// One or more valid filters.
        filters: Vec<ByteString>,
    },
    /// The client said goodbye: the will is not published. The last event.
    Disconnect,
    /// The connection must be closed and the will, if any, published. The last event.
    Violation(Violation),
}

/// A CONNECT. Its texts are copies: they may be kept for as long as the connection lives.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Empty when the client wants one assigned; then `clean_session` is true (MQTT-3.1.3-7).
    pub client_id: String,
    /// False: the session, with its subscriptions, outlives the connection.
    pub clean_session: bool,
    /// In seconds; 0 for none. The machine enforces it (times 1.5).
    pub keep_alive: u16,
    /// The user name.
    pub username: Option<String>,
    /// The password; only ever beside a user name (MQTT-3.1.2-22).
    pub password: Option<Vec<u8>>,
    /// The message to publish if the client does not say goodbye.
    pub will: Option<Will>,
}

impl fmt::Debug for Connect {
    /// The password is a secret and stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client_id", &self.client_id)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("username", &self.username)
            .field("will", &self.will)
            .finish_non_exhaustive()
    }
}

/// The message a client leaves behind for the case that it vanishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// A valid topic name.
    pub topic: String,
    /// A copy: may be kept.
    pub payload: Bytes,
    /// QoS 2 shows as QoS 1.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
}

/// A message from the client. `topic` and `payload` share the read buffer: copy what is kept for long.
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    /// A valid topic name: not empty, no wildcards.
    pub topic: ByteString,
    /// The message's body.
    pub payload: Bytes,
    /// QoS 1 exactly when there is a packet id.
    pub qos: QoS,
    /// Passed on; IoT Hub makes it the application property `mqtt-retain`.
    pub retain: bool,
    /// The client may have sent this before.
    pub dup: bool,
    /// To be given back with the acknowledgement.
    pub packet_id: Option<PacketId>,
}

impl fmt::Debug for Publish {
    /// The payload is the customer's: its length only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic)
            .field("payload_len", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("dup", &self.dup)
            .field("packet_id", &self.packet_id)
            .finish()
    }
}

/// Why a CONNECT is refused: the return codes of CONNACK (MQTT 3.1.1, table 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectRefusal {
    /// 1: not MQTT 3.1.1. The machine gives this one itself.
    UnacceptableProtocolVersion = 1,
    /// 2: correct UTF-8, but not allowed as a client id.
    IdentifierRejected = 2,
    /// 3: the service is not available.
    ServerUnavailable = 3,
    /// 4: the data in user name or password is malformed.
    BadUserNameOrPassword = 4,
    /// 5: the client is not authorized to connect.
    NotAuthorized = 5,
}

/// Why a connection had to be closed. For the log: MQTT 3.1.1 has no way to tell the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No complete CONNECT within [`crate::Limits::connect_timeout`].
    #[error("no CONNECT within {0:?}")]
    ConnectTimeout(Duration),
    /// Silence for longer than 1.5 times the keep-alive (MQTT-3.1.2-24), or than [`crate::Limits::max_silence`].
    #[error("nothing received for {0:?}")]
    KeepAliveTimeout(Duration),
    /// MQTT-3.1.0-1.
    #[error("the first byte is {0:#04x}, not that of a CONNECT")]
    NotConnect(u8),
    /// MQTT-3.1.0-2.
    #[error("a second CONNECT")]
    SecondConnect,
    /// The client was told with a CONNACK that it can read.
    #[error("protocol level {0} instead of 4 (MQTT 3.1.1)")]
    UnsupportedProtocol(u8),
    /// An empty client id without clean session; the client was told with CONNACK 2 (MQTT-3.1.3-8).
    #[error("an empty client id needs a clean session")]
    ClientIdRequired,
    /// Seen from the fixed header, before the body was read.
    #[error("a packet of {size} bytes is longer than the {max} allowed")]
    PacketTooLarge {
        /// Of the whole packet, in bytes.
        size: usize,
        /// The limit that applied.
        max: usize,
    },
    /// Not a packet of MQTT 3.1.1.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// A packet that only a server sends, or one of QoS 2's.
    #[error("a client must not send a packet of type {0}")]
    UnexpectedPacket(u8),
    /// Empty, too long, or with a wildcard (MQTT-3.3.2-2).
    #[error("invalid topic name: {0}")]
    InvalidTopic(&'static str),
    /// Empty, too long, or with a misplaced wildcard (MQTT-4.7.1-2, MQTT-4.7.1-3).
    #[error("invalid topic filter: {0}")]
    InvalidFilter(&'static str),
    /// More than [`crate::Limits::max_filters`].
    #[error("{0} topic filters in one packet")]
    TooManyFilters(usize),
    /// The hub article, "Sending device-to-cloud messages".
    #[error("QoS 2 is not supported")]
    Qos2NotSupported,
}
