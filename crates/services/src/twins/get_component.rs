//! One component of a twin.

use pollux_model::{Etag, ResourceName, Result};
use serde_json::Value;

use super::rates::Kind;
use super::{Twins, document, refusal};
use crate::{Caller, Right};

/// A component and the etag of the twin it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The twin's.
    pub etag: Etag,
    /// Its properties and `$metadata`.
    pub document: Value,
}

impl Twins {
    /// One component.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`], [`pollux_model::ErrorCode::ComponentNotFound`].
    pub async fn component(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        twin: &str,
        component: &str,
    ) -> Result<Component> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        let mut found = self.read_twin(instance, twin).await?;
        match found.document.get_mut(component) {
            Some(part) if document::is_component(part) => {
                Ok(Component { etag: found.etag, document: part.take() })
            }
            _ => Err(refusal::component_not_found(twin, component)),
        }
    }
}
