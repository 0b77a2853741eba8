//! Who is this device? Its token against the enrollments.
//!
//! An individual enrollment, enabled or disabled, decides before any group (Azure article "How to disenroll a device").
//! Every refusal looks the same from outside; the log knows more.

use pollux_model::device::Status;
use pollux_model::enrollment::{Attestation, EnrollmentGroup};
use pollux_model::resource::Resource;
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, RegistrationId, ResourceName, Result, Timestamp};

use super::Provisioning;
use crate::caller::{Caller, Identity};
use crate::context::Context;

/// Groups read from the store at once.
const PAGE: usize = 100;

impl Provisioning {
    /// Believes the token of a device that calls itself `displayed`, or refuses with [`ErrorCode::Unauthorized`] or
    /// [`ErrorCode::EnrollmentDisabled`].
    pub async fn attest_by_token(&self, dps: &Resource, displayed: &str, token: &SasToken) -> Result<Caller> {
        let id = RegistrationId::parse(displayed)?;
        self.check_frame(dps, displayed, token)?;
        if let Some(enrollment) = self.context.store.enrollment(&dps.name, &id).await? {
            let Attestation::SymmetricKey { keys } = &enrollment.attestation;
            if !keys.signed(token) {
                return Err(refused(&id, "the token is not signed with a key of the individual enrollment"));
            }
            return admit(&self.context, dps, &id, displayed, None, enrollment.rules.status, token);
        }
        match self.group_that_signed(&dps.name, displayed, token).await? {
            Some(group) => {
                admit(&self.context, dps, &id, displayed, Some(group.id), group.rules.status, token)
            }
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
            let signed = |group: &EnrollmentGroup| {
                let Attestation::SymmetricKey { keys } = &group.attestation;
                keys.derive(displayed).signed(token)
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
}

fn admit(
    context: &Context,
    dps: &Resource,
    id: &RegistrationId,
    displayed: &str,
    group: Option<String>,
    status: Status,
    token: &SasToken,
) -> Result<Caller> {
    if status == Status::Disabled {
        tracing::info!(dps = %dps.name, registration = %id, ?group, "refused: the enrollment is disabled");
        return Err(Error::new(ErrorCode::EnrollmentDisabled, "the enrollment of this device is disabled"));
    }
    tracing::debug!(dps = %dps.name, registration = %id, ?group, now = %context.clock.now(), "admitted");
    let identity = Identity::Registration {
        dps: dps.name.clone(),
        id: id.clone(),
        displayed: displayed.to_owned(),
        group,
    };
    Ok(Caller::own(identity).until(Timestamp::from_secs(token.expiry)))
}

fn refused(id: &RegistrationId, why: &str) -> Error {
    tracing::info!(registration = %id, "refused: {why}");
    Error::new(ErrorCode::Unauthorized, "the device is not enrolled, or its token is not signed with its key")
}
