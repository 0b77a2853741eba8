//! Deletes a relationship.

use pollux_model::{Error, Etag, ResourceName, Result};
use pollux_store::{Mismatch, Write};

use super::commit::{self, Outcome};
use super::{Twins, refusal};
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
        self.authorize(caller, instance, Right::TwinsWrite)?;
        let write = Write::DeleteRelationship {
            twins: instance.clone(),
            source: source.to_owned(),
            id: id.to_owned(),
            expect: commit::expect(if_match.as_ref()),
        };
        match (self.commit(write).await?, if_match) {
            (Outcome::Done, _) => Ok(()),
            (Outcome::Refused(Mismatch::OtherEtag), Some(given)) => Err(refusal::etag_mismatch(&given)),
            (Outcome::Refused(Mismatch::Absent | Mismatch::NoSource), _) => {
                self.read_twin(instance, source).await?;
                Err(refusal::relationship_not_found(source, id))
            }
            (Outcome::Refused(_), _) => Err(Error::internal()),
        }
    }
}
