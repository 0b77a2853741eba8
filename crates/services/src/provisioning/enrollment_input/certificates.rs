//! Certificates of an enrollment, checked.

use pollux_model::enrollment::{Attestation, CertificateTrust, Der, Rollover};
use pollux_model::resource::Resource;
use pollux_model::{Error, Result, ids};
use pollux_x509::Certificate;

use super::CertificateKind;
use crate::provisioning::Provisioning;

/// What to store. A certificate that is not given is kept: clients send back what they were shown, which is without it.
pub(super) fn trust(
    dps: &Resource,
    kind: CertificateKind,
    given: Rollover<String>,
    before: Option<&Attestation>,
) -> Result<CertificateTrust> {
    let kept = match before {
        Some(Attestation::X509 { trust }) => Some(trust),
        _ => None,
    };
    let trust = match (kind, kept) {
        (CertificateKind::Client, Some(CertificateTrust::Client(kept))) => {
            CertificateTrust::Client(certificates(given, Some(kept), false)?)
        }
        (CertificateKind::Client, _) => CertificateTrust::Client(certificates(given, None, false)?),
        (CertificateKind::Signing, Some(CertificateTrust::Signing(kept))) => {
            CertificateTrust::Signing(certificates(given, Some(kept), true)?)
        }
        (CertificateKind::Signing, _) => CertificateTrust::Signing(certificates(given, None, true)?),
        (CertificateKind::References, kept) => CertificateTrust::References(references(dps, given, kept)?),
    };
    let there = match &trust {
        CertificateTrust::Client(certificates) | CertificateTrust::Signing(certificates) => {
            certificates.primary.is_some()
        }
        CertificateTrust::References(names) => names.primary.is_some(),
    };
    if there { Ok(trust) } else { Err(Error::invalid("attestation.x509 needs a primary certificate")) }
}

fn certificates(given: Rollover<String>, kept: Option<&Rollover<Der>>, signs: bool) -> Result<Rollover<Der>> {
    let one =
        |text: Option<String>, name: &str, kept: Option<&Der>| match text.filter(|text| !text.is_empty()) {
            Some(text) => certificate(&text, name, signs).map(Some),
            None => Ok(kept.cloned()),
        };
    Ok(Rollover {
        primary: one(given.primary, "primary", kept.and_then(|kept| kept.primary.as_ref()))?,
        secondary: one(given.secondary, "secondary", kept.and_then(|kept| kept.secondary.as_ref()))?,
    })
}

fn certificate(text: &str, name: &str, signs: bool) -> Result<Der> {
    let read = Certificate::from_text(text)
        .map_err(|error| Error::invalid(format!("the {name} certificate does not parse: {error}")))?;
    if signs && !read.is_authority() {
        let subject = ids::shown(read.subject());
        return Err(Error::invalid(format!(
            "the {name} signing certificate '{subject}' is not that of an authority: its basic constraints must say CA. \
             For one device's own certificate use an individual enrollment with clientCertificates"
        )));
    }
    Ok(Der(read.der().to_vec()))
}

/// A name that was there before may stay though its certificate is gone: the entry must yet be disabled.
fn references(
    dps: &Resource,
    given: Rollover<String>,
    kept: Option<&CertificateTrust>,
) -> Result<Rollover<String>> {
    let known = &Provisioning::dps(dps)?.certificates;
    let was_there = |name: &String| matches!(kept, Some(CertificateTrust::References(names)) if names.iter().any(|kept| kept == name));
    let one = |name: Option<String>| {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        if was_there(&name) || known.iter().any(|one| one.name.eq_ignore_ascii_case(&name)) {
            return Ok(Some(name));
        }
        let (name, dps) = (ids::shown(&name), &dps.name);
        Err(Error::invalid(format!(
            "'{dps}' has no certificate named '{name}': add it with `pollux dps certificate create`"
        )))
    };
    Ok(Rollover { primary: one(given.primary)?, secondary: one(given.secondary)? })
}
