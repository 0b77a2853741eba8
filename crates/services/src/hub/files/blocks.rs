//! A blob is written block by block ("Put Block", "Put Block List"): blocks come in any order and side by side, and are no blob
//! until they are listed.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::Stream;
use pollux_model::Error;

use super::{BlobGrant, BlobRefusal, Hub, PutCondition};
use crate::blobs::{BlobState, Container, DRAFT, Draft};

/// Blocks that a blob is made of at most ("Put Block List").
const MOST: usize = 50_000;
/// Bytes of a block's id, decoded, at most ("Put Block").
const LONGEST_ID: usize = 64;

impl Hub {
    /// Keeps a block, in place of one of the same id.
    ///
    /// # Errors
    /// As of [`Hub::put_blob`]; [`BlobRefusal::BlockId`].
    pub async fn put_block<S>(&self, grant: &BlobGrant, id: &str, content: S) -> Result<(), BlobRefusal>
    where
        S: Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    {
        grant.require('w')?;
        // What a blob cannot be called need not be sent.
        self.kept(grant)?;
        let name = block_file(id).ok_or(BlobRefusal::BlockId)?;
        let (folder, blocks) = self.blocks(grant)?;
        let mut draft = Draft::begin(&folder, &blocks.join(name), &*self.context.random).await?;
        self.write_bounded(grant, &mut draft, content, self.context.limits.file_block).await?;
        Ok(draft.finish().await?)
    }

    /// Makes the blob of blocks, in this order; those that are not listed are thrown away.
    ///
    /// # Errors
    /// As of [`Hub::put_blob`]; [`BlobRefusal::BlockList`].
    pub async fn put_block_list(
        &self,
        grant: &BlobGrant,
        condition: PutCondition,
        ids: &[String],
    ) -> Result<BlobState, BlobRefusal> {
        grant.require('w')?;
        if ids.len() > MOST {
            return Err(BlobRefusal::BlockList);
        }
        let (_, blocks) = self.blocks(grant)?;
        let (mut size, mut files) = (0, Vec::with_capacity(ids.len()));
        for id in ids {
            let file = blocks.join(block_file(id).ok_or(BlobRefusal::BlockList)?);
            let found = tokio::fs::metadata(&file).await.map_err(|_| BlobRefusal::BlockList)?;
            size += found.len();
            files.push((file, found.len()));
        }
        if size > self.context.limits.file {
            return Err(BlobRefusal::TooLarge(self.context.limits.file));
        }
        let mut draft = self.draft(grant, condition).await?;
        let mut written = 0;
        for (file, length) in files {
            // Just before it is taken: what was counted is looked at anew while a long list is copied.
            self.reserve(grant, length).await?;
            written += draft.write_file(&file).await?;
            if written > size {
                // Somebody puts greater blocks in the place of those that were counted.
                return Err(BlobRefusal::BlockList);
            }
        }
        let state = self.finish(grant, condition, draft).await?;
        if let Err(error) = tokio::fs::remove_dir_all(&blocks).await
            && !ids.is_empty()
        {
            tracing::debug!(%error, "blocks of a blob are swept later");
        }
        Ok(state)
    }

    /// The hub's folder, and the blocks of a blob in it.
    fn blocks(&self, grant: &BlobGrant) -> Result<(PathBuf, PathBuf), BlobRefusal> {
        let Container::Folder { folder, path } = self.folder(grant)? else {
            return Err(BlobRefusal::Missing);
        };
        let of = hex(digest(&SHA256, grant.blob.as_bytes()).as_ref());
        Ok((folder, path.join(format!("{DRAFT}blocks")).join(of)))
    }
}

/// The file of a block.
fn block_file(id: &str) -> Option<String> {
    let bytes = BASE64.decode(id).ok().filter(|bytes| (1..=LONGEST_ID).contains(&bytes.len()))?;
    Some(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
