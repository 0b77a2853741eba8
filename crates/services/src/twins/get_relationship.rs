//! One relationship.

use pollux_model::digital_twin::Relationship;
use pollux_model::{ResourceName, Result};

use super::Twins;
use super::rates::Kind;
use crate::{Caller, Right};

impl Twins {
    /// One relationship.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`] (the source), [`pollux_model::ErrorCode::RelationshipNotFound`].
    pub async fn relationship(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        source: &str,
        id: &str,
    ) -> Result<Relationship> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        self.read_relationship(instance, source, id).await
    }
}
