//! Enrollments deleted. Registration records outlive them (Azure article "How to deprovision devices").

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, RegistrationId, Result};
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};

use super::Provisioning;
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
        let write = Write::DeleteEnrollment { dps: dps.name.clone(), id, expect: at_least_present(expect) };
        self.delete(write, ErrorCode::EnrollmentNotFound, "there is no such individual enrollment").await
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
        self.delete(write, ErrorCode::EnrollmentGroupNotFound, "there is no such enrollment group").await
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
        let write = Write::DeleteRegistration { dps: dps.name.clone(), id, expect: at_least_present(expect) };
        self.delete(write, ErrorCode::RegistrationNotFound, "there is no such registration record").await
    }

    async fn delete(&self, write: Write, missing: ErrorCode, message: &str) -> Result<()> {
        match self.context.store.commit(Batch::from(write)).await {
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
