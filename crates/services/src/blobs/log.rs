//! Logs: append blobs, and files that are added to. What was added is there at once.

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::{BlobError, BlobUrl, Blobs, Location, folder, sent};

/// A log being written.
pub enum Output {
    /// A blob that is appended to.
    Blob(BlobUrl),
    /// A file that is.
    File(File),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output(***)")
    }
}

impl Blobs {
    /// Makes the log; one that is there already only where it goes on.
    pub async fn begin_log(&self, location: &Location, goes_on: bool) -> Result<Output, BlobError> {
        match location {
            Location::File { folder, path } => {
                // Here and not where lines are added: once it is open, its folders are there.
                let parent = path.parent().unwrap_or(folder);
                folder::make_folders(folder, parent).await?;
                let path = folder::inside(folder, path, true).await?;
                let failed = |error| BlobError::io("written", &error);
                let file = File::options().create(true).append(true).open(&path).await.map_err(failed)?;
                if !goes_on {
                    file.set_len(0).await.map_err(failed)?;
                }
                folder::sync_folder(parent).await?;
                Ok(Output::File(file))
            }
            Location::Blob(url) => {
                if !goes_on {
                    let request = self.request(Method::PUT, url, &[])?;
                    let request = request.header("x-ms-blob-type", "AppendBlob").header(CONTENT_LENGTH, 0);
                    sent(request, "the log cannot be made").await?;
                }
                Ok(Output::Blob(url.clone()))
            }
        }
    }

    /// Adds to the log.
    pub async fn append(&self, output: &mut Output, bytes: Bytes) -> Result<(), BlobError> {
        match output {
            Output::File(file) => {
                let failed = |error| BlobError::io("written", &error);
                file.write_all(&bytes).await.map_err(failed)?;
                file.flush().await.map_err(failed)?;
                file.sync_data().await.map_err(failed)
            }
            Output::Blob(url) => {
                let request = self.request(Method::PUT, url, &[("comp", "appendblock")])?.body(bytes);
                sent(request, "the log cannot be written").await
            }
        }
    }
}
