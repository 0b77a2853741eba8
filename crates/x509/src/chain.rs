//! What a device showed, followed to a certificate that is trusted.
//!
//! The path itself is webpki's: signatures, validity, basic constraints, path lengths, name constraints, critical
//! extensions, extended key usage, no SHA-1 (RFC 5280, section 6). Beside it: the trusted certificate may be any
//! authority, not only a root, and its own dates count too, for its owner put it there to be valid.

use std::collections::HashSet;
use std::time::Duration;

use pollux_model::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::certificate::{Certificate, CertificateError};
use crate::version_one::directly_below;

/// Most certificates a device may show: its own, and deeper hierarchies than anybody has.
const LONGEST: usize = 10;

/// A leaf with what came along to prove it.
#[derive(Debug, Clone)]
pub struct Chain {
    leaf: Certificate,
    others: Vec<CertificateDer<'static>>,
}

/// Why certificates are no chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There is none.
    #[error("no certificate was shown")]
    Empty,
    /// There are too many.
    #[error("{0} certificates were shown; at most {LONGEST} are looked at")]
    TooLong(usize),
    /// One of them is none.
    #[error("certificate {at} of the chain: {error}")]
    Certificate {
        /// Which, from 1, the leaf.
        at: usize,
        /// Why.
        error: CertificateError,
    },
}

/// Why a chain does not lead to a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One on the way does not hold now.
    #[error("the certificate '{subject}' holds from {not_before} to {not_after}")]
    Dates {
        /// Whose.
        subject: String,
        /// From.
        not_before: Timestamp,
        /// Until.
        not_after: Timestamp,
    },
    /// There is no path, or one that breaks a rule.
    #[error("the certificates do not lead there: {0}")]
    Path(String),
}

impl Chain {
    /// Reads what a device showed, its own certificate first.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn read<'c>(shown: impl IntoIterator<Item = &'c [u8]>) -> Result<Self, ChainError> {
        let mut read = Vec::new();
        for (at, der) in (1..).zip(shown) {
            if at > LONGEST {
                return Err(ChainError::TooLong(at));
            }
            read.push(Certificate::from_der(der).map_err(|error| ChainError::Certificate { at, error })?);
        }
        let mut read = read.into_iter();
        let leaf = read.next().ok_or(ChainError::Empty)?;
        let others = leading(&leaf, read.collect());
        Ok(Self { leaf, others: others.into_iter().map(|certificate| certificate.der().clone()).collect() })
    }

    /// Reads text: PEM of one or more, the device's own first, or base64 of one. Keys between them are not looked at.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn from_text(text: &str) -> Result<Self, ChainError> {
        if !text.contains("-----BEGIN") {
            let one = Certificate::from_text(text);
            return one.map(Self::of).map_err(|error| ChainError::Certificate { at: 1, error });
        }
        let mut shown = Vec::new();
        for (at, one) in (1..).zip(CertificateDer::pem_slice_iter(text.as_bytes())) {
            if at > LONGEST {
                return Err(ChainError::TooLong(at));
            }
            let unread = |_| ChainError::Certificate { at, error: CertificateError::NoText };
            shown.push(one.map_err(unread)?);
        }
        Self::read(shown.iter().map(AsRef::as_ref))
    }

    /// One certificate alone.
    #[must_use]
    pub const fn of(leaf: Certificate) -> Self {
        Self { leaf, others: Vec::new() }
    }

    /// The device's own certificate.
    #[must_use]
    pub const fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// The DER of each, the device's own first.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.leaf.der()).chain(&self.others).map(AsRef::as_ref)
    }

    /// Whether the leaf is that certificate, and holds now.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn is(&self, certificate: &Certificate, now: Timestamp) -> Result<(), Refusal> {
        if self.leaf.der() != certificate.der() {
            return Err(Refusal::Path("it is another certificate".to_owned()));
        }
        self.leaf.holds(now)
    }

    /// How many certificates lie between the leaf and an authority that vouches for it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn below(&self, authority: &Certificate, now: Timestamp) -> Result<usize, Refusal> {
        authority.holds(now)?;
        self.leaf.holds(now)?;
        if self.leaf.version() == 1 {
            return directly_below(&self.leaf, authority).map(|()| 0);
        }
        let path = |error: webpki::Error| Refusal::Path(format!("{error:?}"));
        let leaf = EndEntityCert::try_from(self.leaf.der()).map_err(path)?;
        let anchors = [anchor_from_trusted_cert(authority.der()).map_err(path)?];
        let seconds = u64::try_from(now.as_secs()).unwrap_or_default();
        let verified = leaf
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &anchors,
                &self.others,
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(path)?;
        let mut between = 0;
        for issuer in verified.intermediate_certificates() {
            may_sign(&issuer.der())?;
            between += 1;
        }
        may_sign(authority.der())?;
        reaches(authority.der(), between)?;
        Ok(between)
    }
}

