//! Changes a twin by JSON Patch.

use pollux_model::digital_twin::DigitalTwin;
use pollux_model::ids::shown;
use pollux_model::resource::Resource;
use pollux_model::{Etag, ResourceName, Result};
use serde_json::Value;

use super::json_patch::{self, Operation};
use super::models::Models;
use super::rates::Kind;
use super::twin_patch::{self, Stamp};
use super::{Twins, document, refusal};
use crate::{Caller, Right};

/// A change of a twin.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchTwin {
    /// Which twin.
    pub id: String,
    /// JSON Patch with `add`, `replace`, `remove`.
    pub patch: Value,
    /// Refuse if the twin has another etag.
    pub if_match: Option<Etag>,
}

impl Twins {
    /// Changes a twin; gives its new etag. Without `if_match` it is applied to whatever the twin is at that moment; no
    /// update by others is lost.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`], [`pollux_model::ErrorCode::JsonPatchInvalid`],
    /// [`pollux_model::ErrorCode::ValidationFailed`], [`pollux_model::ErrorCode::PreconditionFailed`],
    /// [`pollux_model::ErrorCode::TooLarge`].
    pub async fn patch_twin(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        patch: PatchTwin,
    ) -> Result<Etag> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::Patch, &[&patch.id]))?;
        let operations = json_patch::parse(&patch.patch)?;
        self.apply_patch((caller, &resource), (&patch.id, None), patch.if_match.as_ref(), &operations).await
    }

    /// Changes a twin, or one component of it, which all paths begin with.
    pub(super) async fn apply_patch(
        &self,
        asked: (&Caller, &Resource),
        (id, component): (&str, Option<&str>),
        if_match: Option<&Etag>,
        operations: &[Operation],
    ) -> Result<Etag> {
        let decide = |twin: DigitalTwin, models: &Models| {
            // What is no component, a map for instance, is not reached as if it were one.
            let is_there = |name: &str| twin.document.get(name).is_some_and(document::is_component);
            if let Some(component) = component.filter(|name| !is_there(name)) {
                let component = shown(component);
                return Err(refusal::patch(format_args!("Could not resolve path /{component}")));
            }
            let stamp = Stamp {
                etag: Etag::fresh(&*self.context.random),
                now: self.context.clock.now(),
                limits: &self.context.limits,
            };
            twin_patch::apply(twin, operations, models, stamp)
        };
        self.change_twin(asked, id, (operations, if_match), decide).await
    }
}
