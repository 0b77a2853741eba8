//! Changes one component of a twin by JSON Patch: a patch of the twin whose paths begin at the component.

use pollux_model::{Etag, ResourceName, Result};
use serde_json::Value;

use super::rates::Kind;
use super::{Twins, json_patch};
use crate::{Caller, Right};

/// A change of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchComponent {
    /// Which twin.
    pub twin: String,
    /// Which component of it.
    pub component: String,
    /// JSON Patch with `add`, `replace`, `remove`; paths begin at the component.
    pub patch: Value,
    /// Refuse if the twin has another etag.
    pub if_match: Option<Etag>,
}

impl Twins {
    /// Changes a component; gives the twin's new etag.
    ///
    /// # Errors
    /// As [`Twins::patch_twin`]; a component that is not there is a path that does not resolve, as ADT has it.
    pub async fn patch_component(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        patch: PatchComponent,
    ) -> Result<Etag> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::Patch, &[&patch.twin]))?;
        let mut operations = json_patch::parse(&patch.patch)?;
        for operation in &mut operations {
            operation.path.insert(0, patch.component.clone());
        }
        let (twin, component) = (&patch.twin, Some(patch.component.as_str()));
        self.apply_patch((caller, &resource), (twin, component), patch.if_match.as_ref(), &operations).await
    }
}
