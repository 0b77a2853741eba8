//! The work of a delete job: all relationships, then all twins, then all models. Like Azure's it tells no event routes.

use std::sync::Arc;

use pollux_model::job::{Job, JobError, JobStatus};
use pollux_store::twins::TwinFilter;
use pollux_store::{Batch, Expect, Write};

use super::work::{Ended, Work};
use crate::twins::change::Change;
use crate::twins::models::Models;
use crate::twins::refusal;

/// Rows that go in one commit.
const PAGE: usize = 1000;

impl Work {
    pub(super) async fn deletion(&mut self) -> Result<(), Ended> {
        if self.job.status == JobStatus::NotStarted {
            let next = Job { status: JobStatus::Running, ..self.moved() };
            self.save(next, Vec::new()).await?;
        }
        // What somebody else writes meanwhile is met in the next round.
        loop {
            let relationships = self.delete_relationships().await?;
            let twins = self.delete_twins().await?;
            if !relationships && !twins {
                break;
            }
        }
        self.delete_models().await
    }

    /// Whether there were any.
    async fn delete_relationships(&mut self) -> Result<bool, Ended> {
        let (mut any, mut after): (bool, Option<String>) = (false, None);
        loop {
            self.in_time()?;
            let store = &self.twins.context.store;
            let page =
                store.relationships(&self.resource.name, after.as_deref(), PAGE).await.map_err(away)?;
            if page.items.is_empty() {
                return Ok(any);
            }
            any = true;
            let mut next = self.moved();
            next.progress.relationships += page.items.len() as u64;
            let twins = &self.resource.name;
            let gone = page.items.iter().map(|edge| Write::DeleteRelationship {
                twins: twins.clone(),
                source: edge.source.clone(),
                id: edge.id.clone(),
                expect: Expect::Any,
            });
            let mut gone: Vec<Write> = gone.collect();
            let changes = page.items.into_iter().map(|edge| Change::RelationshipDeleted(Box::new(edge)));
            gone.extend(self.twins.ended(&self.resource, &changes.collect::<Vec<_>>()));
            self.save(next, gone).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(any),
            }
        }
    }

    /// Whether there were any.
    async fn delete_twins(&mut self) -> Result<bool, Ended> {
        let (mut any, mut after): (bool, Option<String>) = (false, None);
        loop {
            self.in_time()?;
            let (store, filter) = (&self.twins.context.store, TwinFilter::default());
            let page =
                store.twins(&self.resource.name, &filter, after.as_deref(), PAGE).await.map_err(away)?;
            if page.items.is_empty() {
                return Ok(any);
            }
            any = true;
            let mut next = self.moved();
            next.progress.twins += page.items.len() as u64;
            let mut writes = self.writes(next.clone(), &self.job.etag);
            let others = writes.len();
            writes.extend(page.items.iter().map(|twin| Write::DeleteTwin {
                twins: self.resource.name.clone(),
                id: twin.id.clone(),
                expect: Expect::Any,
            }));
            let changes = page.items.into_iter().map(|twin| Change::TwinDeleted(Box::new(twin)));
            writes.extend(self.twins.ended(&self.resource, &changes.collect::<Vec<_>>()));
            match self.twins.context.store.commit(Batch { writes }).await {
                Ok(()) => self.job = next,
                Err(pollux_store::CommitError::Expectation { index, mismatch }) if index < others => {
                    return Err(self.superseded(mismatch).await);
                }
                // Somebody related one of them to another: relationships come first again.
                Err(pollux_store::CommitError::Expectation { .. }) => return Ok(true),
                Err(error) => return Err(Ended::Interrupted(refusal::commit(error).message)),
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(any),
            }
        }
    }

    async fn delete_models(&mut self) -> Result<(), Ended> {
        let models = self.twins.models.get(&self.resource).await.map_err(unavailable)?;
        let mut next = self.moved();
        next.progress.models += models.stored.len() as u64;
        let twins = self.resource.name.clone();
        let change = self.twins.models.change(Arc::clone(&self.resource), move |present| {
            let gone = present.stored.keys().map(|id| Write::DeleteModel {
                twins: twins.clone(),
                id: id.clone(),
                expect: Expect::Any,
            });
            let writes: Vec<Write> = gone.collect();
            Ok((!writes.is_empty()).then(|| (Batch { writes }, Models::default())))
        });
        change.await.map_err(unavailable)?;
        self.save(next, Vec::new()).await
    }

    fn in_time(&self) -> Result<(), Ended> {
        let now = self.twins.context.clock.now();
        if self.job.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let message =
            "The time of the job is over, and not all was deleted. Add another job to go on.".to_owned();
        Err(Ended::Failed(JobError { code: "TimeoutError".to_owned(), message }))
    }
}

fn away(error: pollux_store::StoreError) -> Ended {
    unavailable(refusal::store(error))
}

fn unavailable(error: pollux_model::Error) -> Ended {
    Ended::Interrupted(error.message)
}
