//! Cloud-to-device messages and the feedback about them (Azure article "Understand cloud-to-device messaging from an IoT
//! hub"). Each device has a durable queue; each hub has one of feedback. What is acknowledged is there after a crash, and
//! comes at least once.
//!
//! ```text
//!   service ─ send_message(to device, CloudMessage) ──▶ queue ── DeviceCommand::MessageWaiting ──▶ the device's link
//!   device  ─ receive_messages(LockedBy, most) ──▶ Received { messages: [QueuedMessage { etag: the lock token, … }],
//!                                                             next: when to look again for what is locked }
//!           ─ settle_message(lock token, Settle::{Complete, Reject, Abandon, Release})
//!                 │ ends, and feedback is wanted (iothub-ack): one commit with it
//!   service ─ receive_feedback() ──▶ Option<FeedbackBatch { lock_token, body: JSON array, … }>
//!           ─ settle_feedback(lock token, Settle), feedback_arrivals(): told when some may be there
//!           ─ purge_messages(device)
//! ```
//!
//! * A link (MQTT, AMQP) receives with [`LockedBy::Connection`]. When a connection begins to receive it first calls
//!   [`Hub::take_back_messages`]: what an earlier connection had in its hands, wherever that was, is abandoned. Then it
//!   receives until nothing comes, and again at each `MessageWaiting` and at [`Received::next`]. When it ends it abandons what
//!   it has in its hands.
//! * A request (HTTPS) receives with [`LockedBy::Request`]: settled after the time ([`Limits::cloud_message_lock_seconds`
//!   ](crate::Limits)), the lock is lost. The lock of a connection holds until somebody else has the message.
//! * Abandoning raises the delivery count, and so does a connection that ends; a lock that runs out does not (the article,
//!   "Understanding delivery count behavior"). Releasing puts a message back as if it had not been received.
//!
//! Errors: [`ErrorCode::DeviceNotFound`](pollux_model::ErrorCode), `QueueFull`, `TooLarge`, `InvalidArgument` (send),
//! `MessageLockLost` (settle), `Forbidden`, `Unavailable`.

mod expire;
mod feedback;
mod purge;
mod receive;
mod send;
mod session;
mod settle;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use pollux_model::message::QueuedMessage;
use pollux_model::resource::{CloudToDevice, Properties, Resource};
use pollux_model::{Error, ErrorCode, Etag, Timestamp};
use pollux_store::CommitError;

pub use pollux_model::message::{Ack, LockedBy, MessageProperties};

use super::Hub;

/// Feedback records in one message: 64 (the article, "Message feedback").
const FEEDBACK_BATCH: usize = 64;
/// How often something that others change at the same moment is tried.
pub(super) const ATTEMPTS: usize = 16;
/// The longest life of a message: two days (the article).
const LONGEST_LIFE: Duration = Duration::from_secs(2 * 24 * 3600);

/// A message as a service sends it.
#[derive(Debug, Clone, Default)]
pub struct CloudMessage {
    /// System properties. One that names no expiry expires after the hub's default time.
    pub system: MessageProperties,
    /// Which feedback is wanted.
    pub ack: Ack,
    /// Application properties, in order.
    pub properties: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Messages in the receiver's hands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// In their order; the etag of each is its lock token.
    pub messages: Vec<QueuedMessage>,
    /// When the next one that is in somebody's hands is free again, if nobody does anything. Only where no messages are.
    pub next: Option<Timestamp>,
}

/// What becomes of a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// It is done.
    Complete,
    /// It is dead-lettered.
    Reject,
    /// It goes back into the queue, and its delivery count rises; too often, and it is dead-lettered.
    Abandon,
    /// It goes back into the queue.
    Release,
}

/// A message of feedback, in the receiver's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackBatch {
    /// By which it is settled.
    pub lock_token: Etag,
    /// Until when it is his.
    pub locked_until: Timestamp,
    /// The place of its first record.
    pub sequence: i64,
    /// When the last of its records was made.
    pub enqueued: Timestamp,
    /// The most often that one of its records was abandoned.
    pub delivery_count: u32,
    /// A JSON array of records.
    pub body: String,
}

/// The content type of feedback (the article).
pub const FEEDBACK_CONTENT_TYPE: &str = "application/vnd.microsoft.iothub.feedback.json";

fn options(hub: &Resource) -> CloudToDevice {
    match &hub.properties {
        Properties::Hub(properties) => properties.cloud_to_device.clone(),
        _ => CloudToDevice::default(),
    }
}

fn lock_lost() -> Error {
    Error::new(
        ErrorCode::MessageLockLost,
        "the message is not held by this lock: it was settled, or its time was over",
    )
}

pub(super) fn contended() -> Error {
    Error::new(ErrorCode::Unavailable, "others change the same messages at this moment: try again")
}

/// Whether the batch was refused because the world moved; anything else ends the attempt.
pub(super) fn moved(committed: Result<(), CommitError>) -> Result<bool, Error> {
    match committed {
        Ok(()) => Ok(false),
        Err(CommitError::Expectation { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
