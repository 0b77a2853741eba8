//! A device settles a message that it received.

use futures_util::future::join_all;
use pollux_model::message::{LockedBy, MessageEnd, MessageQueue, QueuedMessage};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Etag, Result};
use pollux_store::messages::Which;
use pollux_store::{Batch, Expect, Write};

use super::receive::{holds, put_state};
use super::{ATTEMPTS, Hub, Settle, contended, lock_lost, moved, options};
use crate::caller::Caller;
use crate::hub::DeviceCommand;

impl Hub {
    /// Settles the message that this lock holds; with it, in one commit, the feedback that its sender wants.
    ///
    /// # Errors
    /// [`ErrorCode::MessageLockLost`](pollux_model::ErrorCode).
    pub async fn settle_message(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        lock_token: &str,
        settle: Settle,
    ) -> Result<()> {
        caller.require_device(&hub.name, &id.clone().into())?;
        let queue = MessageQueue::Device(id.clone());
        for _ in 0..ATTEMPTS {
            let held = self.context.store.messages(&hub.name, &queue, Which::Etag(lock_token), 1).await?;
            let Some(message) = held.into_iter().next() else { return Err(lock_lost()) };
            if !holds(message.lock, self.context.clock.now()) {
                return Err(lock_lost());
            }
            let by_request = message.lock.is_some_and(|lock| lock.by == LockedBy::Request);
            let mut batch = Batch::new();
            match settle {
                Settle::Complete => self.end_message(hub, &message, MessageEnd::Success, &mut batch),
                Settle::Reject => self.end_message(hub, &message, MessageEnd::Rejected, &mut batch),
                Settle::Abandon => {
                    self.put_back(hub, message, options(hub).max_delivery_count, &mut batch);
                }
                Settle::Release => self.release(hub, message, &mut batch),
            }
            let told = has_feedback(&batch);
            if moved(self.context.store.commit(batch).await)? {
                continue;
            }
            if told {
                self.feedback_arrived().await;
            }
            // A connection looks by itself for what it abandons; what it releases it may leave to the next one.
            if (by_request || settle == Settle::Release)
                && matches!(settle, Settle::Abandon | Settle::Release)
            {
                self.connections.deliver(&hub.name, &id.clone().into(), DeviceCommand::MessageWaiting).await;
            }
            return Ok(());
        }
        Err(contended())
    }

    /// Settles several messages; what became of each, in their order: [`Self::settle_message`].
    pub async fn settle_messages(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        lock_tokens: &[Etag],
        settle: Settle,
    ) -> Vec<Result<()>> {
        // Side by side, for they go to the disk together.
        join_all(lock_tokens.iter().map(|token| self.settle_message(caller, hub, id, token, settle))).await
    }

    /// Back into the queue with a raised delivery count, or dead-lettered.
    pub(super) fn put_back(&self, hub: &Resource, mut message: QueuedMessage, most: u32, batch: &mut Batch) {
        message.delivery_count = message.delivery_count.saturating_add(1);
        if message.delivery_count >= most {
            return self.end_message(hub, &message, MessageEnd::DeliveryCountExceeded, batch);
        }
        self.release(hub, message, batch);
    }

    /// Back into the queue.
    pub(super) fn release(&self, hub: &Resource, mut message: QueuedMessage, batch: &mut Batch) {
        let expect = Expect::Etag(message.etag);
        message.etag = Etag::fresh(&*self.context.random);
        message.lock = None;
        batch.writes.push(put_state(&hub.name, &message, expect));
    }

    /// Out of the queue, with the feedback that is wanted of this end.
    pub(super) fn end_message(
        &self,
        hub: &Resource,
        message: &QueuedMessage,
        end: MessageEnd,
        batch: &mut Batch,
    ) {
        batch.writes.push(Write::DeleteMessage {
            hub: hub.name.clone(),
            queue: message.queue.clone(),
            sequence: message.sequence,
            expect: Expect::Etag(message.etag.clone()),
        });
        if message.ack.wants(end) {
            batch.writes.extend(self.feedback_record(hub, message, end));
        }
    }
}

/// Whether the batch adds feedback.
pub(super) fn has_feedback(batch: &Batch) -> bool {
    let adds = |write: &Write| matches!(write, Write::PutMessage { message, expect: Expect::Absent, .. } if message.queue == MessageQueue::Feedback);
    batch.writes.iter().any(adds)
}
