//! The work of a delete job: all relationships, then all twins, then all models. Like Azure's it tells no event routes.

use std::sync::Arc;

use pollux_model::job::{Job, JobError, JobStatus};
use pollux_store::twins::TwinFilter;
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};

use super::work::{Ended, Work};
use crate::twins::change::Change;
use crate::twins::models::Models;
use crate::twins::refusal;

/// Rows that go in one commit.
const PAGE: usize = 1000;

/// What became of a page.
enum Removal {
    Done,
    /// Something in it was changed or deleted meanwhile: it is to be read again.
    Moved,
    /// A twin in it has relationships.
    Related,
}

/// Small parts are seldom changed between being read and being deleted, so that a job comes to its end whoever writes.
fn smaller(size: usize) -> usize {
    (size / 4).max(1)
}

fn whatever_it_is(mut write: Write) -> Write {
    if let Write::DeleteTwin { expect, .. } | Write::DeleteRelationship { expect, .. } = &mut write {
        *expect = Expect::Any;
    }
    write
}

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
        let (mut any, mut after, mut size): (bool, Option<String>, _) = (false, None, PAGE);
        loop {
            self.in_time()?;
            let store = &self.twins.context.store;
            let page =
                store.relationships(&self.resource.name, after.as_deref(), size).await.map_err(away)?;
            if page.items.is_empty() {
                return Ok(any);
            }
            any = true;
            let mut next = self.moved();
            next.progress.relationships += page.items.len() as u64;
            let changes = page.items.into_iter().map(|edge| Change::RelationshipDeleted(Box::new(edge)));
            match self.remove(next, changes.collect()).await? {
                Removal::Done => size = PAGE,
                Removal::Moved | Removal::Related => {
                    size = smaller(size);
                    continue;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(any),
            }
        }
    }

    /// Whether there were any.
    async fn delete_twins(&mut self) -> Result<bool, Ended> {
        let (mut any, mut after, mut size): (bool, Option<String>, _) = (false, None, PAGE);
        loop {
            self.in_time()?;
            let (store, filter) = (&self.twins.context.store, TwinFilter::default());
            let page =
                store.twins(&self.resource.name, &filter, after.as_deref(), size).await.map_err(away)?;
            if page.items.is_empty() {
                return Ok(any);
            }
            any = true;
            let mut next = self.moved();
            next.progress.twins += page.items.len() as u64;
            let changes = page.items.into_iter().map(|twin| Change::TwinDeleted(Box::new(twin)));
            match self.remove(next, changes.collect()).await? {
                Removal::Done => size = PAGE,
                // Somebody related one of them to another: relationships come first again.
                Removal::Related => return Ok(true),
                Removal::Moved => {
                    size = smaller(size);
                    continue;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(any),
            }
        }
    }

    /// Deletes what was read, in one commit with how far the job has come. Where a history is kept, what is deleted must
    /// still be what was read: its last version is kept with it.
    async fn remove(&mut self, next: Job, changes: Vec<Change>) -> Result<Removal, Ended> {
        let (instance, kept) = (&self.resource.name, self.twins.ended(&self.resource, &changes));
        let mut writes = self.writes(next.clone(), &self.job.etag);
        let others = writes.len();
        let gone = changes.into_iter().map(|change| change.into_write(instance));
        match kept.is_empty() {
            true => writes.extend(gone.map(whatever_it_is)),
            false => writes.extend(gone.chain(kept)),
        }
        match self.twins.context.store.commit(Batch { writes }).await {
            Ok(()) => {
                self.job = next;
                Ok(Removal::Done)
            }
            Err(CommitError::Expectation { index, mismatch }) if index < others => {
                Err(self.superseded(mismatch).await)
            }
            Err(CommitError::Expectation { mismatch: Mismatch::HasRelationships, .. }) => {
                Ok(Removal::Related)
            }
            Err(CommitError::Expectation { .. }) => Ok(Removal::Moved),
            Err(error) => Err(Ended::Interrupted(refusal::commit(error).message)),
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
