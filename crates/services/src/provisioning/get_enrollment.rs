//! Enrollments read.

use pollux_model::enrollment::{Attestation, EnrollmentGroup, IndividualEnrollment};
use pollux_model::registration::Registration;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, RegistrationId, Result};
use pollux_store::Page;

use super::Provisioning;
use crate::caller::{Caller, Right};

const READ: Right = Right::Policy(PolicyRight::EnrollmentRead);

impl Provisioning {
    /// An individual enrollment and its registration record, if the device ever registered and the caller may know.
    pub async fn enrollment(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
    ) -> Result<(IndividualEnrollment, Option<Registration>)> {
        caller.require(ResourceKind::Dps, &dps.name, READ)?;
        let id = RegistrationId::parse(id)?;
        let found = self.context.store.enrollment(&dps.name, &id).await?;
        let enrollment = found.ok_or_else(|| {
            Error::new(ErrorCode::EnrollmentNotFound, format!("there is no individual enrollment '{id}'"))
        })?;
        let may_know = Right::Policy(PolicyRight::RegistrationStatusRead);
        if caller.require(ResourceKind::Dps, &dps.name, may_know).is_err() {
            return Ok((enrollment, None));
        }
        Ok((enrollment, self.context.store.registration(&dps.name, &id).await?))
    }

    /// An enrollment group.
    pub async fn enrollment_group(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
    ) -> Result<EnrollmentGroup> {
        caller.require(ResourceKind::Dps, &dps.name, READ)?;
        self.context.store.enrollment_group(&dps.name, id).await?.ok_or_else(|| {
            let shown = pollux_model::ids::shown(id);
            Error::new(ErrorCode::EnrollmentGroupNotFound, format!("there is no enrollment group '{shown}'"))
        })
    }

    /// The keys of an individual enrollment. Who may read keys must be able to write them.
    pub async fn enrollment_attestation(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
    ) -> Result<Attestation> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        Ok(self.enrollment(caller, dps, id).await?.0.attestation)
    }

    /// The keys of an enrollment group. Who may read keys must be able to write them.
    pub async fn group_attestation(&self, caller: &Caller, dps: &Resource, id: &str) -> Result<Attestation> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        Ok(self.enrollment_group(caller, dps, id).await?.attestation)
    }

    /// Individual enrollments in order of id.
    pub async fn enrollments(
        &self,
        caller: &Caller,
        dps: &Resource,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<IndividualEnrollment>> {
        caller.require(ResourceKind::Dps, &dps.name, READ)?;
        Ok(self.context.store.enrollments(&dps.name, after, limit).await?)
    }

    /// Enrollment groups in order of id.
    pub async fn enrollment_groups(
        &self,
        caller: &Caller,
        dps: &Resource,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<EnrollmentGroup>> {
        caller.require(ResourceKind::Dps, &dps.name, READ)?;
        Ok(self.context.store.enrollment_groups(&dps.name, after, limit).await?)
    }
}
