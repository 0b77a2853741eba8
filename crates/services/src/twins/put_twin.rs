//! Creates or replaces a twin.

use pollux_model::digital_twin::DigitalTwin;
use pollux_model::ids::shown;
use pollux_model::{Error, Etag, ResourceName, Result};
use serde_json::{Map, Value};

use super::change::Change;
use super::commit::{ATTEMPTS, Outcome, too_contended};
use super::models::Models;
use super::rates::Kind;
use super::room::Noun;
use super::{Twins, difference, document, refusal, sizes};
use crate::{Caller, Right};

/// A twin to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct PutTwin {
    /// `$dtId`.
    pub id: String,
    /// The document as ADT takes it: properties, components, `$metadata.$model`. `$etag` and times in it are ignored,
    /// a property's `sourceTime` is kept; a `$dtId` must be the twin's (article "Manage digital twins").
    pub document: Value,
    /// Refuse if there is a twin of this id already; otherwise it is replaced whole.
    pub if_none_match: bool,
}

impl Twins {
    /// Creates or replaces a twin; gives it as it is now.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ValidationFailed`] with every violation,
    /// [`pollux_model::ErrorCode::ModelDecommissioned`], [`pollux_model::ErrorCode::PreconditionFailed`],
    /// [`pollux_model::ErrorCode::TooLarge`], [`pollux_model::ErrorCode::TwinLimitReached`],
    /// [`pollux_model::ErrorCode::InvalidArgument`].
    pub async fn put_twin(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        put: PutTwin,
    ) -> Result<DigitalTwin> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::PutOrDelete, &[&put.id]))?;
        refusal::check_id("twin", &put.id)?;
        let Value::Object(body) = put.document else { return Err(Error::invalid("Payload is invalid.")) };
        let models = self.models.get(&resource).await?;
        let _lane = self.lanes.enter(instance, &put.id).await;
        // Stamped behind whoever was before it: of two states of a twin the later has the later time.
        let twin = self.make(put.id, body, &models)?;
        for _ in 0..ATTEMPTS {
            // Where none may be there, the commit finds it.
            let before = match put.if_none_match {
                true => None,
                false => self.context.store.twin(instance, &twin.id).await.map_err(refusal::store)?,
            };
            let after = Box::new(twin.clone());
            let change = match before {
                None => {
                    let allowed = match models.in_use(&twin.model) {
                        Ok(()) => self.make_room(instance, Noun::Twin, 1).await,
                        refused => refused,
                    };
                    if allowed.is_err() && put.if_none_match && self.is_there(instance, &twin.id).await? {
                        return Err(refusal::already_there("twin", &twin.id));
                    }
                    allowed?;
                    Change::TwinCreated(after)
                }
                Some(before) => {
                    if before.model != twin.model {
                        models.in_use(&twin.model)?;
                    }
                    let patch = difference::of_twins(&before, &after);
                    let was = before.etag.clone();
                    Change::TwinUpdated { was, before: Some(Box::new(before)), after, patch }
                }
            };
            match self.commit(caller, &resource, vec![change]).await? {
                Outcome::Done => return Ok(twin),
                Outcome::Refused(_) if put.if_none_match => {
                    return Err(refusal::already_there("twin", &twin.id));
                }
                Outcome::Refused(_) => {} // made, changed or deleted meanwhile
            }
        }
        Err(too_contended())
    }

    async fn is_there(&self, instance: &ResourceName, id: &str) -> Result<bool> {
        Ok(self.context.store.twin(instance, id).await.map_err(refusal::store)?.is_some())
    }

    pub(super) fn make(&self, id: String, body: Map<String, Value>, models: &Models) -> Result<DigitalTwin> {
        if let Some(other) = body.get(document::ID).filter(|given| given.as_str() != Some(&id)) {
            let other = other.as_str().map_or_else(|| "no text".to_owned(), |id| format!("'{}'", shown(id)));
            let message =
                format!("The $dtId of the body is {other}, and not the id of the twin, '{}'.", shown(&id));
            return Err(Error::invalid(message));
        }
        let named = body
            .get(document::METADATA)
            .and_then(|metadata| metadata.get(document::MODEL))
            .and_then(Value::as_str);
        let model = named.map(str::to_owned).ok_or_else(|| {
            refusal::invalid("twin", ["$metadata.$model must be given, as the id of a model.".to_owned()])
        })?;
        let dtmi = models.known(&model)?;
        let mut findings: Vec<String> =
            models.set.check_twin(&dtmi, &body).into_iter().map(|violation| violation.message).collect();
        let is_component = |name: &str| {
            models.set.get(&dtmi).is_some_and(|interface| interface.components.contains_key(name))
        };
        let now = self.context.clock.now();
        let contents = document::assemble(body, &model, is_component, now, &mut findings);
        if !findings.is_empty() {
            return Err(refusal::invalid("twin", findings));
        }
        sizes::check("twin", &contents, &self.context.limits)?;
        let etag = Etag::fresh(&*self.context.random);
        Ok(DigitalTwin { id, model, etag, document: Value::Object(contents), updated: now })
    }
}
