//! Feedback: what became of messages whose sender wants to know, kept in a queue of the hub until a service has it.

use std::sync::Arc;

use pollux_model::message::{Ack, LockedBy, MessageEnd, MessageProperties, MessageQueue, QueuedMessage};
use pollux_model::resource::{Feedback, Properties, Resource, ResourceKind};
use pollux_model::{Etag, Result, Timestamp};
use pollux_store::messages::Which;
use pollux_store::{Batch, Expect, Write};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::receive::holds;
use super::{
    ATTEMPTS, FEEDBACK_BATCH, FeedbackBatch, Hub, Notices, Settle, contended, lock_lost, moved, options,
};
use crate::caller::{Caller, HubAction, Right};

/// On which nodes tell each other that there is feedback.
const SUBJECT: &str = "feedback";

impl Notices {
    /// What receiving and settling them is.
    #[must_use]
    pub const fn action(self) -> HubAction {
        match self {
            Self::Feedback => HubAction::MessagesFeedback,
            Self::Files => HubAction::FileNotifications,
        }
    }

    const fn queue(self) -> MessageQueue {
        match self {
            Self::Feedback => MessageQueue::Feedback,
            Self::Files => MessageQueue::FileNotifications,
        }
    }

    /// Records in one message.
    const fn most(self) -> usize {
        match self {
            Self::Feedback => FEEDBACK_BATCH,
            Self::Files => 1,
        }
    }

    fn options(self, hub: &Resource) -> Feedback {
        match (self, &hub.properties) {
            (Self::Feedback, Properties::Hub(hub)) => hub.cloud_to_device.feedback.clone(),
            (Self::Files, Properties::Hub(hub)) => hub.file_upload.file_notifications.clone(),
            _ => Feedback::default(),
        }
    }
}

impl Hub {
    /// The next feedback, in one message as far as it goes; `None` when there is none.
    pub async fn receive_feedback(&self, caller: &Caller, hub: &Resource) -> Result<Option<FeedbackBatch>> {
        self.receive_notices(caller, hub, Notices::Feedback).await
    }

