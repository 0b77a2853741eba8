//! A blob is written at once ("Put Blob"), or deleted ("Delete Blob").

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use pollux_model::Error;
use pollux_model::resource::ResourceKind;

use super::usage::LEAST;
use super::{BlobCondition, BlobGrant, BlobRefusal, CONTAINER, Hub};
use crate::blobs::{BlobState, Container, Draft, Location};

impl Hub {
    /// Writes the blob; it is seen when all of it is there.
    ///
    /// # Errors
    /// [`BlobRefusal::TooLarge`], [`BlobRefusal::Full`], [`BlobRefusal::Exists`], [`BlobRefusal::Changed`],
    /// [`BlobRefusal::BrokenOff`], and what is said of names.
    pub async fn put_blob<S>(
        &self,
        grant: &BlobGrant,
        condition: &BlobCondition,
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
    /// [`BlobRefusal::Missing`], [`BlobRefusal::Changed`].
    pub async fn delete_blob(&self, grant: &BlobGrant, condition: &BlobCondition) -> Result<(), BlobRefusal> {
        grant.require('d')?;
        let location = self.kept(grant)?;
        let _alone = self.files.alone_with(grant).await;
        let found = self.found(grant).await?;
        if found.is_none() && condition.matches.is_none() {
            return Err(BlobRefusal::Missing);
        }
        match condition.check_write(found) {
            // Only what is to be made can be there already.
            Err(BlobRefusal::Exists) => Err(BlobRefusal::Changed),
            met => met,
        }?;
        Ok(self.files.blobs.delete(&location).await?)
    }

    /// A draft of the blob, if it may be written as things are.
    pub(super) async fn draft(
        &self,
        grant: &BlobGrant,
        condition: &BlobCondition,
    ) -> Result<Draft, BlobRefusal> {
        condition.check_write(self.found(grant).await?)?;
        let Location::File { folder, path } = self.kept(grant)? else { return Err(BlobRefusal::Missing) };
        Ok(Draft::begin(&folder, &path, &*self.context.random).await?)
    }

    /// Adds what comes, within the bound, the hub's room and the time of the grant: who sends slowly has no more of it than others.
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
        // An empty one takes room too, and so does each folder that its name asks for.
        let folders = grant.blob.bytes().filter(|byte| *byte == b'/').count() as u64;
        self.reserve(grant, LEAST * (folders + 1)).await?;
        let mut size = 0_u64;
        while let Some(part) = content.next().await {
            let part = part.map_err(|_| BlobRefusal::BrokenOff)?;
            grant.require_time(self.context.clock.now())?;
            size += part.len() as u64;
            if size > most {
                return Err(BlobRefusal::TooLarge(most));
            }
            self.reserve(grant, part.len() as u64).await?;
            draft.write(&part).await?;
        }
        Ok(())
    }

    /// Gives the draft its name, if the condition still holds.
    pub(super) async fn finish(
        &self,
        grant: &BlobGrant,
        condition: &BlobCondition,
        draft: Draft,
    ) -> Result<BlobState, BlobRefusal> {
        let _alone = self.files.alone_with(grant).await;
        grant.require_time(self.context.clock.now())?;
        let hub = self.context.table.named(ResourceKind::Hub, &grant.hub.name);
        if hub.is_none_or(|hub| hub.created != grant.hub.created) {
            return Err(BlobRefusal::NotSigned("the hub is deleted"));
        }
        condition.check_write(self.found(grant).await?)?;
        if condition.is_absent() {
            // Another node may write it at this moment.
            if !draft.finish_new().await? {
                return Err(BlobRefusal::Exists);
            }
        } else {
            draft.finish().await?;
        }
        Ok(self.files.blobs.state(&self.kept(grant)?).await?)
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
