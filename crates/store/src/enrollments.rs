//! Reading enrollments of a provisioning service.

use async_trait::async_trait;
use pollux_model::enrollment::{EnrollmentGroup, IndividualEnrollment};
use pollux_model::{RegistrationId, ResourceName};

use crate::error::StoreError;
use crate::store::Page;

/// Individual enrollments and groups, keyed by DPS and id (compared in lower case).
#[async_trait]
pub trait Enrollments {
    /// One individual enrollment.
    async fn enrollment(
        &self,
        dps: &ResourceName,
        id: &RegistrationId,
    ) -> Result<Option<IndividualEnrollment>, StoreError>;
    /// Individual enrollments in order of id, after `after`.
    async fn enrollments(
        &self,
        dps: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<IndividualEnrollment>, StoreError>;
    /// How many individual enrollments there are.
    async fn count_enrollments(&self, dps: &ResourceName) -> Result<u64, StoreError>;
    /// One group.
    async fn enrollment_group(
        &self,
        dps: &ResourceName,
        id: &str,
    ) -> Result<Option<EnrollmentGroup>, StoreError>;
    /// Groups in order of id, after `after`.
    async fn enrollment_groups(
        &self,
        dps: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<EnrollmentGroup>, StoreError>;
}
