//! Dead letters: shown, replayed, forgotten.

use pollux_eventlog::Record;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Result};
use pollux_store::{Batch, Expect, Page, Write};

use super::{Function, Functions};
use crate::caller::{Caller, Right};

impl Functions {
    /// Dead letters of an app in the order they were put aside, without their payloads being looked into.
    pub async fn dead_letters(
        &self,
        caller: &Caller,
        app: &Resource,
        function: Option<Function>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>> {
        caller.require(ResourceKind::Functions, &app.name, Right::Administer)?;
        Ok(self.context.store.dead_letters(&app.name, function.map(Function::as_str), after, limit).await?)
    }

    /// One dead letter, with its payload.
    pub async fn dead_letter(&self, caller: &Caller, app: &Resource, id: i64) -> Result<DeadLetter> {
        caller.require(ResourceKind::Functions, &app.name, Right::Administer)?;
        let found = self.context.store.dead_letter(&app.name, id).await?;
        found
            .ok_or_else(|| Error::new(ErrorCode::DeadLetterNotFound, format!("there is no dead letter {id}")))
    }

    /// Runs the function on a dead letter once more; it is forgotten when that works, and tells why when not.
    pub async fn replay_dead_letter(&self, caller: &Caller, app: &Resource, id: i64) -> Result<()> {
        let letter = self.dead_letter(caller, app, id).await?;
        let function = Function::ALL.into_iter().find(|function| function.as_str() == letter.function);
        let function = function.ok_or_else(|| {
            Error::new(ErrorCode::FunctionNotFound, format!("there is no function '{}'", letter.function))
        })?;
        match self.apply(&app.name, function, &record_of(&letter)).await {
            Ok(()) => self.delete_dead_letter(caller, app, id).await,
            Err(error) => {
                let (attempts, failed, reason) =
                    (letter.attempts.saturating_add(1), self.context.clock.now(), error.message.clone());
                let letter = Box::new(DeadLetter { attempts, failed, reason, ..letter });
                self.context.store.commit(Batch::from(Write::PutDeadLetter { letter })).await?;
                Err(error)
            }
        }
    }

    /// Forgets a dead letter.
    pub async fn delete_dead_letter(&self, caller: &Caller, app: &Resource, id: i64) -> Result<()> {
        caller.require(ResourceKind::Functions, &app.name, Right::Administer)?;
        let write = Write::DeleteDeadLetter { app: app.name.clone(), id, expect: Expect::Any };
        Ok(self.context.store.commit(Batch::from(write)).await?)
    }
}

fn record_of(letter: &DeadLetter) -> Record {
    Record {
        sequence_number: letter.sequence_number,
        offset: 0,
        enqueued_time: letter.enqueued,
        partition_key: None,
        payload: letter.payload.clone().into(),
    }
}
