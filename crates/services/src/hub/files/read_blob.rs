//! A blob is read, or looked at ("Get Blob", "Get Blob Properties").

use bytes::Bytes;

use super::{BlobCondition, BlobGrant, BlobRefusal, Hub};
use crate::blobs::{BlobState, Input};

/// Which bytes are wanted: the first, and the last where one is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobRange {
    /// Of the first byte.
    pub first: u64,
    /// Of the last byte; `None`: that of the blob.
    pub last: Option<u64>,
}

/// A blob being read.
#[derive(Debug)]
pub struct BlobContent {
    /// Of all of it.
    pub state: BlobState,
    /// Of the bytes that come.
    pub first: u64,
    /// How many come.
    pub length: u64,
    input: Input,
    left: u64,
}

impl Hub {
    /// What is known of the blob.
    ///
    /// # Errors
    /// [`BlobRefusal::Missing`], [`BlobRefusal::Changed`], [`BlobRefusal::NotModified`].
    pub async fn blob_state(
        &self,
        grant: &BlobGrant,
        condition: &BlobCondition,
    ) -> Result<BlobState, BlobRefusal> {
        grant.require('r')?;
        condition.check_read(self.found(grant).await?)
    }

    /// Its bytes, or some of them.
    ///
    /// # Errors
    /// As of [`Hub::blob_state`]; [`BlobRefusal::Range`].
    pub async fn read_blob(
        &self,
        grant: &BlobGrant,
        condition: &BlobCondition,
        range: Option<BlobRange>,
    ) -> Result<BlobContent, BlobRefusal> {
        let state = self.blob_state(grant, condition).await?;
        let BlobRange { first, last } = range.unwrap_or_default();
        if range.is_some() && (first >= state.size || last.is_some_and(|last| last < first)) {
            return Err(BlobRefusal::Range(state.size));
        }
        let end = last.map_or(state.size, |last| last.saturating_add(1).min(state.size));
        let length = end - first;
        let input = self.files.blobs.open(&self.kept(grant)?, first, None).await?;
        Ok(BlobContent { state, first, length, input, left: length })
    }
}

impl BlobContent {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobRefusal> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(mut bytes) = self.input.next().await? else {
            return Err(BlobRefusal::BrokenOff);
        };
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }
}
