//! Reading registration records of a provisioning service.

use async_trait::async_trait;
use pollux_model::registration::{Registration, RegistrationStatus};
use pollux_model::{RegistrationId, ResourceName};

use crate::error::StoreError;
use crate::store::Page;

/// Registration records, keyed by DPS and registration id.
#[async_trait]
pub trait Registrations {
    /// One record.
    async fn registration(
        &self,
        dps: &ResourceName,
        id: &RegistrationId,
    ) -> Result<Option<Registration>, StoreError>;
    /// Records of a group (its id compared in lower case) in order of registration id, after `after`.
    async fn registrations_of_group(
        &self,
        dps: &ResourceName,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>, StoreError>;
    /// Records of one status in order of registration id, after `after`: what a restart must take up again.
    async fn registrations_in(
        &self,
        dps: &ResourceName,
        status: RegistrationStatus,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>, StoreError>;
    /// How many records there are, orphans included.
    async fn count_registrations(&self, dps: &ResourceName) -> Result<u64, StoreError>;
}
