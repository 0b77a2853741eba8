//! A device begins to upload a file (REST reference, "Device - Create File Upload Sas Uri").

use std::fmt;

use pollux_model::message::{Ack, MessageProperties, MessageQueue, QueuedMessage};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Error, ErrorCode, Etag, Result, Timestamp};
use pollux_store::messages::Which;
use pollux_store::{Batch, Expect, Write};

use super::{CONTAINER, Hub, options, storage_failed};
use crate::blobs::{Container, Permissions, SignedPlace, check_name};
use crate::caller::{Caller, Identity};
use crate::hub::Operation;
use crate::hub::cloud_to_device::{ATTEMPTS, contended, moved};

/// Under which an upload's record keeps the blob's name.
const BLOB: &str = "blobName";

/// Where a device's file goes.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadPlace {
    /// By which the device says how it ended.
    pub correlation_id: String,
    /// Where the container is; `https://{host_name}/{container_name}/{blob_name}{sas_token}` is the blob's URL.
    pub host_name: String,
    /// The container.
    pub container_name: String,
    /// `{device id}/{name}`.
    pub blob_name: String,
    /// A query that opens the blob.
    pub sas_token: String,
}

impl fmt::Debug for UploadPlace {
    /// Without what opens it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadPlace").field("blob_name", &self.blob_name).finish_non_exhaustive()
    }
}

impl Hub {
    /// Gives the device a place among its uploads under way and a URL for the blob `{device id}/{name}`, good for as long as the hub
    /// is configured. `host`: what the device calls the hub, port and all.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]: a blob cannot have that name; [`ErrorCode::StorageNotConfigured`];
    /// [`ErrorCode::UploadLimitReached`]; [`ErrorCode::Unavailable`]: the storage is away.
    pub async fn create_upload(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        (name, host): (&str, &str),
    ) -> Result<UploadPlace> {
        caller.require_device(&hub.name, &id.clone().into())?;
        self.throttle(hub, Operation::FileUpload, 1)?;
        let blob = format!("{id}/{name}");
        check_name(&blob).map_err(|error| Error::invalid(error.message()))?;
        let expires = self.context.clock.now().plus(options(hub).sas_ttl_as_iso8601.duration());
        let SignedPlace { host, container, blob, token } =
            self.signed_place(hub, &blob, host, expires).await?;
        let correlation_id = self.take_place(caller, hub, id, (&blob, expires)).await?;
        metrics::counter!("pollux_hub_file_uploads_total").increment(1);
        Ok(UploadPlace {
            correlation_id: correlation_id.to_string(),
            host_name: host,
            container_name: container,
            blob_name: blob,
            sas_token: token,
        })
    }

    async fn signed_place(
        &self,
        hub: &Resource,
        blob: &str,
        host: &str,
        expires: Timestamp,
    ) -> Result<SignedPlace> {
        let container = self.container(hub)?;
        // What a file cannot be called is said now, not when the device has sent it.
        self.blob(&container, blob)?;
        if let Container::Folder { .. } = &container {
            let token = self.sign_blob(hub, blob, Permissions::READ_AND_WRITE, expires).await?;
            let (host, container) = (host.to_owned(), CONTAINER.to_owned());
            return Ok(SignedPlace { host, container, blob: blob.to_owned(), token });
        }
        self.ensure_container(hub, &container).await?;
        container.sign(blob, Permissions::READ_AND_WRITE, expires).map_err(storage_failed)
    }

    /// Makes the container if it is not there: asked once of each state of the hub.
    async fn ensure_container(&self, hub: &Resource, container: &Container) -> Result<()> {
        if self.files.ensured.lock().contains(&hub.etag) {
            return Ok(());
        }
        self.files.blobs.ensure(container).await.map_err(storage_failed)?;
        let mut ensured = self.files.ensured.lock();
        // As many as there can be hubs that somebody uploads to.
        if ensured.len() >= 256 {
            ensured.remove(0);
        }
        ensured.push(hub.etag.clone());
        Ok(())
    }

    /// A record of the upload in the first free of the device's places; its etag is the correlation id.
    async fn take_place(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        (blob, expires): (&str, Timestamp),
    ) -> Result<Etag> {
        let Identity::Device { generation_id, .. } = &caller.identity else { return Err(Error::internal()) };
        let (queue, most) = (MessageQueue::uploads(id), self.context.limits.uploads);
        for _ in 0..ATTEMPTS {
            let now = self.context.clock.now();
            let there = self.context.store.messages(&hub.name, &queue, Which::All, most as usize).await?;
            let at = |place: i64| there.iter().find(|upload| upload.sequence == place);
            let free =
                |upload: &QueuedMessage| upload.expires <= now || upload.generation_id != *generation_id;
            let Some(place) = (0..i64::from(most)).find(|place| at(*place).is_none_or(free)) else {
                let text = format!("the device uploads {most} files already: complete one of them first");
                return Err(Error::new(ErrorCode::UploadLimitReached, text));
            };
            let expect = at(place).map_or(Expect::Absent, |upload| Expect::Etag(upload.etag.clone()));
            let upload = QueuedMessage {
                queue: queue.clone(),
                sequence: place,
                etag: Etag::new(&self.context.random.uuid().simple().to_string()),
                enqueued: now,
                expires,
                lock: None,
                delivery_count: 0,
                ack: Ack::None,
                generation_id: generation_id.clone(),
                system: MessageProperties::default(),
                properties: vec![(BLOB.to_owned(), blob.to_owned())],
                payload: Vec::new(),
            };
            let correlation_id = upload.etag.clone();
            let put = Write::PutMessage { hub: hub.name.clone(), message: Box::new(upload), expect };
            if !moved(self.context.store.commit(Batch::from(put)).await)? {
                return Ok(correlation_id);
            }
        }
        Err(contended())
    }
}

/// The blob of an upload's record.
pub(super) fn blob_of(upload: &QueuedMessage) -> &str {
    upload.properties.iter().find(|(name, _)| name == BLOB).map_or("", |(_, blob)| blob)
}
