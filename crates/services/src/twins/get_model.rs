//! One model, or what a mapping needs to know of one.

use pollux_dtdl::{Dtmi, Interface, Localized, ModelSet};
use pollux_model::{ResourceName, Result, Timestamp};
use serde_json::Value;

use super::models::Models;
use super::rates::Kind;
use super::{Twins, refusal};
use crate::{Caller, Right};

/// A model and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDescription {
    /// Its DTMI.
    pub id: String,
    /// `displayName` by language.
    pub display_name: Localized,
    /// `description` by language.
    pub description: Localized,
    /// Whether it has no new twins.
    pub decommissioned: bool,
    /// When it was uploaded.
    pub uploaded: Timestamp,
    /// The DTDL document as it was uploaded.
    pub document: Value,
}

impl Twins {
    /// One model.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ModelNotFound`].
    pub async fn model(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        id: &str,
    ) -> Result<ModelDescription> {
        let resource = self.admit(caller, instance, Right::TwinsRead, (Kind::Models, &[]))?;
        let models = self.models.get(&resource).await?;
        describe(&models, id).ok_or_else(|| refusal::model_not_found(id))
    }

    /// All models, resolved. Cheap: shares what is in memory.
    pub async fn model_set(&self, caller: &Caller, instance: &ResourceName) -> Result<ModelSet> {
        let resource = self.authorize(caller, instance, Right::TwinsRead)?;
        Ok(self.models.get(&resource).await?.set.clone())
    }

    /// One model with all it inherits, `None` if there is none of that id. For more than one look-up
    /// [`Twins::model_set`] is cheaper.
    pub async fn interface(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        id: &str,
    ) -> Result<Option<Interface>> {
        let set = self.model_set(caller, instance).await?;
        Ok(Dtmi::parse(id).ok().and_then(|id| set.get(&id).cloned()))
    }
}

pub(super) fn describe(models: &Models, id: &str) -> Option<ModelDescription> {
    let stored = models.stored.get(id)?;
    let parsed = Dtmi::parse(id).ok().and_then(|id| models.set.model(&id));
    Some(ModelDescription {
        id: stored.id.clone(),
        display_name: parsed.map(|model| model.display_name.clone()).unwrap_or_default(),
        description: parsed.map(|model| model.description.clone()).unwrap_or_default(),
        decommissioned: stored.decommissioned,
        uploaded: stored.uploaded,
        document: stored.document.clone(),
    })
}