/// Of what came along with a leaf each once. Where several bear one name, of all of them those whose keys signed what is below:
/// from names alone a stranger could make more paths than anybody can follow.
fn leading(leaf: &Certificate, others: Vec<Certificate>) -> Vec<Certificate> {
    let (mut names, mut seen) =
        (HashSet::from([leaf.raw_subject().to_vec()]), HashSet::from([leaf.der().to_vec()]));
    let mut left: Vec<_> = others.into_iter().filter(|one| seen.insert(one.der().to_vec())).collect();
    if left.iter().all(|one| names.insert(one.raw_subject().to_vec())) {
        return left;
    }
    let (mut found, mut below) = (Vec::new(), vec![leaf.clone()]);
    while !below.is_empty() {
        let (above, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|one| below.iter().any(|below| below.is_signed_by(one)));
        found.extend(above.iter().cloned());
        (below, left) = (above, others);
    }
    found
}

/// webpki asks whether an issuer is an authority (basic constraints), not what its key is for.
fn may_sign(issuer: &CertificateDer<'_>) -> Result<(), Refusal> {
    let parsed = X509Certificate::from_der(issuer).map_err(|error| Refusal::Path(error.to_string()))?.1;
    let usage = parsed.key_usage().map_err(|error| Refusal::Path(error.to_string()))?;
    if usage.is_none_or(|usage| usage.value.key_cert_sign()) {
        return Ok(());
    }
    Err(Refusal::Path(format!(
        "the key of '{}' is not for signing certificates (key usage)",
        parsed.subject()
    )))
}

/// webpki takes a trusted one for a root, whose own constraint RFC 5280 (section 6.1) does not look at. Here it may be any
/// authority, whose path length whoever made it meant.
fn reaches(authority: &CertificateDer<'_>, between: usize) -> Result<(), Refusal> {
    let parsed = X509Certificate::from_der(authority).map_err(|error| Refusal::Path(error.to_string()))?.1;
    let found = parsed.basic_constraints().map_err(|error| Refusal::Path(error.to_string()))?;
    match found.and_then(|found| found.value.path_len_constraint) {
        Some(most) if between > usize::try_from(most).unwrap_or(usize::MAX) => Err(Refusal::Path(format!(
            "'{}' lets {most} certificates be between it and a device's, not {between} (basic constraints)",
            parsed.subject()
        ))),
        _ => Ok(()),
    }
}

impl Certificate {
    /// Whether it holds at a moment.
    ///
    /// # Errors
    /// [`Refusal::Dates`].
    pub fn holds(&self, now: Timestamp) -> Result<(), Refusal> {
        // To the second: a certificate's dates are.
        if (self.not_before().as_secs()..=self.not_after().as_secs()).contains(&now.as_secs()) {
            return Ok(());
        }
        let (not_before, not_after) = (self.not_before(), self.not_after());
        Err(Refusal::Dates { subject: self.subject().to_owned(), not_before, not_after })
    }
}

#[cfg(test)]
mod tests;
