//! Writing a blob or file as a whole: it has its name when all of it is there, and an earlier one of the name is there until
//! then.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::{BlobError, BlobUrl, Blobs, Draft, Location, folder, sent};

/// Bytes of a block: what is held of an upload. 50,000 of them are the most that a blob may have ("Put Block List").
const BLOCK: usize = 4 * 1024 * 1024;
const REFUSED: &str = "the blob cannot be written";

/// Something that is being written.
pub struct Upload<'b> {
    blobs: &'b Blobs,
    target: Target,
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

enum Target {
    Blob(Box<Staged>),
    File(Draft),
}

/// A blob whose blocks are there, but not in it.
struct Staged {
    url: BlobUrl,
    content_type: String,
    /// What this upload's blocks are called, so that they are not those of another one.
    run: u64,
    blocks: Vec<String>,
    pending: BytesMut,
}

impl Blobs {
    /// Writes all of it.
    pub async fn put(&self, location: &Location, content_type: &str, bytes: Bytes) -> Result<(), BlobError> {
        let mut upload = self.begin(location, content_type).await?;
        upload.write(bytes).await?;
        upload.finish().await
    }

    /// Begins to write; what is not finished is nowhere to be seen.
    pub async fn begin(&self, location: &Location, content_type: &str) -> Result<Upload<'_>, BlobError> {
        let target = match location {
            Location::File { folder, path } => {
                Target::File(Draft::begin(folder, path, &*self.context.random).await?)
            }
            Location::Blob(url) => Target::Blob(Box::new(Staged {
                url: url.clone(),
                content_type: content_type.to_owned(),
                run: self.context.random.below(u64::MAX),
                blocks: Vec::new(),
                pending: BytesMut::new(),
            })),
        };
        Ok(Upload { blobs: self, target })
    }

    /// Deletes it; that it is not there is no error.
    pub async fn delete(&self, location: &Location) -> Result<(), BlobError> {
        let deleted = match location {
            Location::File { folder, path } => match folder::inside(folder, path, false).await {
                Ok(path) => {
                    tokio::fs::remove_file(path).await.map_err(|error| BlobError::io("deleted", &error))
                }
                Err(error) => Err(error),
            },
            Location::Blob(url) => {
                sent(self.request(Method::DELETE, url, &[])?, "the blob cannot be deleted").await
            }
        };
        match deleted {
            Err(BlobError::Missing(_)) => Ok(()),
            deleted => deleted,
        }
    }
}

impl Upload<'_> {
    /// Adds to it.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        let staged = match &mut self.target {
            Target::File(draft) => return draft.write(&bytes).await,
            Target::Blob(staged) => staged,
        };
        while staged.pending.len() + bytes.len() > BLOCK {
            let part = bytes.split_to(BLOCK - staged.pending.len());
            staged.pending.extend_from_slice(&part);
            staged.stage(self.blobs).await?;
        }
        staged.pending.extend_from_slice(&bytes);
        Ok(())
    }

    /// Gives it its name.
    pub async fn finish(self) -> Result<(), BlobError> {
        match self.target {
            Target::File(draft) => draft.finish().await,
            Target::Blob(staged) => staged.finish(self.blobs).await,
        }
    }
}

impl Staged {
    async fn stage(&mut self, blobs: &Blobs) -> Result<(), BlobError> {
        // Of one length, as the service wants them to be.
        let id = BASE64.encode(format!("{:016x}{:08}", self.run, self.blocks.len()));
        let body = self.pending.split().freeze();
        let request = blobs.request(Method::PUT, &self.url, &[("comp", "block"), ("blockid", &id)])?;
        sent(request.body(body), REFUSED).await?;
        self.blocks.push(id);
        Ok(())
    }

    async fn finish(mut self, blobs: &Blobs) -> Result<(), BlobError> {
        if self.blocks.is_empty() {
            let request = blobs.request(Method::PUT, &self.url, &[])?;
            let request = request
                .header("x-ms-blob-type", "BlockBlob")
                .header(CONTENT_TYPE, &self.content_type)
                .body(self.pending.freeze());
            return sent(request, REFUSED).await;
        }
        if !self.pending.is_empty() {
            self.stage(blobs).await?;
        }
        let list: String = self.blocks.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{list}</BlockList>");
        let request = blobs.request(Method::PUT, &self.url, &[("comp", "blocklist")])?;
        let request = request
            .header("x-ms-blob-content-type", &self.content_type)
            .header(CONTENT_TYPE, "application/xml")
            .body(body);
        sent(request, REFUSED).await
    }
}
