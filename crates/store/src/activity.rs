//! Reading when devices and modules were last heard of.

use std::collections::HashMap;

use async_trait::async_trait;
use pollux_model::device::Activity;
use pollux_model::{DeviceAddress, ResourceName};

use crate::error::StoreError;

/// Times, keyed by hub, device and module.
#[async_trait]
pub trait Activities {
    /// Of each of these; those of which nothing is known are left out.
    async fn activities(
        &self,
        hub: &ResourceName,
        devices: &[DeviceAddress],
    ) -> Result<HashMap<DeviceAddress, Activity>, StoreError>;
}
