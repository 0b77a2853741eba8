//! Events that a function or an endpoint elsewhere could not be brought to: kept, to be shown and tried again.

use pollux_eventlog::Record;
use pollux_model::function::DeadLetter;
use pollux_model::{Error, ErrorCode, OwnerName, Result};
use pollux_store::{Expect, Page, Write};

use crate::cluster::Fence;
use crate::consume::held;
use crate::context::Context;

impl Context {
    /// In the order they were put aside; `of`: only those of that function or endpoint.
    pub(crate) async fn dead_letters(
        &self,
        owner: &OwnerName,
        of: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>> {
        Ok(self.store.dead_letters(owner, of, after, limit).await?)
    }

    /// One of them, with its payload.
    pub(crate) async fn dead_letter(&self, owner: &OwnerName, id: i64) -> Result<DeadLetter> {
        let found = self.store.dead_letter(owner, id).await?;
        found
            .ok_or_else(|| Error::new(ErrorCode::DeadLetterNotFound, format!("there is no dead letter {id}")))
    }

    /// Puts an event aside; of the owner's the newest are kept.
    pub(crate) async fn put_aside(&self, letter: DeadLetter, fence: Option<&Fence>) -> Result<()> {
        let (app, newest) = (letter.app.clone(), self.limits.dead_letters);
        let batch = held(fence).with(Write::PutDeadLetter { letter: Box::new(letter) });
        Ok(self.store.commit(batch.with(Write::KeepDeadLetters { app, newest })).await?)
    }

    /// What became of one that was tried again: it is forgotten, or tells why not.
    pub(crate) async fn replayed(&self, letter: DeadLetter, tried: Result<()>) -> Result<()> {
        let Err(error) = tried else { return self.forget_dead_letter(&letter.app, letter.id).await };
        let (attempts, failed) = (letter.attempts.saturating_add(1), self.clock.now());
        let letter = Box::new(DeadLetter { attempts, failed, reason: error.message.clone(), ..letter });
        self.store.commit(Write::PutDeadLetter { letter }.into()).await?;
        Err(error)
    }

    /// Forgets one.
    pub(crate) async fn forget_dead_letter(&self, owner: &OwnerName, id: i64) -> Result<()> {
        let write = Write::DeleteDeadLetter { app: owner.clone(), id, expect: Expect::Any };
        Ok(self.store.commit(write.into()).await?)
    }
}

/// The event it was.
pub(crate) fn record_of(letter: &DeadLetter) -> Record {
    Record {
        sequence_number: letter.sequence_number,
        offset: 0,
        enqueued_time: letter.enqueued,
        partition_key: None,
        payload: letter.payload.clone().into(),
    }
}
