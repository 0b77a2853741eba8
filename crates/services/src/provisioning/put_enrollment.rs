//! Enrollments created and changed.

use pollux_model::device::Status;
use pollux_model::enrollment::{
    Attestation, CertificateTrust, EnrollmentGroup, EnrollmentRules, IndividualEnrollment,
};
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, RegistrationId, Result};
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};

use super::audit::AuditAction;
use super::quotas::{Rows, is_x509};
use super::{EnrollmentInput, GroupInput, IndividualInput, Provisioning};
use crate::caller::{Caller, Right};

impl Provisioning {
    /// Creates an individual enrollment (`if_match` absent and none there) or changes it. `if_match`: the etag it must
    /// have; [`Expect::Present`] for `*`.
    pub async fn put_enrollment(
        &self,
        caller: &Caller,
        dps: &Resource,
        input: IndividualInput,
        if_match: Option<Expect>,
    ) -> Result<IndividualEnrollment> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        let id = RegistrationId::parse(&input.registration_id)?;
        if let Some(device_id) = &input.device_id {
            DeviceId::parse(device_id)?;
        }
        loop {
            let before = self.context.store.enrollment(&dps.name, &id).await?;
            if before.is_none() {
                self.check_quota(&dps.name, Rows::Enrollments).await?;
            }
            let expect = expectation(before.as_ref().map(|before| &before.rules.etag), if_match.as_ref())?;
            let attestation = self.attestation(
                dps,
                input.common.attestation.clone(),
                before.as_ref().map(|b| &b.attestation),
            )?;
            if matches!(&attestation, Attestation::X509 { trust: CertificateTrust::Signing(_) }) {
                let message = "signingCertificates are for enrollment groups: an individual enrollment has clientCertificates";
                return Err(Error::invalid(message));
            }
            self.check_initial_twin(&input.common, before.as_ref().map(|before| &before.rules))?;
            let rules = self.rules(dps, input.common.clone(), before.as_ref().map(|b| &b.rules))?;
            let enrollment = IndividualEnrollment {
                registration_id: id.clone(),
                device_id: input.device_id.clone(),
                attestation,
                rules,
                optional_device_information: input.optional_device_information.clone(),
            };
            let write = Write::PutEnrollment {
                dps: dps.name.clone(),
                enrollment: Box::new(enrollment.clone()),
                expect,
            };
            let [made, changed] = [AuditAction::EnrollmentCreated, AuditAction::EnrollmentUpdated];
            let action = if before.is_some() { changed } else { made };
            let told =
                status_told(before.as_ref().map(|before| before.rules.status), enrollment.rules.status);
            let record = self.audited(caller, action).of_registration(&id).because(told);
            if self.committed(Batch::from(write).with(self.audit(dps, &record))).await? {
                return Ok(enrollment);
            }
        }
    }

    /// Creates an enrollment group or changes it; `if_match` as for individual enrollments.
    pub async fn put_enrollment_group(
        &self,
        caller: &Caller,
        dps: &Resource,
        input: GroupInput,
        if_match: Option<Expect>,
    ) -> Result<EnrollmentGroup> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        check_group_id(&input.id)?;
        loop {
            let before = self.context.store.enrollment_group(&dps.name, &input.id).await?;
            let expect = expectation(before.as_ref().map(|before| &before.rules.etag), if_match.as_ref())?;
            let attestation = self.attestation(
                dps,
                input.common.attestation.clone(),
                before.as_ref().map(|b| &b.attestation),
            )?;
            if matches!(&attestation, Attestation::X509 { trust: CertificateTrust::Client(_) }) {
                let message = "clientCertificates are for individual enrollments: a group has signingCertificates or caReferences";
                return Err(Error::invalid(message));
            }
            if matches!(&attestation, Attestation::Tpm { .. }) {
                let message = "a TPM is one device's: TPM attestation is for individual enrollments";
                return Err(Error::invalid(message));
            }
            if before.as_ref().is_none_or(|before| is_x509(&before.attestation) != is_x509(&attestation)) {
                self.check_group_count(dps, &attestation).await?;
            }
            self.check_initial_twin(&input.common, before.as_ref().map(|before| &before.rules))?;
            let rules = self.rules(dps, input.common.clone(), before.as_ref().map(|b| &b.rules))?;
            let group = EnrollmentGroup { id: input.id.clone(), attestation, rules };
            let write =
                Write::PutEnrollmentGroup { dps: dps.name.clone(), group: Box::new(group.clone()), expect };
            let [made, changed] = [AuditAction::EnrollmentGroupCreated, AuditAction::EnrollmentGroupUpdated];
            let action = if before.is_some() { changed } else { made };
            let told = status_told(before.as_ref().map(|before| before.rules.status), group.rules.status);
            let record = self.audited(caller, action).of_group(&group.id).because(told);
            if self.committed(Batch::from(write).with(self.audit(dps, &record))).await? {
                return Ok(group);
            }
        }
    }

    /// What every device would fail with later. What an entry has already does not keep it from being disabled.
    fn check_initial_twin(&self, input: &EnrollmentInput, before: Option<&EnrollmentRules>) -> Result<()> {
        let known = before.and_then(|before| before.initial_twin.as_ref());
        let new = input.initial_twin.as_ref().filter(|new| Some(*new) != known);
        new.map_or(Ok(()), |new| self.hub.check_initial_twin(new))
    }

    /// Of each kind of group there may be so many.
    async fn check_group_count(&self, dps: &Resource, attestation: &Attestation) -> Result<()> {
        let (most, x509) = (self.context.limits.enrollment_groups, is_x509(attestation));
        let groups = self.groups.all(&dps.name).await?;
        if groups.iter().filter(|group| is_x509(&group.attestation) == x509).count() < most {
            return Ok(());
        }
        let (dps, kind) = (&dps.name, if x509 { "X.509" } else { "symmetric key" });
        let message =
            format!("'{dps}' has {most} enrollment groups by {kind}, which is the limit: delete one first");
        Err(Error::new(ErrorCode::QuotaExceeded, message))
    }

    /// Commits a batch; `false` when a row moved under it and the caller should decide again.
    async fn committed(&self, batch: Batch) -> Result<bool> {
        match self.context.store.commit(batch).await {
            Ok(()) => Ok(true),
            Err(CommitError::Expectation {
                mismatch: Mismatch::OtherEtag | Mismatch::Exists | Mismatch::Absent,
                ..
            }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the audit record says of a change.
fn status_told(before: Option<Status>, after: Status) -> String {
    match before {
        Some(before) if before != after => format!("{}, {} before", after.as_str(), before.as_str()),
        _ => after.as_str().to_owned(),
    }
}

/// The expectation of the write: what was read, if the client's own expectation holds for it.
fn expectation(found: Option<&Etag>, if_match: Option<&Expect>) -> Result<Expect> {
    let holds = match (if_match, found) {
        (None | Some(Expect::Any), _) | (Some(Expect::Present), Some(_)) | (Some(Expect::Absent), None) => {
            true
        }
        (Some(Expect::Etag(wanted)), Some(found)) => wanted == found,
        (Some(Expect::Absent), Some(_)) => {
            return Err(Error::new(ErrorCode::EnrollmentExists, "an enrollment of that id exists"));
        }
        (Some(Expect::Present | Expect::Etag(_)), None) => false,
    };
    if !holds {
        return Err(Error::new(
            ErrorCode::PreconditionFailed,
            "the enrollment's etag is not the one given in If-Match",
        ));
    }
    Ok(found.map_or(Expect::Absent, |etag| Expect::Etag(etag.clone())))
}

/// Azure article "Terminology", section "Enrollment group": case-insensitive alphanumerics and `-._:`, up to 128.
fn check_group_id(id: &str) -> Result<()> {
    RegistrationId::parse(id).map(|_| ()).map_err(|_| {
        let shown = pollux_model::ids::shown(id);
        Error::invalid(format!(
            "'{shown}' is no enrollment group id: use 1 to 128 ASCII letters, digits and - . _ :, ending with a letter, a digit or -"
        ))
    })
}
