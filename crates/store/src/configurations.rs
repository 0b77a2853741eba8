//! Reading configurations of a hub.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::configuration::Configuration;

use crate::error::StoreError;
use crate::store::Page;

/// Configurations, keyed by hub and id. Ids compare with case.
#[async_trait]
pub trait Configurations {
    /// One configuration.
    async fn configuration(&self, hub: &ResourceName, id: &str) -> Result<Option<Configuration>, StoreError>;
    /// Configurations in order of id, after `after`.
    async fn configurations(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Configuration>, StoreError>;
}
