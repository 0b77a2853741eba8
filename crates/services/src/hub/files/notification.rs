//! What services are told of a file (the article, "Service: File upload notifications").

use pollux_model::message::{Ack, MessageProperties, MessageQueue, QueuedMessage};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Etag};
use pollux_store::{Expect, Write};
use serde_json::json;
use url::Url;

use super::{CONTAINER, Hub, options};
use crate::blobs::{BlobState, Container};

impl Hub {
    /// A message to the service side about a blob; the members are those of the article's example.
    pub(super) fn file_notification(
        &self,
        hub: &Resource,
        id: &DeviceId,
        (container, host): (&Container, &str),
        (blob, state): (&str, BlobState),
    ) -> Write {
        let now = self.context.clock.now();
        let record = json!({
            "deviceId": id,
            "blobUri": uri(container, host, blob),
            "blobName": blob,
            "lastUpdatedTime": state.modified,
            "blobSizeInBytes": state.size,
            "enqueuedTimeUtc": now,
        });
        let system = MessageProperties {
            user_id: Some(hub.name.to_string()),
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            ..MessageProperties::default()
        };
        let message = QueuedMessage {
            queue: MessageQueue::FileNotifications,
            sequence: self.notice_sequence(now),
            etag: Etag::fresh(&*self.context.random),
            enqueued: now,
            expires: now.plus(options(hub).file_notifications.ttl_as_iso8601.duration()),
            lock: None,
            delivery_count: 0,
            ack: Ack::None,
            generation_id: String::new(),
            system,
            properties: Vec::new(),
            payload: record.to_string().into_bytes(),
        };
        Write::PutMessage { hub: hub.name.clone(), message: Box::new(message), expect: Expect::Absent }
    }
}

/// The blob's, without what opens it.
fn uri(container: &Container, host: &str, blob: &str) -> String {
    let (base, name) = match container {
        Container::Account { account, name } => (account.endpoint().clone(), name.as_str()),
        Container::Url { .. } | Container::Folder { .. } => match Url::parse(&format!("https://{host}/")) {
            Ok(base) => (base, CONTAINER),
            Err(_) => return String::new(),
        },
    };
    crate::blobs::below(&base, std::iter::once(name).chain(blob.split('/'))).into()
}
