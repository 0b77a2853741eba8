//! The only place that writes twins and relationships: read, decide, commit; again if the world moved in between.
//! Notifications of changes (event routes) join the same batch here.

use std::hash::{BuildHasher as _, RandomState};

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};
use tokio::sync::{Mutex, MutexGuard};

use super::models::Models;
use super::{Twins, refusal};

/// How often a change is decided anew because somebody else was faster. Within one process the lanes keep this from
/// happening at all; only other nodes can get in between.
pub(super) const ATTEMPTS: usize = 64;
const LANES: usize = 256;

/// Changes of one twin wait for each other here instead of failing at the store and trying again. Only a courtesy:
/// what keeps updates from being lost is the etag that each commit expects.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    async fn enter(&self, instance: &ResourceName, twin: &str) -> MutexGuard<'_, ()> {
        let hash = self.hasher.hash_one((instance.as_str(), twin));
        let lane = usize::try_from(hash % LANES as u64).unwrap_or(0);
        self.lanes[lane].lock().await
    }
}

/// Whether a batch was applied.
pub(super) enum Outcome {
    Done,
    Refused(Mismatch),
}

impl Twins {
    /// Commits one write of this service.
    pub(super) async fn commit(&self, write: Write) -> Result<Outcome> {
        match self.context.store.commit(Batch::from(write)).await {
            Ok(()) => Ok(Outcome::Done),
            Err(CommitError::Expectation { mismatch, .. }) => Ok(Outcome::Refused(mismatch)),
            Err(error) => Err(refusal::commit(error)),
        }
    }

    pub(super) async fn read_twin(&self, instance: &ResourceName, id: &str) -> Result<DigitalTwin> {
        let twin = self.context.store.twin(instance, id).await.map_err(refusal::store)?;
        twin.ok_or_else(|| refusal::twin_not_found(id))
    }

    /// The relationship; or that its source is missing, or that it is.
    pub(super) async fn read_relationship(
        &self,
        instance: &ResourceName,
        source: &str,
        id: &str,
    ) -> Result<Relationship> {
        let found = self.context.store.relationship(instance, source, id).await.map_err(refusal::store)?;
        if let Some(relationship) = found {
            return Ok(relationship);
        }
        self.read_twin(instance, source).await?;
        Err(refusal::relationship_not_found(source, id))
    }

    /// Changes a twin by `decide`, which is given the twin as it is and gives it as it shall be, with a new etag, which is
    /// returned. It is asked again if the twin was changed meanwhile and the caller did not insist on an etag.
    pub(super) async fn change_twin<F>(
        &self,
        resource: &Resource,
        id: &str,
        if_match: Option<&Etag>,
        decide: F,
    ) -> Result<Etag>
    where
        F: Fn(DigitalTwin, &Models) -> Result<DigitalTwin> + Send + Sync,
    {
        let instance = &resource.name;
        let _lane = self.lanes.enter(instance, id).await;
        for _ in 0..ATTEMPTS {
            let before = self.read_twin(instance, id).await?;
            check_etag(if_match, &before.etag)?;
            let expect = Expect::Etag(before.etag.clone());
            let after = decide(before, &*self.models.get(resource).await?)?;
            let (etag, twin) = (after.etag.clone(), Box::new(after));
            match self.commit(Write::PutTwin { twins: instance.clone(), twin, expect }).await? {
                Outcome::Done => return Ok(etag),
                Outcome::Refused(_) => {} // changed or deleted meanwhile: the next reading tells which
            }
        }
        Err(too_contended())
    }

    /// As [`Twins::change_twin`], for a relationship; `decide` is also given the model of its source.
    pub(super) async fn change_relationship<F>(
        &self,
        resource: &Resource,
        (source, id): (&str, &str),
        if_match: Option<&Etag>,
        decide: F,
    ) -> Result<Etag>
    where
        F: Fn(Relationship, &str, &Models) -> Result<Relationship> + Send + Sync,
    {
        let instance = &resource.name;
        let _lane = self.lanes.enter(instance, source).await;
        for _ in 0..ATTEMPTS {
            let before = self.read_relationship(instance, source, id).await?;
            check_etag(if_match, &before.etag)?;
            let expect = Expect::Etag(before.etag.clone());
            let model = self.read_twin(instance, source).await?.model;
            let after = decide(before, &model, &*self.models.get(resource).await?)?;
            let (etag, relationship) = (after.etag.clone(), Box::new(after));
            let write = Write::PutRelationship { twins: instance.clone(), relationship, expect };
            match self.commit(write).await? {
                Outcome::Done => return Ok(etag),
                Outcome::Refused(Mismatch::NoTarget) => return Err(refusal::target_not_found()),
                Outcome::Refused(_) => {}
            }
        }
        Err(too_contended())
    }
}

/// What a conditional write expects of its row.
pub(super) fn expect(if_match: Option<&Etag>) -> Expect {
    if_match.map_or(Expect::Present, |etag| Expect::Etag(etag.clone()))
}

fn check_etag(if_match: Option<&Etag>, current: &Etag) -> Result<()> {
    match if_match {
        Some(given) if given != current => Err(refusal::etag_mismatch(given)),
        _ => Ok(()),
    }
}

pub(super) fn too_contended() -> Error {
    Error::new(ErrorCode::Unavailable, "The resource is being changed by many at once. Please try again.")
}
