//! A device says how an upload ended (REST reference, "Device - Update File Upload Status").

use pollux_model::message::{MessageQueue, QueuedMessage};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Error, ErrorCode, Result, ids};
use pollux_store::messages::Which;
use pollux_store::{Batch, Expect, Write};

use super::create_upload::blob_of;
use super::{Hub, options, storage_failed};
use crate::blobs::BlobError;
use crate::caller::{Caller, Identity};
use crate::hub::cloud_to_device::moved;

/// How an upload ended, as the device says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadEnd {
    /// What the device was given at its beginning.
    pub correlation_id: String,
    /// Whether the file is there.
    pub is_success: bool,
    /// Of the storage's last answer, for the log.
    pub status_code: Option<i64>,
}

impl Hub {
    /// Frees the upload's place and, if the file is there, tells the services, in one commit. `host`: what the device calls the
    /// hub.
    ///
    /// # Errors
    /// [`ErrorCode::UploadNotFound`]: the correlation id is not one of an upload of this device that is under way, be it that it
    /// was completed or that its time was over; [`ErrorCode::BlobNotFound`]: there is no such file, and the upload goes on;
    /// [`ErrorCode::Unavailable`].
    pub async fn complete_upload(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        (end, host): (UploadEnd, &str),
    ) -> Result<()> {
        caller.require_device(&hub.name, &id.clone().into())?;
        let upload = self.under_way(caller, hub, id, &end.correlation_id).await?;
        let free = Write::DeleteMessage {
            hub: hub.name.clone(),
            queue: upload.queue.clone(),
            sequence: upload.sequence,
            expect: Expect::Etag(upload.etag.clone()),
        };
        let (mut batch, blob) = (Batch::from(free), blob_of(&upload));
        let mut told = false;
        if end.is_success {
            let container = self.container(hub)?;
            let location = self.blob(&container, blob)?;
            let state = self.files.blobs.state(&location).await.map_err(|error| match error {
                // In a storage account's words, or the operating system's.
                BlobError::Missing(_) => {
                    Error::new(ErrorCode::BlobNotFound, format!("there is no blob '{}'", ids::shown(blob)))
                }
                error => storage_failed(error),
            })?;
            if options(hub).enable_file_upload_notifications {
                batch = batch.with(self.file_notification(hub, id, (&container, host), (blob, state)));
                told = true;
            }
        } else {
            tracing::info!(hub = %hub.name, device = %id, status = end.status_code, "an upload failed, says the device");
        }
        if moved(self.context.store.commit(batch).await)? {
            return Err(unknown());
        }
        if told {
            self.feedback_arrived().await;
        }
        Ok(())
    }

    async fn under_way(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        correlation_id: &str,
    ) -> Result<QueuedMessage> {
        let Identity::Device { generation_id, .. } = &caller.identity else { return Err(Error::internal()) };
        let (queue, which) = (MessageQueue::uploads(id), Which::Etag(correlation_id));
        let found = self.context.store.messages(&hub.name, &queue, which, 1).await?;
        let now = self.context.clock.now();
        let holds = |upload: &QueuedMessage| upload.expires > now && upload.generation_id == *generation_id;
        found.into_iter().next().filter(holds).ok_or_else(unknown)
    }
}

fn unknown() -> Error {
    let text = "no upload of this correlation id is under way for this device: it was completed, its time was over, or it \
                never began";
    Error::new(ErrorCode::UploadNotFound, text)
}
