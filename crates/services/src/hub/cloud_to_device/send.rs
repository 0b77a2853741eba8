//! A service sends a message to a device.

use pollux_model::message::{MessageQueue, QueuedMessage};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, Result, ids};
use pollux_store::{Batch, CommitError, Mismatch, Write};

use super::{CloudMessage, Hub, LONGEST_LIFE, options};
use crate::caller::{Caller, HubAction, Right};
use crate::hub::{DeviceCommand, Operation, no_device};

/// Characters of `message-id` (Azure article "Create and read IoT Hub messages").
const MESSAGE_ID: usize = 128;

impl Hub {
    /// Puts a message at the end of the device's queue; when this returns it is durable. The device is told at once, wherever it
    /// is connected.
    ///
    /// # Errors
    /// [`ErrorCode::DeviceNotFound`], [`ErrorCode::QueueFull`], [`ErrorCode::TooLarge`], [`ErrorCode::InvalidArgument`].
    pub async fn send_message(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &str,
        message: CloudMessage,
    ) -> Result<()> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::MessagesSend))?;
        let id = DeviceId::parse(id)?;
        self.check(&message)?;
        self.throttle(hub, Operation::MessageSend, 1)?;
        let device = self.existing(hub, &id).await?;
        self.bill(hub, [message.body.len()]).await?;
        let message = self.queued(hub, &id, device.identity.generation_id, message);
        let mut swept = false;
        loop {
            let write = Write::EnqueueMessage {
                hub: hub.name.clone(),
                message: Box::new(message.clone()),
                most: self.context.limits.cloud_messages,
            };
            match self.commit(hub, &id.clone().into(), Batch::from(write)).await {
                Ok(()) => break,
                Err(CommitError::Expectation { mismatch: Mismatch::QueueFull, .. }) if !swept => {
                    // What has expired may not have been cleared away yet.
                    swept = true;
                    self.expire_messages().await?;
                }
                Err(CommitError::Expectation { mismatch: Mismatch::QueueFull, .. }) => {
                    let most = self.context.limits.cloud_messages;
                    let text = format!("{most} messages wait for the device '{id}' already");
                    return Err(Error::new(ErrorCode::QueueFull, text));
                }
                Err(CommitError::Expectation { .. }) => return Err(no_device(&id)),
                Err(error) => return Err(error.into()),
            }
        }
        metrics::counter!("pollux_hub_cloud_messages_total").increment(1);
        self.connections.deliver(&hub.name, &id.into(), DeviceCommand::MessageWaiting).await;
        Ok(())
    }

    fn queued(
        &self,
        hub: &Resource,
        id: &DeviceId,
        generation_id: String,
        message: CloudMessage,
    ) -> QueuedMessage {
        let now = self.context.clock.now();
        let latest = now.plus(LONGEST_LIFE);
        let expires = message
            .system
            .expiry
            .map_or_else(|| now.plus(options(hub).default_ttl_as_iso8601.duration()), |at| at.min(latest));
        QueuedMessage {
            queue: MessageQueue::Device(id.clone()),
            // Sequences grow with time, so that none is given twice even where the queue was empty in between.
            sequence: now.as_micros(),
            etag: Etag::fresh(&*self.context.random),
            enqueued: now,
            expires,
            lock: None,
            delivery_count: 0,
            ack: message.ack,
            generation_id,
            system: message.system,
            properties: message.properties,
            payload: message.body.into(),
        }
    }

    /// Size as the article counts it ("Message size"): the body, the values of system properties, names and values of
    /// application properties.
    fn check(&self, message: &CloudMessage) -> Result<()> {
        let system = &message.system;
        let texts = [
            &system.message_id,
            &system.correlation_id,
            &system.user_id,
            &system.content_type,
            &system.content_encoding,
        ];
        let system: usize = texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
        let own: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let (size, most) = (message.body.len() + system + own, self.context.limits.cloud_message);
        if size > most {
            let text = format!("the message is {size} bytes with its properties; at most {most} are allowed");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        if texts[0].as_ref().is_some_and(|id| id.len() > MESSAGE_ID) {
            return Err(Error::invalid(format!("message-id may have {MESSAGE_ID} characters at most")));
        }
        let control = |text: &str| text.chars().any(char::is_control);
        let names = message.properties.iter().map(|(name, _)| name);
        let values = message.properties.iter().map(|(_, value)| value);
        if let Some(name) = names.clone().find(|name| name.is_empty() || control(name)) {
            let shown = ids::shown(name);
            return Err(Error::invalid(format!("'{shown}' is no name of an application property")));
        }
        if values.chain(texts.into_iter().flatten()).any(|value| control(value)) {
            return Err(Error::invalid("properties may have no control characters"));
        }
        Ok(())
    }
}
