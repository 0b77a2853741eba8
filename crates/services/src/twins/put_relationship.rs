//! Creates or replaces a relationship.

use pollux_model::digital_twin::Relationship;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_store::Mismatch;
use pollux_store::twins::Direction;
use serde_json::{Map, Value};

use super::change::Change;
use super::commit::{ATTEMPTS, Outcome, too_contended};
use super::rates::Kind;
use super::room::Noun;
use super::{Twins, difference, refusal, relationship_rules};
use crate::{Caller, Right};

/// A relationship to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct PutRelationship {
    /// The twin it starts at.
    pub source: String,
    /// `$relationshipId`, unique among those of its source.
    pub id: String,
    /// `$relationshipName`, `$targetId` and properties; other `$` members are ignored.
    pub document: Value,
    /// Refuse if there is one of this id already; otherwise it is replaced whole.
    pub if_none_match: bool,
}

impl Twins {
    /// Creates or replaces a relationship; gives it as it is now.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`] (the source), [`pollux_model::ErrorCode::TargetTwinNotFound`],
    /// [`pollux_model::ErrorCode::ValidationFailed`], [`pollux_model::ErrorCode::PreconditionFailed`],
    /// [`pollux_model::ErrorCode::InvalidArgument`], [`pollux_model::ErrorCode::SelfRelationship`],
    /// [`pollux_model::ErrorCode::TooLarge`], [`pollux_model::ErrorCode::QuotaExceeded`] for one too many.
    pub async fn put_relationship(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        put: PutRelationship,
    ) -> Result<Relationship> {
        let resource =
            self.admit(caller, instance, Right::TwinsWrite, (Kind::PutOrDelete, &[&put.source]))?;
        refusal::check_id("relationship", &put.id)?;
        let (name, target, properties) = read(put.document)?;
        let source = self.read_twin(instance, &put.source).await?;
        let to = self.context.store.twin(instance, &target).await.map_err(refusal::store)?;
        let to = to.ok_or_else(refusal::target_not_found)?;
        if source.id == to.id {
            return Err(Error::new(
                ErrorCode::SelfRelationship,
                "A relationship cannot connect a twin to itself. Name another twin in $targetId.",
            ));
        }
        let models = self.models.get(&resource).await?;
        let limits = &self.context.limits;
        relationship_rules::check(&models, &source.model, Some(&to.model), &name, &properties, limits)?;
        let relationship = Relationship {
            id: put.id,
            source: put.source,
            target,
            name,
            etag: Etag::fresh(&*self.context.random),
            properties: Value::Object(properties),
            updated: self.context.clock.now(),
        };
        self.put_whole((caller, &resource), relationship, source.model, put.if_none_match).await
    }

    /// `model` is that of its source.
    async fn put_whole(
        &self,
        (caller, instance): (&Caller, &Resource),
        mut relationship: Relationship,
        model: String,
        if_none_match: bool,
    ) -> Result<Relationship> {
        let lanes = &self.lanes;
        let _lane = lanes.enter_relationship(&instance.name, &relationship.source, &relationship.id).await;
        // Behind whoever was before it: of two states of a relationship the later has the later time.
        relationship.updated = self.context.clock.now();
        let (store, Relationship { source, id, .. }) = (&self.context.store, &relationship);
        for _ in 0..ATTEMPTS {
            let before = store.relationship(&instance.name, source, id).await.map_err(refusal::store)?;
            let after = Box::new(relationship.clone());
            let change = match before {
                None => {
                    self.make_room(&instance.name, Noun::Relationship, 1).await?;
                    self.make_room_at_ends(&instance.name, &[&relationship]).await?;
                    Change::RelationshipCreated(after)
                }
                Some(_) if if_none_match => return Err(refusal::already_there("relationship", id)),
                Some(before) => {
                    if before.target != relationship.target {
                        let target = std::iter::once(relationship.target.as_str());
                        self.make_room_at(&instance.name, Direction::Incoming, target).await?;
                    }
                    let (patch, model) = (difference::of_relationships(&before, &after), model.clone());
                    Change::RelationshipUpdated { before: Box::new(before), after, model, patch }
                }
            };
            match self.commit(caller, instance, vec![change]).await? {
                Outcome::Done => return Ok(relationship),
                Outcome::Refused(Mismatch::NoSource) => return Err(refusal::twin_not_found(source)),
                Outcome::Refused(Mismatch::NoTarget) => return Err(refusal::target_not_found()),
                Outcome::Refused(_) => {} // made, changed or deleted meanwhile
            }
        }
        Err(too_contended())
    }
}

/// Name, target and properties.
pub(super) fn read(document: Value) -> Result<(String, String, Map<String, Value>)> {
    let bad = || Error::invalid("Could not deserialize relationship create body.");
    let Value::Object(mut body) = document else { return Err(bad()) };
    let mut text = |member: &str| match body.shift_remove(member) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(bad()),
    };
    let (name, target) = (text("$relationshipName")?, text("$targetId")?);
    body.retain(|member, _| !member.starts_with('$'));
    Ok((name, target, body))
}
