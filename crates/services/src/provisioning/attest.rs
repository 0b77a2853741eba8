//! Who is this device? What it shows against the enrollments.
//!
//! An individual enrollment, enabled or disabled, decides before any group (Azure article "How to disenroll a device");
//! among groups the one whose certificate is nearest to the device's. Every refusal looks the same from outside; the log
//! knows more.

use pollux_model::device::Status;
use pollux_model::enrollment::{Attestation, EnrollmentGroup};
use pollux_model::resource::Resource;
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, RegistrationId, ResourceName, Result, Timestamp};

use super::Provisioning;
use crate::caller::{Caller, Identity};

mod certificate;
pub(super) mod tpm;

/// Groups read from the store at once.
const PAGE: usize = 100;

/// What a device has proved.
struct Proved<'a> {
    id: &'a RegistrationId,
    /// The id as the device wrote it.
    displayed: &'a str,
    /// The group it came through; `None`: its individual enrollment.
    group: Option<String>,
    /// That enrollment's.
    status: Status,
    /// Until when that holds.
    until: Timestamp,
    /// The SHA-256 thumbprint of its certificate, if it showed one.
    certificate: Option<String>,
}

impl Provisioning {
    /// Believes the token of a device that calls itself `displayed`, or refuses with [`ErrorCode::Unauthorized`] or
    /// [`ErrorCode::EnrollmentDisabled`].
    pub async fn attest_by_token(&self, dps: &Resource, displayed: &str, token: &SasToken) -> Result<Caller> {
        let id = RegistrationId::parse(displayed)?;
        self.check_frame(dps, displayed, token)?;
        let until = Timestamp::from_secs(token.expiry);
        let proved = |group, status| Proved { id: &id, displayed, group, status, until, certificate: None };
        if let Some(enrollment) = self.context.store.enrollment(&dps.name, &id).await? {
            return match &enrollment.attestation {
                Attestation::SymmetricKey { keys } if keys.signed(token) => {
                    self.admit(dps, proved(None, enrollment.rules.status))
                }
                Attestation::Tpm { secret, .. }
                    if let Some(end) = self.signed_with_tpm(secret, &id, token) =>
                {
                    let proved = proved(None, enrollment.rules.status);
                    self.admit(dps, Proved { until: end.min(until), ..proved })
                }
                _ => Err(refused(&id, "the token is not signed with a key of the individual enrollment")),
            };
        }
        match self.group_that_signed(&dps.name, displayed, token).await? {
            Some(group) => self.admit(dps, proved(Some(group.id), group.rules.status)),
            None => {
                Err(refused(&id, "no individual enrollment, and no group's derived key signed the token"))
            }
        }
    }

    /// The token's resource must be `{idScope}/registrations/{registrationId}`, and it must not be out of date.
    fn check_frame(&self, dps: &Resource, displayed: &str, token: &SasToken) -> Result<()> {
        let scope = &Self::dps(dps)?.id_scope;
        let resource = format!("{scope}/registrations/{displayed}");
        if !token.resource.trim_end_matches('/').eq_ignore_ascii_case(&resource) {
            return Err(Error::new(
                ErrorCode::Unauthorized,
                format!("the token is for another resource: its sr must be '{resource}'"),
            ));
        }
        if token.expired(self.context.clock.now().as_secs()) {
            return Err(Error::new(ErrorCode::Unauthorized, "the token has expired"));
        }
        Ok(())
    }

    async fn group_that_signed(
        &self,
        dps: &ResourceName,
        displayed: &str,
        token: &SasToken,
    ) -> Result<Option<EnrollmentGroup>> {
        let mut after = None;
        loop {
            let page = self.context.store.enrollment_groups(dps, after.as_deref(), PAGE).await?;
            let signed = |group: &EnrollmentGroup| match &group.attestation {
                Attestation::SymmetricKey { keys } => keys.derive(displayed).signed(token),
                Attestation::X509 { .. } | Attestation::Tpm { .. } => false,
            };
            if let Some(group) = page.items.into_iter().find(signed) {
                return Ok(Some(group));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    fn admit(&self, dps: &Resource, proved: Proved<'_>) -> Result<Caller> {
        let Proved { id, displayed, group, status, until, certificate } = proved;
        if status == Status::Disabled {
            tracing::info!(dps = %dps.name, registration = %id, ?group, "refused: the enrollment is disabled");
            return Err(Error::new(
                ErrorCode::EnrollmentDisabled,
                "the enrollment of this device is disabled",
            ));
        }
        let now = self.context.clock.now();
        tracing::debug!(dps = %dps.name, registration = %id, ?group, %now, "admitted");
        let identity = Identity::Registration {
            dps: dps.name.clone(),
            id: id.clone(),
            displayed: displayed.to_owned(),
            group,
            certificate,
        };
        Ok(Caller::own(identity).until(until))
    }
}

fn refused(id: &RegistrationId, why: &str) -> Error {
    tracing::info!(registration = %id, "refused: {why}");
    Error::new(
        ErrorCode::Unauthorized,
        "the device is not enrolled, or what it shows does not prove that it is this device",
    )
}
