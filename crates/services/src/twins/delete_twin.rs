//! Deletes a twin: one that has no relationships, or together with those that it has.

use pollux_model::digital_twin::Relationship;
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_store::twins::Direction;
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};

use super::commit::{self, ATTEMPTS, Outcome, too_contended};
use super::{Twins, refusal};
use crate::{Caller, Right};

/// Relationships read at once.
const PAGE: usize = 1000;

impl Twins {
    /// Deletes a twin.
    ///
    /// # Errors
    /// [`ErrorCode::TwinNotFound`], [`ErrorCode::RelationshipsNotDeleted`], [`ErrorCode::PreconditionFailed`].
    pub async fn delete_twin(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        self.authorize(caller, instance, Right::TwinsWrite)?;
        match (self.commit(delete(instance, id, if_match.as_ref())).await?, if_match) {
            (Outcome::Done, _) => Ok(()),
            (Outcome::Refused(Mismatch::Absent), _) => Err(refusal::twin_not_found(id)),
            (Outcome::Refused(Mismatch::HasRelationships), _) => Err(refusal::relationships_not_deleted(id)),
            (Outcome::Refused(Mismatch::OtherEtag), Some(given)) => Err(refusal::etag_mismatch(&given)),
            (Outcome::Refused(_), _) => Err(Error::internal()),
        }
    }

    /// Deletes a twin and every relationship that starts or ends at it, all or none. An addition to what Azure Digital
    /// Twins has, where a client must delete each relationship itself and may be overtaken by somebody who adds one.
    ///
    /// # Errors
    /// [`ErrorCode::TwinNotFound`], [`ErrorCode::PreconditionFailed`], [`ErrorCode::QuotaExceeded`] for more
    /// relationships than [`Limits::cascade`](crate::Limits::cascade).
    pub async fn delete_twin_with_relationships(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        self.authorize(caller, instance, Right::TwinsWrite)?;
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::new();
            for relationship in self.all_relationships(instance, id).await? {
                let Relationship { source, id, .. } = relationship;
                // One that was deleted meanwhile is as good.
                batch = batch.with(Write::DeleteRelationship {
                    twins: instance.clone(),
                    source,
                    id,
                    expect: Expect::Any,
                });
            }
            let mismatch =
                match self.context.store.commit(batch.with(delete(instance, id, if_match.as_ref()))).await {
                    Ok(()) => return Ok(()),
                    Err(CommitError::Expectation { mismatch, .. }) => mismatch,
                    Err(error) => return Err(refusal::commit(error)),
                };
            match (mismatch, &if_match) {
                (Mismatch::HasRelationships, _) => {} // one was added meanwhile
                (Mismatch::Absent, _) => return Err(refusal::twin_not_found(id)),
                (Mismatch::OtherEtag, Some(given)) => return Err(refusal::etag_mismatch(given)),
                _ => return Err(Error::internal()),
            }
        }
        Err(too_contended())
    }

    /// The relationships that start or end at a twin.
    async fn all_relationships(&self, instance: &ResourceName, twin: &str) -> Result<Vec<Relationship>> {
        let (limit, mut found) = (self.context.limits.cascade, Vec::new());
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let mut after: Option<String> = None;
            loop {
                let store = &self.context.store;
                let page =
                    store.relationships_of(instance, twin, direction, None, after.as_deref(), PAGE).await;
                let page = page.map_err(refusal::store)?;
                found.extend(page.items);
                if found.len() > limit {
                    let message = format!(
                        "The twin has more than {limit} relationships, which is the most that can be deleted together \
                         with it. Delete relationships first."
                    );
                    return Err(Error::new(ErrorCode::QuotaExceeded, message));
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(found)
    }
}

fn delete(instance: &ResourceName, id: &str, if_match: Option<&Etag>) -> Write {
    Write::DeleteTwin { twins: instance.clone(), id: id.to_owned(), expect: commit::expect(if_match) }
}
