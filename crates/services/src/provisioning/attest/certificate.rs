//! Certificates against what enrollments trust.

use pollux_model::Timestamp;
use pollux_model::enrollment::{Attestation, CertificateTrust, Der, Rollover};
use pollux_model::resource::Dps;
use pollux_x509::{Certificate, Chain, Refusal};

/// How far the leaf is from what the enrollment trusts: 0 where it is that itself, or signed by that.
pub(super) fn distance(
    dps: &Dps,
    attestation: &Attestation,
    chain: &Chain,
    now: Timestamp,
) -> Result<usize, String> {
    let Attestation::X509 { trust } = attestation else { return Err("it wants no certificate".to_owned()) };
    match trust {
        CertificateTrust::Client(own) => best(own, |one| chain.is(one, now).map(|()| 0)),
        CertificateTrust::Signing(_) | CertificateTrust::References(_) => {
            best(&signers(dps, trust), |one| chain.below(one, now))
        }
    }
}

/// The certificates that an enrollment trusts.
pub(super) fn signers(dps: &Dps, trust: &CertificateTrust) -> Rollover<Der> {
    match trust {
        CertificateTrust::Client(own) | CertificateTrust::Signing(own) => own.clone(),
        CertificateTrust::References(names) => {
            let named = |name: &String| dps.trusted_certificate(name).cloned();
            Rollover {
                primary: names.primary.as_ref().and_then(named),
                secondary: names.secondary.as_ref().and_then(named),
            }
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
