//! Deletes a twin: one that has no relationships, or together with those that it has.

use pollux_model::digital_twin::Relationship;
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_store::Mismatch;
use pollux_store::twins::Direction;

use super::change::Change;
use super::commit::{ATTEMPTS, Outcome, check_etag, too_contended};
use super::rates::Kind;
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
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::PutOrDelete, &[id]))?;
        let _lane = self.lanes.enter(instance, id).await;
        for _ in 0..ATTEMPTS {
            let twin = self.read_twin(instance, id).await?;
            check_etag(if_match.as_ref(), &twin.etag)?;
            match self.commit(caller, &resource, vec![Change::TwinDeleted(Box::new(twin))]).await? {
                Outcome::Done => return Ok(()),
                Outcome::Refused(Mismatch::HasRelationships) => {
                    return Err(refusal::relationships_not_deleted(id));
                }
                Outcome::Refused(_) => {} // changed or deleted meanwhile: the next reading tells which
            }
        }
        Err(too_contended())
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
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::PutOrDelete, &[id]))?;
        let _lane = self.lanes.enter(instance, id).await;
        for _ in 0..ATTEMPTS {
            let twin = self.read_twin(instance, id).await?;
            check_etag(if_match.as_ref(), &twin.etag)?;
            let relationships = self.all_relationships(instance, id).await?;
            let relationships = relationships.into_iter().map(Box::new).map(Change::RelationshipDeleted);
            let changes = relationships.chain([Change::TwinDeleted(Box::new(twin))]).collect();
            match self.commit(caller, &resource, changes).await? {
                Outcome::Done => return Ok(()),
                Outcome::Refused(_) => {} // one was added, changed or deleted meanwhile
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
                // What starts and ends here was found as outgoing already.
                let once = |one: &Relationship| direction == Direction::Outgoing || one.source != twin;
                found.extend(page.items.into_iter().filter(once));
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