    /// The next of what services hear of; `None` when there is none.
    pub async fn receive_notices(
        &self,
        caller: &Caller,
        hub: &Resource,
        which: Notices,
    ) -> Result<Option<FeedbackBatch>> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(which.action()))?;
        let token = Etag::new(&self.context.random.uuid().to_string());
        let lock = (LockedBy::Request, which.options(hub).lock_duration_as_iso8601.duration());
        let (queue, most) = (which.queue(), which.most());
        let records = self.lock_messages(&hub.name, &queue, lock, most, || token.clone()).await?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(None) };
        let locked_until = first.lock.map_or(Timestamp::NEVER, |lock| lock.until);
        // Each record is a JSON object already.
        let bodies = records.iter().map(|record| String::from_utf8_lossy(&record.payload));
        let bodies = bodies.collect::<Vec<_>>().join(",");
        let body = if which == Notices::Feedback { format!("[{bodies}]") } else { bodies };
        Ok(Some(FeedbackBatch {
            lock_token: token,
            locked_until,
            sequence: first.sequence,
            enqueued: last.enqueued,
            delivery_count: records.iter().map(|record| record.delivery_count).max().unwrap_or(0),
            body,
        }))
    }

    /// Settles what this lock holds.
    ///
    /// # Errors
    /// [`ErrorCode::MessageLockLost`](pollux_model::ErrorCode).
    pub async fn settle_feedback(
        &self,
        caller: &Caller,
        hub: &Resource,
        lock_token: &str,
        settle: Settle,
    ) -> Result<()> {
        self.settle_notices(caller, hub, Notices::Feedback, (lock_token, settle)).await
    }

    /// The same of whatever services hear of.
    ///
    /// # Errors
    /// [`ErrorCode::MessageLockLost`](pollux_model::ErrorCode).
    pub async fn settle_notices(
        &self,
        caller: &Caller,
        hub: &Resource,
        which: Notices,
        (lock_token, settle): (&str, Settle),
    ) -> Result<()> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(which.action()))?;
        let queue = which.queue();
        for _ in 0..ATTEMPTS {
            let held = Which::Etag(lock_token);
            let records = self.context.store.messages(&hub.name, &queue, held, FEEDBACK_BATCH).await?;
            let now = self.context.clock.now();
            if records.is_empty() || records.iter().any(|record| !holds(record.lock, now)) {
                return Err(lock_lost());
            }
            let mut batch = Batch::new();
            for record in records {
                match settle {
                    // Nobody is told what becomes of feedback.
                    Settle::Complete | Settle::Reject => {
                        self.end_message(hub, &record, MessageEnd::Success, &mut batch);
                    }
                    Settle::Abandon => {
                        self.put_back(hub, record, which.options(hub).max_delivery_count, &mut batch);
                    }
                    Settle::Release => self.release(hub, record, &mut batch),
                }
            }
            if moved(self.context.store.commit(batch).await)? {
                continue;
            }
            if matches!(settle, Settle::Abandon | Settle::Release) {
                self.feedback_arrived().await;
            }
            return Ok(());
        }
        Err(contended())
    }

    /// Changes whenever there may be feedback, or something about files, of whatever hub, on whatever node it was made. A hint: one may be lost with the
    /// bus, so whoever waits for long looks from time to time all the same.
    #[must_use]
    pub fn feedback_arrivals(&self) -> watch::Receiver<u64> {
        self.feedback.subscribe()
    }

    pub(in crate::hub) async fn feedback_arrived(&self) {
        self.feedback.send_modify(|count| *count = count.wrapping_add(1));
        if let Some(shared) = self.context.cluster.others() {
            shared.hint(SUBJECT).await;
        }
    }

    /// Hears of feedback that other nodes made, until shutdown.
    pub(crate) async fn hear_of_feedback(self: Arc<Self>, shutdown: CancellationToken) {
        let Some(shared) = self.context.cluster.others() else { return };
        let heard = || self.feedback.send_modify(|count| *count = count.wrapping_add(1));
        shared.hear_hints(SUBJECT, &shutdown, heard).await;
    }

    /// The place of what services hear of. Many are made at one moment on several nodes; two that meet are told apart by trying
    /// again.
    pub(in crate::hub) fn notice_sequence(&self, now: Timestamp) -> i64 {
        let apart = i64::try_from(self.context.random.below(1024)).unwrap_or_default();
        now.as_micros().saturating_mul(1024).saturating_add(apart)
    }

    /// What tells of a message's end; the members are those of the article's example.
    pub(super) fn feedback_record(
        &self,
        hub: &Resource,
        message: &QueuedMessage,
        end: MessageEnd,
    ) -> Option<Write> {
        let MessageQueue::Device(device) = &message.queue else { return None };
        let now = self.context.clock.now();
        let record = json!({
            "originalMessageId": message.system.message_id.as_deref().unwrap_or_default(),
            "description": end.as_str(),
            "deviceGenerationId": message.generation_id,
            "deviceId": device,
            "enqueuedTimeUtc": now,
            "statusCode": end.as_str(),
        });
        let properties = MessageProperties {
            user_id: Some(hub.name.to_string()),
            content_type: Some(super::FEEDBACK_CONTENT_TYPE.to_owned()),
            ..MessageProperties::default()
        };
        let feedback = QueuedMessage {
            queue: MessageQueue::Feedback,
            sequence: self.notice_sequence(now),
            etag: Etag::fresh(&*self.context.random),
            enqueued: now,
            expires: now.plus(options(hub).feedback.ttl_as_iso8601.duration()),
            lock: None,
            delivery_count: 0,
            ack: Ack::None,
            generation_id: String::new(),
            system: properties,
            properties: Vec::new(),
            payload: record.to_string().into_bytes(),
        };
        let (hub, expect) = (hub.name.clone(), Expect::Absent);
        Some(Write::PutMessage { hub, message: Box::new(feedback), expect })
    }
}
