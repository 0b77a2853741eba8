//! The service side takes all messages out of a device's queue (REST operation "Purge command queue").

use pollux_model::message::{MessageEnd, MessageQueue};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Result};
use pollux_store::Batch;
use pollux_store::messages::Which;

use super::settle::has_feedback;
use super::{ATTEMPTS, Hub, contended, moved};
use crate::caller::{Caller, HubAction, Right};

impl Hub {
    /// Dead-letters every message of the device, those in its hands too; gives their number.
    ///
    /// # Errors
    /// [`ErrorCode::DeviceNotFound`](pollux_model::ErrorCode).
    pub async fn purge_messages(&self, caller: &Caller, hub: &Resource, id: &str) -> Result<u64> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::MessagesPurge))?;
        let id = DeviceId::parse(id)?;
        self.existing(hub, &id).await?;
        let queue = MessageQueue::Device(id);
        let most = usize::try_from(self.context.limits.cloud_messages).unwrap_or(usize::MAX);
        for _ in 0..ATTEMPTS {
            let messages = self.context.store.messages(&hub.name, &queue, Which::All, most).await?;
            let mut batch = Batch::new();
            for message in &messages {
                self.end_message(hub, message, MessageEnd::Purged, &mut batch);
            }
            let told = has_feedback(&batch);
            if moved(self.context.store.commit(batch).await)? {
                continue;
            }
            if told {
                self.feedback_arrived().await;
            }
            return Ok(u64::try_from(messages.len()).unwrap_or(u64::MAX));
        }
        Err(contended())
    }
}
