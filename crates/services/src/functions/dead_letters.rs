//! Dead letters of function apps: shown, replayed, forgotten.

use pollux_model::function::DeadLetter;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Result};
use pollux_store::Page;

use super::{Function, Functions};
use crate::caller::{Caller, Right};
use crate::dead_letters::record_of;

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
        let owner = app.name.clone().into();
        self.context.dead_letters(&owner, function.map(Function::as_str), after, limit).await
    }

    /// One dead letter, with its payload.
    pub async fn dead_letter(&self, caller: &Caller, app: &Resource, id: i64) -> Result<DeadLetter> {
        caller.require(ResourceKind::Functions, &app.name, Right::Administer)?;
        self.context.dead_letter(&app.name.clone().into(), id).await
    }

    /// Runs the function on a dead letter once more; it is forgotten when that works, and tells why when not.
    pub async fn replay_dead_letter(&self, caller: &Caller, app: &Resource, id: i64) -> Result<()> {
        let letter = self.dead_letter(caller, app, id).await?;
        let function = Function::ALL.into_iter().find(|function| function.as_str() == letter.function);
        let function = function.ok_or_else(|| {
            Error::new(ErrorCode::FunctionNotFound, format!("there is no function '{}'", letter.function))
        })?;
        let tried = self.apply(&app.name, function, &record_of(&letter)).await;
        self.context.replayed(letter, tried).await
    }

    /// Forgets a dead letter.
    pub async fn delete_dead_letter(&self, caller: &Caller, app: &Resource, id: i64) -> Result<()> {
        caller.require(ResourceKind::Functions, &app.name, Right::Administer)?;
        self.context.forget_dead_letter(&app.name.clone().into(), id).await
    }
}
