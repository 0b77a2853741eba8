//! How devices of a hub upload files (Azure article "Upload files with IoT Hub"; `storageEndpoints`,
//! `enableFileUploadNotifications` and `messagingEndpoints.fileNotifications` of the ARM resource).

use serde::{Deserialize, Serialize};

use super::Setting;
use super::cloud_to_device::{Feedback, IsoDuration, check_duration};
use crate::error::Result;

/// `fileUpload` of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FileUpload {
    /// The storage account that files go to; `None`: a folder of the deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageEndpoint>,
    /// How long a device has for an upload: one minute to a day; an hour.
    pub sas_ttl_as_iso8601: IsoDuration,
    /// Whether services are told of files; they are.
    pub enable_file_upload_notifications: bool,
    /// About what they are told: ranges and defaults as of feedback.
    pub file_notifications: Feedback,
}

/// A container of a storage account (`storageEndpoints.$default`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageEndpoint {
    /// With the account's key.
    pub connection_string: Setting,
    /// The container; made when the first file comes.
    pub container_name: String,
}

impl Default for FileUpload {
    fn default() -> Self {
        Self {
            storage: None,
            sas_ttl_as_iso8601: IsoDuration(3600),
            enable_file_upload_notifications: true,
            file_notifications: Feedback::default(),
        }
    }
}

impl FileUpload {
    /// Whether nothing was said about it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the documented ranges.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`](crate::ErrorCode::InvalidArgument) names the option.
    pub fn check(&self) -> Result<()> {
        check_duration("fileUpload.sasTtlAsIso8601", self.sas_ttl_as_iso8601, 60, 24 * 3600)?;
        self.file_notifications.check("fileUpload.fileNotifications")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_ranges_hold() {
        let with = |change: fn(&mut FileUpload)| {
            let mut options = FileUpload::default();
            change(&mut options);
            options.check().is_ok()
        };
        assert!(with(|_| {}) && with(|it| it.sas_ttl_as_iso8601 = IsoDuration(86_400)));
        assert!(!with(|it| it.sas_ttl_as_iso8601 = IsoDuration(86_401)));
        assert!(!with(|it| it.sas_ttl_as_iso8601 = IsoDuration(59)));
        assert!(!with(|it| it.file_notifications.max_delivery_count = 0));
        assert!(!with(|it| it.file_notifications.lock_duration_as_iso8601 = IsoDuration(4)));
        assert!(!with(|it| it.file_notifications.ttl_as_iso8601 = IsoDuration(172_801)));
    }

    #[test]
    fn what_was_stored_before_there_were_files_is_read() {
        let read: FileUpload = serde_json::from_str("{}").unwrap();
        assert!(read.is_default());
    }
}
