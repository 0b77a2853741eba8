//! Who is this device? What it shows against the enrollments.
//!
//! Who decides is in `decision`, for admission here and for `explain`. Every refusal looks the same from outside; the log
//! knows more.

use std::net::IpAddr;

use pollux_model::resource::{Dps, Resource};
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, RegistrationId, Result, Timestamp};
use pollux_x509::Chain;

use super::Provisioning;
use crate::caller::{Caller, Identity};

mod certificate;
pub(super) mod decision;
pub(super) mod hierarchy;
pub(super) mod tpm;

use self::decision::{Changes, Decision, Entries, Entry, Proof, Verdict};

/// A device that says who it is.
struct Claim<'a> {
    id: &'a RegistrationId,
    /// The id as the device wrote it.
    displayed: &'a str,
    /// Until when what it shows holds.
    until: Timestamp,
    /// The SHA-256 thumbprint of its certificate, if it showed one.
    certificate: Option<String>,
    /// From where it calls.
    from: Option<IpAddr>,
}

impl Provisioning {
    /// Believes the token of a device that calls itself `displayed`, or refuses with [`ErrorCode::Unauthorized`] or
    /// [`ErrorCode::EnrollmentDisabled`].
    pub async fn attest_by_token(
        &self,
        dps: &Resource,
        displayed: &str,
        token: &SasToken,
        from: Option<IpAddr>,
    ) -> Result<Caller> {
        let id = RegistrationId::parse(displayed)?;
        if let Err(error) = self.check_frame(dps, displayed, token) {
            self.audit_refusal(dps, &id, from, (None, &error.message)).await;
            return Err(error);
        }
        let proof = Proof::Token { displayed, token, now: self.context.clock.now() };
        let entries = self.entries(dps, &id, proof, Groups::IfAsked).await?;
        let until = Timestamp::from_secs(token.expiry);
        let until = entries.until().map_or(until, |end| end.min(until));
        let claim = Claim { id: &id, displayed, until, certificate: None, from };
        self.admit(dps, claim, entries.decide(&Changes::default())).await
    }

    /// Believes the certificate of a device that calls itself `displayed`, or refuses with
    /// [`ErrorCode::Unauthorized`] or [`ErrorCode::EnrollmentDisabled`]. That the device has the key of the leaf, the
    /// handshake has shown.
    pub async fn attest_by_certificate(
        &self,
        dps: &Resource,
        displayed: &str,
        chain: &Chain,
        from: Option<IpAddr>,
    ) -> Result<Caller> {
        let id = RegistrationId::parse(displayed)?;
        let leaf = chain.leaf();
        if let Err(why) = in_order(dps, chain, displayed) {
            self.audit_refusal(dps, &id, from, (None, why)).await;
            return Err(refused(&id, why));
        }
        let proof = Proof::Certificate { chain, now: self.context.clock.now() };
        let entries = self.entries(dps, &id, proof, Groups::IfAsked).await?;
        let (until, certificate) = (leaf.not_after(), Some(leaf.sha256_thumbprint()));
        let claim = Claim { id: &id, displayed, until, certificate, from };
        self.admit(dps, claim, entries.decide(&Changes::default())).await
    }

    /// Makes the decision come true. What is refused is in the audit record; what is admitted, once it registers.
    async fn admit(&self, dps: &Resource, claim: Claim<'_>, decision: Decision) -> Result<Caller> {
        let Claim { id, displayed, until, certificate, from } = claim;
        if decision.verdict != Verdict::Admitted {
            self.audit_refusal(dps, id, from, (decision.by.as_ref(), &decision.reason)).await;
        }
        match decision.verdict {
            Verdict::Admitted => {}
            Verdict::Disabled => {
                tracing::info!(dps = %dps.name, registration = %id, by = ?decision.by, "refused: the enrollment is disabled");
                return Err(Error::new(
                    ErrorCode::EnrollmentDisabled,
                    "the enrollment of this device is disabled",
                ));
            }
            Verdict::Refused => return Err(refused(id, &decision.reason)),
        }
        let group = match decision.by {
            Some(Entry::Group(group)) => Some(group),
            Some(Entry::Individual(_)) | None => None,
        };
        tracing::debug!(dps = %dps.name, registration = %id, ?group, "admitted");
        let identity = Identity::Registration {
            dps: dps.name.clone(),
            id: id.clone(),
            displayed: displayed.to_owned(),
            group,
            certificate,
        };
        let caller = Caller::own(identity).until(until);
        Ok(match from {
            Some(address) => caller.from_address(address),
            None => caller,
        })
    }

    /// The token's resource must be `{idScope}/registrations/{registrationId}`, and it must not be out of date.
    pub(super) fn check_frame(&self, dps: &Resource, displayed: &str, token: &SasToken) -> Result<()> {
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

    /// The entries that have a say in whether a device is who it says.
    pub(super) async fn entries(
        &self,
        dps: &Resource,
        id: &RegistrationId,
        proof: Proof<'_>,
        groups: Groups,
    ) -> Result<Entries> {
        let own = self.context.store.enrollment(&dps.name, id).await?;
        let properties = Self::dps(dps)?;
        let mut entries = Entries::of(id, properties, own.as_ref(), proof);
        if groups == Groups::IfAsked && entries.are_decided() {
            return Ok(entries);
        }
        for group in self.groups.all(&dps.name).await?.iter() {
            entries.weigh(properties, group, proof);
        }
        Ok(entries)
    }
}

/// Whether groups are looked at that have no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    /// Only if they have one.
    IfAsked,
    /// In any case: they may come to have one.
    All,
}

/// What is asked of a certificate whoever trusts it. Azure article "X.509 certificate attestation": the registration id is the
/// common name of the leaf's subject. And it must not be one that was issued here and revoked.
pub(super) fn in_order(dps: &Resource, chain: &Chain, displayed: &str) -> Result<(), &'static str> {
    let leaf = chain.leaf();
    if !leaf.common_name().is_some_and(|name| name.eq_ignore_ascii_case(displayed)) {
        return Err("the common name of the certificate is not the registration id");
    }
    let revoked = |dps: &Dps| dps.has_revoked(leaf.issuer(), leaf.serial_number());
    if Provisioning::dps(dps).is_ok_and(revoked) {
        return Err("the certificate was revoked");
    }
    Ok(())
}

pub(super) fn refused(id: &RegistrationId, why: &str) -> Error {
    tracing::info!(registration = %id, "refused: {why}");
    Error::new(
        ErrorCode::Unauthorized,
        "the device is not enrolled, or what it shows does not prove that it is this device",
    )
}
