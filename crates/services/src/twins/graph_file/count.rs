//! How large a graph is.

use pollux_model::{ResourceName, Result};

use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

/// How large a graph is, each figure at a moment of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphCounts {
    /// Models.
    pub models: u64,
    /// Twins.
    pub twins: u64,
    /// Relationships.
    pub relationships: u64,
}

impl Twins {
    /// Counts an instance's models, twins and relationships.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn graph_counts(&self, caller: &Caller, instance: &ResourceName) -> Result<GraphCounts> {
        let resource = self.authorize(caller, instance, Right::TwinsRead)?;
        let models = self.models.get(&resource).await?.stored.len() as u64;
        let store = &self.context.store;
        let twins = store.count_twins(instance, None).await.map_err(refusal::store)?;
        let relationships = store.count_relationships(instance).await.map_err(refusal::store)?;
        Ok(GraphCounts { models, twins, relationships })
    }
}
