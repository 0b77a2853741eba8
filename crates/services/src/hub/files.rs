//! Files that devices upload (Azure article "Upload files with IoT Hub"), and what serves those that are kept here.
//!
//! ```text
//!   device ─ create_upload(name) ──▶ a place among its ten, and a URL that is signed for its blob
//!          ─ PUT to the URL ───────▶ a storage account, or open_blob (signature) ─▶ put_blob | put_block, put_block_list
//!          ─ complete_upload(correlation id, how it ended)
//!                 └─ one commit: the place is free, services are told (receive_notices, [`Notices::Files`](super::Notices))
//! ```
//!
//! The hub has a storage account, or a folder of the deployment ([`Blobs::own`]). An upload that nobody completes is forgotten when
//! its URL ends.
//!
//! | file | concern |
//! |---|---|
//! | `create_upload`, `complete_upload` | what a device asks for; `notification`: what services are told |
//! | `signature` | URLs of the folder: signed, and believed |
//! | `put_blob`, `blocks`, `read_blob` | what may be done with them; `condition`: when; `usage`: how much there may be |
//! | `sweep` | what was not finished goes away |

mod blocks;
mod complete_upload;
mod condition;
mod create_upload;
mod notification;
mod put_blob;
mod read_blob;
mod refusal;
mod signature;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::resource::{FileUpload, Properties, Resource};
use pollux_model::{Error, ErrorCode, Etag, Result};
use tokio::sync::OnceCell;

use super::Hub;
use crate::blobs::{BlobError, Blobs, Container, Location};

pub use complete_upload::UploadEnd;
pub use condition::{BlobCondition, Etags};
pub use create_upload::UploadPlace;
pub use read_blob::{BlobContent, BlobRange};
pub use refusal::BlobRefusal;
pub use signature::{BlobGrant, BlobSignature};

/// The container of what is kept here: the first word of its URLs at the hub's own name, where no other path begins so.
pub const CONTAINER: &str = "hub-files";

/// What hubs need for files.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) blobs: Arc<Blobs>,
    /// Of URLs of the folder; see [`signature`].
    key: OnceCell<Vec<u8>>,
    usage: usage::Usage,
    /// Hubs, as of an etag, whose container is known to be there.
    ensured: Mutex<Vec<Etag>>,
    /// Of blobs, by a hash of their names: who looks whether a condition holds writes before it is another one's turn.
    changing: [tokio::sync::Mutex<()>; STRIPES],
}

/// Blobs that are changed side by side at most.
const STRIPES: usize = 64;

impl Files {
    pub(super) fn new(blobs: Arc<Blobs>) -> Self {
        let (key, usage, ensured) = Default::default();
        let changing = std::array::from_fn(|_| tokio::sync::Mutex::default());
        Self { blobs, key, usage, ensured, changing }
    }

    /// Waits until nobody else on this node changes the blob.
    async fn alone_with(&self, grant: &BlobGrant) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = std::hash::DefaultHasher::new();
        (&*grant.hub.name, &grant.blob).hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or_default();
        self.changing[stripe].lock().await
    }
}

fn options(hub: &Resource) -> FileUpload {
    match &hub.properties {
        Properties::Hub(properties) => properties.file_upload.clone(),
        _ => FileUpload::default(),
    }
}

impl Hub {
    /// Where the hub's files are.
    ///
    /// # Errors
    /// [`ErrorCode::StorageNotConfigured`] says what is to be configured.
    fn container(&self, hub: &Resource) -> Result<Container> {
        let found = match options(hub).storage {
            Some(storage) => Container::of(&storage.connection_string, &storage.container_name),
            None => self.files.blobs.own(&hub.name, CONTAINER),
        };
        found.map_err(|error| Error::new(ErrorCode::StorageNotConfigured, error.message()))
    }

    /// The place of a blob.
    fn blob(&self, container: &Container, name: &str) -> Result<Location> {
        container.blob(name).map_err(|error| Error::invalid(error.message()))
    }
}

/// What the storage says, where nobody has a better word.
fn storage_failed(error: BlobError) -> Error {
    let code = match &error {
        BlobError::Away(_) => ErrorCode::Unavailable,
        BlobError::Missing(_) => ErrorCode::BlobNotFound,
        BlobError::Conflict(_) | BlobError::No(_) => ErrorCode::StorageNotConfigured,
    };
    Error::new(code, error.message())
}
