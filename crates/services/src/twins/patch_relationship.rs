//! Changes the properties of a relationship by JSON Patch.

use pollux_model::digital_twin::Relationship;
use pollux_model::{Error, Etag, ResourceName, Result};
use serde_json::Value;

use super::models::Models;
use super::rates::Kind;
use super::{Twins, json_patch, refusal, relationship_rules};
use crate::{Caller, Right};

/// A change of a relationship.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchRelationship {
    /// The twin it starts at.
    pub source: String,
    /// Its id.
    pub id: String,
    /// JSON Patch with `add`, `replace`, `remove`.
    pub patch: Value,
    /// Refuse if the relationship has another etag.
    pub if_match: Option<Etag>,
}

impl Twins {
    /// Changes a relationship; gives its new etag.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`], [`pollux_model::ErrorCode::RelationshipNotFound`],
    /// [`pollux_model::ErrorCode::JsonPatchInvalid`], [`pollux_model::ErrorCode::ValidationFailed`],
    /// [`pollux_model::ErrorCode::PreconditionFailed`], [`pollux_model::ErrorCode::TooLarge`].
    pub async fn patch_relationship(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        patch: PatchRelationship,
    ) -> Result<Etag> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::Patch, &[&patch.source]))?;
        let operations = json_patch::parse(&patch.patch)?;
        if let Some(operation) = operations.iter().find(|operation| operation.path[0].starts_with('$')) {
            let pointer = operation.pointer();
            return Err(refusal::patch(format_args!("{pointer} of a relationship cannot be changed")));
        }
        let limits = &self.context.limits;
        let decide = |mut changed: Relationship, model: &str, models: &Models| {
            let Value::Object(properties) = &mut changed.properties else { return Err(Error::internal()) };
            for operation in &operations {
                operation.apply(properties, &operation.path)?;
            }
            relationship_rules::check(models, model, None, &changed.name, properties, limits)?;
            changed.etag = Etag::fresh(&*self.context.random);
            changed.updated = self.context.clock.now();
            Ok(changed)
        };
        let which = (patch.source.as_str(), patch.id.as_str());
        self.change_relationship((caller, &resource), which, (&operations, patch.if_match.as_ref()), decide)
            .await
    }
}
