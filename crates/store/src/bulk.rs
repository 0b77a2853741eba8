//! Reading many twins or relationships by their ids at once, and counting them: what imports and exports ask.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::Relationship;

use crate::error::StoreError;
use crate::twins::Direction;

/// Questions about many ids. Answers come in the order of the questions; each is of one moment.
#[async_trait]
pub trait Bulk {
    /// The model of each of these twins; `None` where there is no such twin. Costs less than reading the twins.
    async fn models_of_twins(
        &self,
        twins: &ResourceName,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, StoreError>;
    /// The relationships of these sources and ids; `None` where there is none.
    async fn relationships_by_id(
        &self,
        twins: &ResourceName,
        keys: &[(String, String)],
    ) -> Result<Vec<Option<Relationship>>, StoreError>;
    /// How many relationships there are.
    async fn count_relationships(&self, twins: &ResourceName) -> Result<u64, StoreError>;
    /// How many relationships each of these twins has in this direction, counted no further than to `most`.
    async fn count_relationships_of(
        &self,
        twins: &ResourceName,
        ids: &[String],
        direction: Direction,
        most: u64,
    ) -> Result<Vec<u64>, StoreError>;
}
