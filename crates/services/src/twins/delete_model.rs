//! Deletes a model that no other model needs. Twins of it stay, without a model.

use pollux_dtdl::Dtmi;
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::{Batch, Expect, Write};

use super::models::Models;
use super::rates::Kind;
use super::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Deletes a model.
    ///
    /// # Errors
    /// [`ErrorCode::ModelNotFound`], [`ErrorCode::ModelReferenced`].
    pub async fn delete_model(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<()> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::Models, &[]))?;
        let (name, id) = (instance.clone(), id.to_owned());
        self.models.change(resource, move |models| remove(models, &name, &id).map(Some)).await
    }
}

fn remove(present: &Models, instance: &ResourceName, id: &str) -> Result<(Batch, Models)> {
    let dtmi = Dtmi::parse(id).ok().filter(|_| present.stored.contains_key(id));
    let dtmi = dtmi.ok_or_else(|| refusal::model_not_found(id))?;
    let users = present.set.referenced_by(&dtmi);
    let set = present.set.without(&[dtmi]).map_err(|_| {
        let users: Vec<&str> = users.iter().map(Dtmi::as_str).collect();
        Error::new(
            ErrorCode::ModelReferenced,
            format!(
                "This model is currently being referenced by {}. You must delete these references before deleting the \
                 Model. To delete references, do Delete Model on Ids provided above.",
                users.join(", ")
            ),
        )
    })?;
    let mut stored = present.stored.clone();
    stored.remove(id);
    let write = Write::DeleteModel { twins: instance.clone(), id: id.to_owned(), expect: Expect::Present };
    Ok((Batch::from(write), Models { set, stored }))
}
