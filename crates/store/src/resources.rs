//! Reading resources.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::resource::{Resource, ResourceKind};

use crate::error::StoreError;

/// The deployment's resources. Few enough to be held in memory whole.
#[async_trait]
pub trait Resources {
    /// All of them, ordered by kind and name.
    async fn resources(&self) -> Result<Vec<Resource>, StoreError>;
    /// One of them.
    async fn resource(&self, kind: ResourceKind, name: &ResourceName)
    -> Result<Option<Resource>, StoreError>;
}
