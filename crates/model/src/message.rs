//! Messages that wait in a queue of a hub: on their way to a device, or feedback on its way to the service side.
//!
//! Azure article "Understand cloud-to-device messaging from an IoT hub":
//!
//! ```text
//!   enqueued ──receive──▶ invisible (locked) ──complete──▶ gone
//!      ▲                      │      └─reject───▶ dead-lettered: gone
//!      └──abandon, time-out───┘   expired, abandoned too often: dead-lettered
//! ```
//!
//! What is completed or dead-lettered is not kept: only the feedback tells of it, where the sender asked for some.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{DeviceAddress, DeviceId, Etag, Timestamp};

/// A queue of a hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MessageQueue {
    /// Cloud-to-device messages of one device.
    Device(DeviceId),
    /// Feedback about cloud-to-device messages, for the service side.
    Feedback,
    /// What was told of the connection of a device or module: one message, which runs out when its absence is to be told.
    Connection(ConnectionQueue),
}

/// The queue of one connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionQueue(String);

/// No device's id has a slash.
const FEEDBACK: &str = "/feedback";
/// What names of queues of connections begin with; behind it stands a [`DeviceAddress`].
pub const OF_CONNECTION: &str = "/connection/";

impl ConnectionQueue {
    /// That of a device or module.
    #[must_use]
    pub fn of(address: &DeviceAddress) -> Self {
        Self(format!("{OF_CONNECTION}{address}"))
    }

    /// Whose it is.
    ///
    /// # Errors
    /// None of a queue that was made or read: its name holds an address.
    pub fn address(&self) -> Result<DeviceAddress> {
        DeviceAddress::parse(self.0.strip_prefix(OF_CONNECTION).unwrap_or_default())
    }
}

impl MessageQueue {
    /// Its name in the hub: a device's id, or a word that can be none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Device(id) => id.as_str(),
            Self::Feedback => FEEDBACK,
            Self::Connection(queue) => &queue.0,
        }
    }

    /// Reads [`MessageQueue::as_str`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`](crate::ErrorCode::InvalidArgument) where it is no device's id either.
    pub fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix(OF_CONNECTION) {
            Some(address) => {
                let address = DeviceAddress::parse(address)?;
                Ok(Self::Connection(ConnectionQueue::of(&address)))
            }
            None if text == FEEDBACK => Ok(Self::Feedback),
            None => DeviceId::parse(text).map(Self::Device),
        }
    }
}

impl TryFrom<String> for MessageQueue {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<MessageQueue> for String {
    fn from(queue: MessageQueue) -> Self {
        queue.as_str().to_owned()
    }
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMessage {
    /// Where it waits.
    pub queue: MessageQueue,
    /// Its place: queues go in this order. Of a device's queue given by the store, growing with time.
    pub sequence: i64,
    /// Changes with each change of its state. While it is locked this is the lock token.
    pub etag: Etag,
    /// When the hub took it.
    pub enqueued: Timestamp,
    /// When it is dead-lettered, unless somebody holds it then.
    pub expires: Timestamp,
    /// Who holds it; nobody sees it until that time has passed.
    pub lock: Option<MessageLock>,
    /// How often it was abandoned.
    pub delivery_count: u32,
    /// Which feedback is wanted.
    pub ack: Ack,
    /// The generation of the device that it was sent to.
    pub generation_id: String,
    /// System properties.
    pub system: MessageProperties,
    /// Application properties, in order.
    pub properties: Vec<(String, String)>,
    /// The body. Stored beside the document.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

/// Somebody holds a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLock {
    /// Until when nobody else sees it.
    pub until: Timestamp,
    /// What holds it.
    pub by: LockedBy,
}

/// What holds a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockedBy {
    /// A request: it is settled within the time, or not by this lock.
    Request,
    /// The device's live connection: a new connection of the device takes it back at once.
    Connection,
}

/// Which feedback the sender wants (`iothub-ack`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// None.
    #[default]
    None,
    /// When it is completed.
    Positive,
    /// When it is dead-lettered.
    Negative,
    /// In either case.
    Full,
}

impl Ack {
    /// The word of `iothub-ack`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }

    /// Reads the word, without case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::None, Self::Positive, Self::Negative, Self::Full];
        all.into_iter().find(|ack| ack.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether feedback is wanted of this end.
    #[must_use]
    pub const fn wants(self, end: MessageEnd) -> bool {
        match self {
            Self::None => false,
            Self::Positive => matches!(end, MessageEnd::Success),
            Self::Negative => !matches!(end, MessageEnd::Success),
            Self::Full => true,
        }
    }
}

/// How a message ended: the `statusCode` of feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageEnd {
    /// The device completed it.
    Success,
    /// Its time was over.
    Expired,
    /// It was abandoned as often as may be.
    DeliveryCountExceeded,
    /// The device rejected it.
    Rejected,
    /// The service side purged the queue.
    Purged,
}

impl MessageEnd {
    /// The `statusCode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
        }
    }
}

/// System properties of a message that its sender may set (Azure article "Create and read IoT Hub messages").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageProperties {
    /// `message-id`.
    pub message_id: Option<String>,
    /// `correlation-id`.
    pub correlation_id: Option<String>,
    /// `user-id`.
    pub user_id: Option<String>,
    /// `content-type`.
    pub content_type: Option<String>,
    /// `content-encoding`.
    pub content_encoding: Option<String>,
    /// `absolute-expiry-time`, where the sender gave one.
    pub expiry: Option<Timestamp>,
}

/// What outlives a connection of a device that connects with `CleanSession` 0 (MQTT-3.1.2-4): its subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttSession {
    /// The device or module, as [`DeviceAddress`](crate::DeviceAddress) is written.
    pub device: String,
    /// What it subscribed to, with the quality of service granted, in order of the filters.
    pub subscriptions: Vec<(String, u8)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_is_wanted_of_some_ends() {
        let wants = |ack: Ack| [MessageEnd::Success, MessageEnd::Expired].map(|end| ack.wants(end));
        assert_eq!(wants(Ack::None), [false, false]);
        assert_eq!(wants(Ack::Positive), [true, false]);
        assert_eq!(wants(Ack::Negative), [false, true]);
        assert_eq!(wants(Ack::Full), [true, true]);
        assert_eq!((Ack::parse("FULL"), Ack::parse("some")), (Some(Ack::Full), None));
    }

    #[test]
    fn no_device_has_the_name_of_another_queue() {
        assert_eq!(MessageQueue::parse("/feedback").unwrap(), MessageQueue::Feedback);
        assert!(matches!(MessageQueue::parse("feedback").unwrap(), MessageQueue::Device(_)));
        assert!(MessageQueue::parse("/other").is_err() && MessageQueue::parse("").is_err());
        assert!(
            MessageQueue::parse("/connection/").is_err() && MessageQueue::parse("/connection/a/b/c").is_err()
        );
        for text in ["d", "d/m"] {
            let address = DeviceAddress::parse(text).unwrap();
            let queue = MessageQueue::Connection(ConnectionQueue::of(&address));
            assert_eq!(MessageQueue::parse(queue.as_str()).unwrap(), queue);
            assert!(matches!(&queue, MessageQueue::Connection(queue) if queue.address().unwrap() == address));
        }
    }
}
