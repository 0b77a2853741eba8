//! Deletes a relationship.

use pollux_model::{Etag, ResourceName, Result};

use super::Twins;
use super::change::Change;
use super::commit::{ATTEMPTS, Outcome, check_etag, too_contended};
use super::rates::Kind;
use crate::{Caller, Right};

impl Twins {
    /// Deletes a relationship.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`] (the source), [`pollux_model::ErrorCode::RelationshipNotFound`],
    /// [`pollux_model::ErrorCode::PreconditionFailed`].
    pub async fn delete_relationship(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        source: &str,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::PutOrDelete, &[source]))?;
        let _lane = self.lanes.enter_relationship(instance, source, id).await;
        for _ in 0..ATTEMPTS {
            let before = self.read_relationship(instance, source, id).await?;
            check_etag(if_match.as_ref(), &before.etag)?;
            match self.commit(caller, &resource, vec![Change::RelationshipDeleted(Box::new(before))]).await? {
                Outcome::Done => return Ok(()),
                Outcome::Refused(_) => {} // changed or deleted meanwhile: the next reading tells which
            }
        }
        Err(too_contended())
    }
}
