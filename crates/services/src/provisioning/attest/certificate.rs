//! A device that shows a certificate.

use pollux_model::enrollment::{Attestation, CertificateTrust, Der, EnrollmentGroup, Rollover};
use pollux_model::resource::{Dps, Resource};
use pollux_model::{RegistrationId, Result, Timestamp};
use pollux_x509::{Certificate, Chain, Refusal};

use super::{PAGE, Proved, refused};
use crate::caller::Caller;
use crate::provisioning::Provisioning;

/// A group that vouches for a device, and how many certificates lie between.
struct Vouching {
    group: EnrollmentGroup,
    distance: usize,
}

impl Provisioning {
    /// Believes the certificate of a device that calls itself `displayed`, or refuses with
    /// [`pollux_model::ErrorCode::Unauthorized`] or [`pollux_model::ErrorCode::EnrollmentDisabled`]. That the device has the
    /// key of the leaf, the handshake has shown.
    ///
    /// Azure article "X.509 certificate attestation": the registration id is the common name of the leaf's subject.
    pub async fn attest_by_certificate(
        &self,
        dps: &Resource,
        displayed: &str,
        chain: &Chain,
    ) -> Result<Caller> {
        let id = RegistrationId::parse(displayed)?;
        let leaf = chain.leaf();
        if !leaf.common_name().is_some_and(|name| name.eq_ignore_ascii_case(displayed)) {
            return Err(refused(&id, "the common name of the certificate is not the registration id"));
        }
        let (now, certificate) = (self.context.clock.now(), Some(leaf.sha256_thumbprint()));
        let until = leaf.not_after();
        let proved = |group, status| Proved { id: &id, displayed, group, status, until, certificate };
        if let Some(enrollment) = self.context.store.enrollment(&dps.name, &id).await? {
            let status = enrollment.rules.status;
            return match shows(Self::dps(dps)?, &enrollment.attestation, chain, now) {
                Ok(_) => self.admit(dps, proved(None, status)),
                Err(why) => Err(refused(&id, &format!("its individual enrollment: {why}"))),
            };
        }
        match self.nearest(dps, chain, now).await? {
            Some(Vouching { group, .. }) => self.admit(dps, proved(Some(group.id), group.rules.status)),
            None => Err(refused(&id, "no individual enrollment, and no group's certificate vouches for it")),
        }
    }

    /// The group whose certificate is nearest to the leaf; of those equally near one that is disabled.
    async fn nearest(&self, dps: &Resource, chain: &Chain, now: Timestamp) -> Result<Option<Vouching>> {
        let (mut nearest, mut after): (Option<Vouching>, Option<String>) = (None, None);
        loop {
            let page = self.context.store.enrollment_groups(&dps.name, after.as_deref(), PAGE).await?;
            for group in page.items {
                if let Ok(distance) = shows(Self::dps(dps)?, &group.attestation, chain, now) {
                    let rank = |one: &Vouching| (one.distance, one.group.rules.status.is_enabled());
                    let found = Vouching { group, distance };
                    if nearest.as_ref().is_none_or(|nearest| rank(&found) < rank(nearest)) {
                        nearest = Some(found);
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(nearest);
            }
        }
    }
}

/// How far the leaf is from what the enrollment trusts: 0 where it is that itself, or signed by that.
fn shows(dps: &Dps, attestation: &Attestation, chain: &Chain, now: Timestamp) -> Result<usize, String> {
    let Attestation::X509 { trust } = attestation else { return Err("it wants no certificate".to_owned()) };
    match trust {
        CertificateTrust::Client(own) => best(own, |one| chain.is(one, now).map(|()| 0)),
        CertificateTrust::Signing(signers) => best(signers, |one| chain.below(one, now)),
        CertificateTrust::References(names) => {
            let named = |name: &String| dps.trusted_certificate(name).cloned();
            let signers = Rollover {
                primary: names.primary.as_ref().and_then(named),
                secondary: names.secondary.as_ref().and_then(named),
            };
            best(&signers, |one| chain.below(one, now))
        }
    }
}

/// The least distance to one of them; otherwise why there is none.
fn best(
    trusted: &Rollover<Der>,
    distance: impl Fn(&Certificate) -> Result<usize, Refusal>,
) -> Result<usize, String> {
    let (mut best, mut why) = (None, "the certificate it names is not there".to_owned());
    for one in trusted.iter() {
        let found = Certificate::from_der(&one.0).map_err(|error| error.to_string());
        match found.and_then(|one| distance(&one).map_err(|refusal| refusal.to_string())) {
            Ok(found) => best = Some(best.map_or(found, |best: usize| best.min(found))),
            Err(error) => why = error,
        }
    }
    best.ok_or(why)
}
