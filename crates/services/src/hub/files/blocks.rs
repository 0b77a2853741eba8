//! A blob is written block by block ("Put Block", "Put Block List"): blocks come in any order and side by side, and are no blob
//! until they are listed.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::Stream;
use pollux_model::{Error, Timestamp};
use serde::{Deserialize, Serialize};

use super::{BlobCondition, BlobGrant, BlobRefusal, Hub};
use crate::blobs::{BlobError, BlobState, Container, DRAFT, Draft};

/// Blocks that a blob is made of at most ("Put Block List").
const MOST: usize = 50_000;
/// Bytes of a block's id, decoded, at most ("Put Block").
const LONGEST_ID: usize = 64;

/// What became of the last list of a blob. Its blocks are gone, and whoever did not hear the answer sends the list once more: the
/// storage knows the blocks of a blob by their ids as long as the blob is there.
#[derive(Serialize, Deserialize)]
struct Listed {
    /// Of the ids.
    digest: String,
    /// Of the blob.
    size: u64,
    /// When the blob was written, in microseconds.
    modified: i64,
}

/// The files of blocks in the order of their list, with as many bytes as each had when they were counted.
type Blocks = Vec<(PathBuf, u64)>;

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

    /// Makes the blob of blocks, in this order; those that are not listed are thrown away. The same list once more finds the
    /// blob that it made.
    ///
    /// # Errors
    /// As of [`Hub::put_blob`]; [`BlobRefusal::BlockList`].
    pub async fn put_block_list(
        &self,
        grant: &BlobGrant,
        condition: &BlobCondition,
        ids: &[String],
    ) -> Result<BlobState, BlobRefusal> {
        grant.require('w')?;
        if ids.len() > MOST {
            return Err(BlobRefusal::BlockList);
        }
        let (folder, blocks) = self.blocks(grant)?;
        let made = blocks.with_extension("made");
        let files = match counted(&blocks, ids).await {
            Ok(files) => files,
            Err(missing) => {
                let found = self.found(grant).await?;
                condition.check_write(found)?;
                return found.filter(|found| made_before(&made, ids) == Some(*found)).ok_or(missing);
            }
        };
        if files.iter().map(|(_, length)| length).sum::<u64>() > self.context.limits.file {
            return Err(BlobRefusal::TooLarge(self.context.limits.file));
        }
        let mut draft = self.draft(grant, condition).await?;
        self.join_blocks(grant, &mut draft, &files).await?;
        let state = self.finish(grant, condition, draft).await?;
        // Before the blocks go: a crash in between leaves one or the other to answer the same list by.
        if let Err(error) = self.remember(&folder, &made, (ids, state)).await {
            tracing::warn!(%error, "a list of blocks cannot be answered once more");
        }
        if let Err(error) = tokio::fs::remove_dir_all(&blocks).await
            && !ids.is_empty()
        {
            tracing::debug!(%error, "blocks of a blob are swept later");
        }
        Ok(state)
    }

    /// Copies blocks into the draft of their blob.
    pub(super) async fn join_blocks(
        &self,
        grant: &BlobGrant,
        draft: &mut Draft,
        files: &Blocks,
    ) -> Result<(), BlobRefusal> {
        let size: u64 = files.iter().map(|(_, length)| length).sum();
        let mut written = 0;
        for (file, length) in files {
            // Just before it is taken: what was counted is looked at anew while a long list is copied.
            self.reserve(grant, *length).await?;
            written += draft.write_file(file).await?;
            if written > size {
                // Somebody puts greater blocks in the place of those that were counted.
                return Err(BlobRefusal::BlockList);
            }
        }
        Ok(())
    }

    async fn remember(
        &self,
        folder: &Path,
        made: &Path,
        (ids, state): (&[String], BlobState),
    ) -> Result<(), BlobError> {
        let listed =
            Listed { digest: digest_of(ids), size: state.size, modified: state.modified.as_micros() };
        let text = serde_json::to_vec(&listed).map_err(|error| BlobError::No(error.to_string()))?;
        let mut draft = Draft::begin(folder, made, &*self.context.random).await?;
        draft.write(&text).await?;
        draft.finish().await
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

/// The blocks that are listed, if all of them are there.
async fn counted(blocks: &Path, ids: &[String]) -> Result<Blocks, BlobRefusal> {
    let mut files = Vec::with_capacity(ids.len());
    for id in ids {
        let file = blocks.join(block_file(id).ok_or(BlobRefusal::BlockList)?);
        let found = tokio::fs::metadata(&file).await.map_err(|_| BlobRefusal::BlockList)?;
        files.push((file, found.len()));
    }
    Ok(files)
}

/// The blob that this list made, if it was the last one.
fn made_before(made: &Path, ids: &[String]) -> Option<BlobState> {
    let listed: Listed = serde_json::from_slice(&std::fs::read(made).ok()?).ok()?;
    let state = BlobState { size: listed.size, modified: Timestamp::from_micros(listed.modified) };
    (listed.digest == digest_of(ids)).then_some(state)
}

fn digest_of(ids: &[String]) -> String {
    hex(digest(&SHA256, ids.join("\n").as_bytes()).as_ref())
}

/// The file of a block.
fn block_file(id: &str) -> Option<String> {
    let bytes = BASE64.decode(id).ok().filter(|bytes| (1..=LONGEST_ID).contains(&bytes.len()))?;
    Some(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
