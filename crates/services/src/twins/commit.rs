//! The only place that writes twins and relationships: read, decide, commit; again if the world moved in between.
//! What is told of changes (event routes) joins the same batch here.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_store::{Batch, CommitError, Mismatch, Write};
use tokio::sync::{Mutex, MutexGuard};

use super::change::Change;
use super::json_patch::Operation;
use super::models::Models;
use super::{Twins, refusal};
use crate::Caller;

/// How often a change is decided anew because somebody else was faster. Within one process the lanes keep this from
/// happening at all; only other nodes can get in between.
pub(super) const ATTEMPTS: usize = 64;
const LANES: usize = 256;

/// Changes of one twin or relationship wait for each other here instead of failing at the store and trying again. Only a courtesy:
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

    /// Whoever holds one must not enter another: they may be the same.
    pub(super) async fn enter(&self, instance: &ResourceName, twin: &str) -> MutexGuard<'_, ()> {
        self.lanes[self.lane(instance, twin)].lock().await
    }

    pub(super) fn lane(&self, instance: &ResourceName, twin: &str) -> usize {
        let hash = self.hasher.hash_one((instance.as_str(), twin));
        usize::try_from(hash % LANES as u64).unwrap_or(0)
    }

    /// A relationship has a lane of its own: a twin may be the source of many.
    pub(super) async fn enter_relationship(
        &self,
        instance: &ResourceName,
        source: &str,
        id: &str,
    ) -> MutexGuard<'_, ()> {
        self.enter(instance, &format!("{source}/{id}")).await
    }
}

/// Whether a batch was applied.
pub(super) enum Outcome {
    Done,
    Refused(Mismatch),
}

impl Twins {
    /// Commits a caller's changes together, with what is to be told of them. Refused if something is no more what it was
    /// before.
    pub(super) async fn commit(
        &self,
        caller: &Caller,
        instance: &Resource,
        changes: Vec<Change>,
    ) -> Result<Outcome> {
        let (ended, told) = (self.ended(instance, &changes), self.told(caller, instance, &changes));
        let mut batch = Batch::new();
        batch.writes.extend(changes.into_iter().map(|change| change.into_write(&instance.name)));
        batch.writes.extend(ended);
        batch.writes.extend(told);
        self.commit_batch(batch).await
    }

    /// What changes end, as far as the instance keeps its history.
    pub(super) fn ended(&self, instance: &Resource, changes: &[Change]) -> Vec<Write> {
        if instance.twin_history().is_none() {
            return Vec::new();
        }
        let now = self.context.clock.now();
        changes.iter().filter_map(|change| change.ended(&instance.name, now)).collect()
    }

    /// Commits what is no change of the graph.
    pub(super) async fn commit_batch(&self, batch: Batch) -> Result<Outcome> {
        match self.context.store.commit(batch).await {
            Ok(()) => Ok(Outcome::Done),
            Err(CommitError::Expectation { mismatch, .. }) => Ok(Outcome::Refused(mismatch)),
            Err(error) => Err(refusal::commit(error)),
        }
    }

    pub(super) async fn read_twin(&self, instance: &ResourceName, id: &str) -> Result<DigitalTwin> {
        let twin = self.context.store.twin(instance, id).await.map_err(refusal::store)?;
        twin.ok_or_else(|| refusal::twin_not_found(id))
    }

    /// As [`Self::read_twin`], from the graph in memory where there is one: it is changed before a commit is acknowledged,
    /// and the store's pages of a large graph are seldom at hand.
    pub(super) async fn twin_at_hand(&self, instance: &ResourceName, id: &str) -> Result<DigitalTwin> {
        let held = self.graphs.read(instance).map(|graph| graph.find(id).map(|(_, twin)| Arc::clone(twin)));
        match held {
            Some(None) => Err(refusal::twin_not_found(id)),
            Some(Some(twin)) => twin.stored().ok_or_else(Error::internal),
            None => self.read_twin(instance, id).await,
        }
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

    /// Changes a twin by `decide`, which is given the twin as it is and gives it as it shall be after `patch`, with a new
    /// etag, which is returned. It is asked again if the twin was changed meanwhile and the caller did not insist on an etag.
    pub(super) async fn change_twin<F>(
        &self,
        (caller, resource): (&Caller, &Resource),
        id: &str,
        (patch, if_match): (&[Operation], Option<&Etag>),
        decide: F,
    ) -> Result<Etag>
    where
        F: Fn(DigitalTwin, &Models) -> Result<DigitalTwin> + Send + Sync,
    {
        let instance = &resource.name;
        let _lane = self.lanes.enter(instance, id).await;
        let remembers = resource.twin_history().is_some();
        for _ in 0..ATTEMPTS {
            let twin = self.twin_at_hand(instance, id).await?;
            check_etag(if_match, &twin.etag)?;
            let (was, before) = (twin.etag.clone(), remembers.then(|| Box::new(twin.clone())));
            let after = Box::new(decide(twin, &*self.models.get(resource).await?)?);
            let (etag, patch) = (after.etag.clone(), patch.to_vec());
            let change = Change::TwinUpdated { was, before, after, patch };
            match self.commit(caller, resource, vec![change]).await? {
                Outcome::Done => return Ok(etag),
                Outcome::Refused(_) => {} // changed or deleted meanwhile: the next reading tells which
            }
        }
        Err(too_contended())
    }

    /// As [`Twins::change_twin`], for a relationship; `decide` is also given the model of its source.
    pub(super) async fn change_relationship<F>(
        &self,
        (caller, resource): (&Caller, &Resource),
        (source, id): (&str, &str),
        (patch, if_match): (&[Operation], Option<&Etag>),
        decide: F,
    ) -> Result<Etag>
    where
        F: Fn(Relationship, &str, &Models) -> Result<Relationship> + Send + Sync,
    {
        let instance = &resource.name;
        let _lane = self.lanes.enter_relationship(instance, source, id).await;
        for _ in 0..ATTEMPTS {
            let before = self.read_relationship(instance, source, id).await?;
            check_etag(if_match, &before.etag)?;
            let model = self.read_twin(instance, source).await?.model;
            let after = decide(before.clone(), &model, &*self.models.get(resource).await?)?;
            let (etag, patch) = (after.etag.clone(), patch.to_vec());
            let (before, after) = (Box::new(before), Box::new(after));
            let change = Change::RelationshipUpdated { before, after, model, patch };
            match self.commit(caller, resource, vec![change]).await? {
                Outcome::Done => return Ok(etag),
                Outcome::Refused(Mismatch::NoTarget) => return Err(refusal::target_not_found()),
                Outcome::Refused(_) => {}
            }
        }
        Err(too_contended())
    }
}

pub(super) fn check_etag(if_match: Option<&Etag>, current: &Etag) -> Result<()> {
    match if_match {
        Some(given) if given != current => Err(refusal::etag_mismatch(given)),
        _ => Ok(()),
    }
}

pub(super) fn too_contended() -> Error {
    Error::new(ErrorCode::Unavailable, "The resource is being changed by many at once. Please try again.")
}
