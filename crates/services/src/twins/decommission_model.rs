//! Decommissions a model: it has no new twins, those it has stay.

use std::sync::Arc;

use pollux_dtdl::Dtmi;
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::{Batch, Expect, Write};
use serde_json::Value;

use super::json_patch::{self, Verb};
use super::models::Models;
use super::rates::Kind;
use super::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Changes a model by JSON Patch. All that can be changed is `/decommissioned`, and only to `true`
    /// (article "Manage models", section "Decommissioning"). Idempotent. As with deleting, the models that use it come
    /// first (the OpenAPI document's `ModelReferencesNotDecommissioned`): a twin of one of those is a twin of this one too.
    ///
    /// # Errors
    /// [`ErrorCode::ModelNotFound`], [`ErrorCode::JsonPatchInvalid`], [`ErrorCode::ModelReferencesInUse`].
    pub async fn patch_model(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        id: &str,
        patch: &Value,
    ) -> Result<()> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::Models, &[]))?;
        let mut decommission = false;
        for operation in json_patch::parse(patch)? {
            match (operation.verb, operation.path.as_slice(), &operation.value) {
                (Verb::Add | Verb::Replace, [name], Value::Bool(true)) if name == "decommissioned" => {
                    decommission = true
                }
                (Verb::Add | Verb::Replace, [name], _) if name == "decommissioned" => {
                    return Err(refusal::patch(
                        "A model can be decommissioned (true), not taken back into use",
                    ));
                }
                _ => {
                    let path = operation.pointer();
                    return Err(refusal::patch(format_args!(
                        "{path} of a model cannot be changed; /decommissioned can be replaced by true"
                    )));
                }
            }
        }
        let (name, id) = (instance.clone(), id.to_owned());
        self.models.change(resource, move |models| set(models, &name, &id, decommission)).await
    }
}

fn set(
    present: &Models,
    instance: &ResourceName,
    id: &str,
    decommission: bool,
) -> Result<Option<(Batch, Models)>> {
    let stored = present.stored.get(id).ok_or_else(|| refusal::model_not_found(id))?;
    if !decommission || stored.decommissioned {
        return Ok(None);
    }
    let users = Dtmi::parse(id).map(|id| present.set.referenced_by(&id)).unwrap_or_default();
    let in_use = |user: &&Dtmi| present.stored.get(user.as_str()).is_some_and(|user| !user.decommissioned);
    let users: Vec<&str> = users.iter().filter(in_use).map(Dtmi::as_str).collect();
    if !users.is_empty() {
        return Err(Error::new(
            ErrorCode::ModelReferencesInUse,
            format!(
                "This model is currently being referenced by {}. You must decommission the models that reference it before \
                 decommissioning it.",
                users.join(", ")
            ),
        ));
    }
    let mut model = stored.as_ref().clone();
    model.decommissioned = true;
    let mut next = present.clone();
    next.stored.insert(id.to_owned(), Arc::new(model.clone()));
    let write = Write::PutModel { twins: instance.clone(), model: Box::new(model), expect: Expect::Present };
    Ok(Some((Batch::from(write), next)))
}
