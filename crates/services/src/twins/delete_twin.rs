//! Deletes a twin that has no relationships.

use pollux_model::{Error, Etag, ResourceName, Result};
use pollux_store::{Mismatch, Write};

use super::commit::{self, Outcome};
use super::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Deletes a twin.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`], [`pollux_model::ErrorCode::RelationshipsNotDeleted`],
    /// [`pollux_model::ErrorCode::PreconditionFailed`].
    pub async fn delete_twin(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        self.authorize(caller, instance, Right::TwinsWrite)?;
        let write = Write::DeleteTwin {
            twins: instance.clone(),
            id: id.to_owned(),
            expect: commit::expect(if_match.as_ref()),
        };
        match (self.commit(write).await?, if_match) {
            (Outcome::Done, _) => Ok(()),
            (Outcome::Refused(Mismatch::Absent), _) => Err(refusal::twin_not_found(id)),
            (Outcome::Refused(Mismatch::HasRelationships), _) => Err(refusal::relationships_not_deleted(id)),
            (Outcome::Refused(Mismatch::OtherEtag), Some(given)) => Err(refusal::etag_mismatch(&given)),
            (Outcome::Refused(_), _) => Err(Error::internal()),
        }
    }
}
