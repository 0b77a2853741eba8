//! How devices of a hub upload files, as an operator says it. What is left out stays.

use pollux_model::resource::{FileUpload, IsoDuration, Setting, StorageEndpoint};
use pollux_model::{Error, Result};
use serde::Deserialize;

use super::build::merge_feedback;
use super::declared::DeclaredFeedback;
use crate::blobs::{Account, check_container};

/// How devices of a hub upload files; see [`FileUpload`] for ranges and defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredFileUpload {
    /// Of a storage account, with its key; empty: files go to a folder of the deployment.
    #[serde(alias = "connectionString")]
    pub connection_string: Option<Setting>,
    /// The container in it.
    #[serde(alias = "containerName")]
    pub container_name: Option<String>,
    /// How long a device has for an upload, such as `PT1H`.
    #[serde(alias = "sasTtlAsIso8601")]
    pub sas_ttl_as_iso8601: Option<IsoDuration>,
    /// Whether services are told of files.
    #[serde(alias = "enableFileUploadNotifications")]
    pub enable_file_upload_notifications: Option<bool>,
    /// About what they are told.
    #[serde(alias = "fileNotifications")]
    pub file_notifications: DeclaredFeedback,
}

/// Adopts what is said, and checks it.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`](pollux_model::ErrorCode): an option is out of its range, the connection string has no key, one
/// of connection string and container is missing.
pub(super) fn merge(present: &mut FileUpload, said: &DeclaredFileUpload) -> Result<()> {
    let before = present.storage.take();
    let text =
        said.connection_string.clone().or_else(|| before.as_ref().map(|one| one.connection_string.clone()));
    let name = said.container_name.clone().or_else(|| before.map(|one| one.container_name));
    present.storage = match (text.filter(|text| !text.0.is_empty()), name) {
        (Some(connection_string), Some(container_name)) => {
            Some(StorageEndpoint { connection_string, container_name })
        }
        (Some(_), None) => {
            return Err(Error::invalid("fileUpload.connectionString needs a containerName beside it"));
        }
        // A folder's container has a name of its own.
        (None, _) if said.container_name.is_some() => {
            return Err(Error::invalid("fileUpload.containerName needs a connectionString beside it"));
        }
        (None, _) => None,
    };
    if let Some(storage) = &present.storage {
        let refused = |error: crate::blobs::BlobError| Error::invalid(error.message());
        check_container(&storage.container_name).map_err(refused)?;
        let account = Account::read(&storage.connection_string).map_err(refused)?;
        if !account.has_key() {
            let text = "fileUpload.connectionString must have the AccountKey: devices get URLs that are signed with it";
            return Err(Error::invalid(text));
        }
    }
    present.sas_ttl_as_iso8601 = said.sas_ttl_as_iso8601.unwrap_or(present.sas_ttl_as_iso8601);
    let told = said.enable_file_upload_notifications;
    present.enable_file_upload_notifications = told.unwrap_or(present.enable_file_upload_notifications);
    merge_feedback(&mut present.file_notifications, &said.file_notifications);
    present.check()
}
