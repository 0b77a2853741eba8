//! Enrollments deleted. Registration records outlive them (Azure article "How to deprovision devices").

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, RegistrationId, Result};
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};

use super::Provisioning;
use super::audit::AuditAction;
use crate::caller::{Caller, Right};

const WRITE: Right = Right::Policy(PolicyRight::EnrollmentWrite);

impl Provisioning {
    /// Deletes an individual enrollment.
    pub async fn delete_enrollment(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
        expect: Expect,
    ) -> Result<()> {
        caller.require(ResourceKind::Dps, &dps.name, WRITE)?;
        let id = RegistrationId::parse(id)?;
        let record = self.audited(caller, AuditAction::EnrollmentDeleted).of_registration(&id);
        let write = Write::DeleteEnrollment { dps: dps.name.clone(), id, expect: at_least_present(expect) };
        let batch = Batch::from(write).with(self.audit(dps, &record));
        self.delete(batch, ErrorCode::EnrollmentNotFound, "there is no such individual enrollment").await
    }

    /// Deletes an enrollment group.
    pub async fn delete_enrollment_group(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
        expect: Expect,
    ) -> Result<()> {
        caller.require(ResourceKind::Dps, &dps.name, WRITE)?;
        let write = Write::DeleteEnrollmentGroup {
            dps: dps.name.clone(),
            id: id.to_owned(),
            expect: at_least_present(expect),
        };
        let record = self.audited(caller, AuditAction::EnrollmentGroupDeleted).of_group(id);
        let batch = Batch::from(write).with(self.audit(dps, &record));
        self.delete(batch, ErrorCode::EnrollmentGroupNotFound, "there is no such enrollment group").await
    }

    /// Deletes a registration record; the device stays in its hub.
    pub async fn delete_registration(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
        expect: Expect,
    ) -> Result<()> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::RegistrationStatusWrite))?;
        let id = RegistrationId::parse(id)?;
        let record = self.audited(caller, AuditAction::RegistrationDeleted).of_registration(&id);
        let write = Write::DeleteRegistration { dps: dps.name.clone(), id, expect: at_least_present(expect) };
        let batch = Batch::from(write).with(self.audit(dps, &record));
        self.delete(batch, ErrorCode::RegistrationNotFound, "there is no such registration record").await
    }

    async fn delete(&self, batch: Batch, missing: ErrorCode, message: &str) -> Result<()> {
        match self.context.store.commit(batch).await {
            Ok(()) => Ok(()),
            Err(CommitError::Expectation { mismatch: Mismatch::Absent, .. }) => {
                Err(Error::new(missing, message))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn at_least_present(expect: Expect) -> Expect {
    if expect == Expect::Any { Expect::Present } else { expect }
}
