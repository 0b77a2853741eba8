//! A blob is written at once ("Put Blob"), or deleted ("Delete Blob").

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use pollux_model::Error;

use super::{BlobGrant, BlobRefusal, CONTAINER, Hub};
use crate::blobs::{BlobState, Container, Draft, Location};

/// Bytes that the least file counts as.
const LEAST: u64 = 4096;

/// What must be so for a blob to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PutCondition {
    /// Nothing.
    #[default]
    None,
    /// There is none (`If-None-Match: *`).
    Absent,
    /// It is as it was then (`If-Match`): the state behind the etag.
    Is(BlobState),
}

impl Hub {
    /// Writes the blob; it is seen when all of it is there.
    ///
    /// # Errors
    /// [`BlobRefusal::TooLarge`], [`BlobRefusal::Full`], [`BlobRefusal::Exists`], [`BlobRefusal::Changed`],
    /// [`BlobRefusal::BrokenOff`], and what is said of names.
    pub async fn put_blob<S>(
        &self,
        grant: &BlobGrant,
        condition: PutCondition,
        content: S,
    ) -> Result<BlobState, BlobRefusal>
    where
        S: Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    {
        grant.require('w')?;
        let mut draft = self.draft(grant, condition).await?;
        self.write_bounded(grant, &mut draft, content, self.context.limits.file).await?;
        self.finish(grant, condition, draft).await
    }

    /// Deletes it.
    ///
    /// # Errors
    /// [`BlobRefusal::Missing`].
    pub async fn delete_blob(&self, grant: &BlobGrant) -> Result<(), BlobRefusal> {
        grant.require('d')?;
        let location = self.kept(grant)?;
        self.files.blobs.state(&location).await?;
        Ok(self.files.blobs.delete(&location).await?)
    }

    /// A draft of the blob, if it may be written as things are.
    pub(super) async fn draft(
        &self,
        grant: &BlobGrant,
        condition: PutCondition,
    ) -> Result<Draft, BlobRefusal> {
        self.check_condition(grant, condition).await?;
        let Location::File { folder, path } = self.kept(grant)? else { return Err(BlobRefusal::Missing) };
        Ok(Draft::begin(&folder, &path, &*self.context.random).await?)
    }

    /// Adds what comes, within the bound and the hub's room.
    pub(super) async fn write_bounded<S>(
        &self,
        grant: &BlobGrant,
        draft: &mut Draft,
        mut content: S,
        most: u64,
    ) -> Result<(), BlobRefusal>
    where
        S: Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    {
        // An empty one takes room too.
        self.reserve(grant, LEAST).await?;
        let mut size = 0_u64;
        while let Some(part) = content.next().await {
            let part = part.map_err(|_| BlobRefusal::BrokenOff)?;
            size += part.len() as u64;
            if size > most {
                return Err(BlobRefusal::TooLarge(most));
            }
            self.reserve(grant, part.len() as u64).await?;
            draft.write(&part).await?;
        }
        Ok(())
    }

    /// Gives the draft its name.
    pub(super) async fn finish(
        &self,
        grant: &BlobGrant,
        condition: PutCondition,
        draft: Draft,
    ) -> Result<BlobState, BlobRefusal> {
        self.check_condition(grant, condition).await?;
        draft.finish().await?;
        Ok(self.files.blobs.state(&self.kept(grant)?).await?)
    }

    async fn check_condition(&self, grant: &BlobGrant, condition: PutCondition) -> Result<(), BlobRefusal> {
        if condition == PutCondition::None {
            return Ok(());
        }
        let found = match self.files.blobs.state(&self.kept(grant)?).await {
            Ok(found) => Some(found),
            Err(crate::blobs::BlobError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        match (condition, found) {
            (PutCondition::Absent, Some(_)) => Err(BlobRefusal::Exists),
            (PutCondition::Is(wanted), found) if found != Some(wanted) => Err(BlobRefusal::Changed),
            _ => Ok(()),
        }
    }

    /// Where the blob is, in the hub's folder.
    pub(super) fn kept(&self, grant: &BlobGrant) -> Result<Location, BlobRefusal> {
        let name = |error: crate::blobs::BlobError| BlobRefusal::Name(error.message());
        self.folder(grant)?.blob(&grant.blob).map_err(name)
    }

    pub(super) fn folder(&self, grant: &BlobGrant) -> Result<Container, BlobRefusal> {
        let gone = |error: crate::blobs::BlobError| BlobRefusal::Failed(error.message());
        self.files.blobs.own(&grant.hub.name, CONTAINER).map_err(gone)
    }
}
