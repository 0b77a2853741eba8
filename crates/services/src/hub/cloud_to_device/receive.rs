//! A device receives messages: they are locked, and in its hands until it settles them or the time is over.

use std::time::Duration;

use pollux_model::message::{LockedBy, MessageLock, MessageQueue, QueuedMessage};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Etag, ResourceName, Result, Timestamp};
use pollux_store::messages::Which;
use pollux_store::{Batch, Expect, Write};

use super::{ATTEMPTS, Hub, Received, contended, moved, options, settle};
use crate::caller::Caller;
use crate::hub::Operation;

/// Messages taken back at once.
const TAKEN_BACK: usize = 16;

/// Locks that a request may ask for. Ours: of a hub's feedback they are 5 to 300 seconds.
const SHORTEST_LOCK: Duration = Duration::from_secs(1);
const LONGEST_LOCK: Duration = Duration::from_secs(300);

impl Hub {
    /// The next messages of the device, `most` of them at most, in order.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`](pollux_model::ErrorCode) unless the caller is the device.
    pub async fn receive_messages(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        by: LockedBy,
        most: usize,
    ) -> Result<Received> {
        caller.require_device(&hub.name, &id.clone().into())?;
        if by == LockedBy::Request {
            self.throttle(hub, Operation::MessageReceive, 1)?;
        }
        let queue = MessageQueue::Device(id.clone());
        let patience = Duration::from_secs(self.context.limits.cloud_message_lock_seconds);
        let token = || Etag::new(&self.context.random.uuid().to_string());
        // A lock that runs out between the two looks is in the second one.
        let now = self.context.clock.now();
        let messages = self.lock_messages(&hub.name, &queue, (by, patience), most, token).await?;
        let next = if messages.is_empty() {
            self.context.store.next_unlocked(&hub.name, &queue, now).await?
        } else {
            self.connections.active(&hub.name, &id.clone().into());
            None
        };
        Ok(Received { messages, next })
    }

    /// The next message of the device for a request that asks for it, its own for `lock`, or as long as is usual.
    ///
    /// # Errors
    /// As of [`Self::receive_messages`].
    pub async fn receive_message(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        lock: Option<Duration>,
    ) -> Result<Option<QueuedMessage>> {
        caller.require_device(&hub.name, &id.clone().into())?;
        let usual = Duration::from_secs(self.context.limits.cloud_message_lock_seconds);
        let lock = (LockedBy::Request, lock.map_or(usual, |lock| lock.clamp(SHORTEST_LOCK, LONGEST_LOCK)));
        let queue = MessageQueue::Device(id.clone());
        let token = || Etag::new(&self.context.random.uuid().to_string());
        let message = self.lock_messages(&hub.name, &queue, lock, 1, token).await?.pop();
        if message.is_some() {
            self.connections.active(&hub.name, &id.clone().into());
        }
        Ok(message)
    }

    /// Locks the next messages of a queue, each under a token of `token`.
    pub(super) async fn lock_messages(
        &self,
        hub: &ResourceName,
        queue: &MessageQueue,
        (by, patience): (LockedBy, Duration),
        most: usize,
        token: impl Fn() -> Etag,
    ) -> Result<Vec<QueuedMessage>> {
        for _ in 0..ATTEMPTS {
            let now = self.context.clock.now();
            let mut messages = self.context.store.messages(hub, queue, Which::Available(now), most).await?;
            if messages.is_empty() {
                return Ok(messages);
            }
            let mut batch = Batch::new();
            for message in &mut messages {
                let expect = Expect::Etag(message.etag.clone());
                message.etag = token();
                message.lock = Some(MessageLock { until: now.plus(patience), by });
                batch.writes.push(put_state(hub, message, expect));
            }
            if !moved(self.context.store.commit(batch).await)? {
                return Ok(messages);
            }
        }
        Err(contended())
    }

    /// A new connection of the device begins to receive: what earlier ones have in their hands is abandoned.
    pub async fn take_back_messages(&self, caller: &Caller, hub: &Resource, id: &DeviceId) -> Result<()> {
        caller.require_device(&hub.name, &id.clone().into())?;
        let queue = MessageQueue::Device(id.clone());
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let held = self.context.store.messages(&hub.name, &queue, Which::Held, TAKEN_BACK).await?;
            if held.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for message in held {
                self.put_back(hub, message, options(hub).max_delivery_count, &mut batch);
            }
            let told = settle::has_feedback(&batch);
            // Where one was settled at this moment the others are looked at once more.
            if moved(self.context.store.commit(batch).await)? {
                attempts += 1;
            } else if told {
                self.feedback_arrived().await;
            }
        }
        Err(contended())
    }
}

/// The message in a new state; its payload stays as it is stored and is not written again.
pub(super) fn put_state(hub: &ResourceName, message: &QueuedMessage, expect: Expect) -> Write {
    let state = QueuedMessage { payload: Vec::new(), ..message.clone() };
    Write::PutMessage { hub: hub.clone(), message: Box::new(state), expect }
}

/// Whether the lock holds at this moment.
pub(super) fn holds(lock: Option<MessageLock>, now: Timestamp) -> bool {
    lock.is_some_and(|lock| lock.by == LockedBy::Connection || lock.until > now)
}
