//! Certificates made of requests (PKCS#10), and the list of those that hold no more.
//!
//! Of a request its key counts, and that its maker has it; everything else the issuer says: whose the certificate is, that it
//! is a client's, that it signs nothing, how long it holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::Timestamp;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    RevokedCertParams, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateSigningRequestDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::certificate::{Certificate, CertificateError};

/// Most bytes of a request.
const LARGEST: usize = 16 * 1024;
/// Fewest bits of an RSA key.
const RSA: usize = 2048;

/// What a device asks for.
#[derive(Debug)]
pub struct SigningRequest {
    request: CertificateSigningRequestParams,
    common_name: Option<String>,
    der: Vec<u8>,
}

/// Why nothing is issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// It is no request.
    #[error("it is no certificate signing request: {0}")]
    Request(String),
    /// The issuer cannot be one.
    #[error("this cannot issue certificates: {0}")]
    Issuer(String),
}

impl SigningRequest {
    /// Reads PEM, or base64 of DER, and checks that whoever made it has the key.
    ///
    /// # Errors
    /// [`IssueError::Request`].
    pub fn from_text(text: &str) -> Result<Self, IssueError> {
        let bad = |what: &dyn std::fmt::Display| IssueError::Request(what.to_string());
        if text.len() > 2 * LARGEST {
            return Err(bad(&format!("it is longer than {LARGEST} bytes")));
        }
        let der = if text.contains("-----BEGIN") {
            CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).map_err(|error| bad(&error))?
        } else {
            let packed: String = text.chars().filter(|character| !character.is_whitespace()).collect();
            let bytes = STANDARD.decode(packed).map_err(|_| bad(&"write PEM, or base64 of DER"))?;
            CertificateSigningRequestDer::from(bytes)
        };
        Self::from_der(&der)
    }

    /// Reads DER, and checks the same.
    ///
    /// # Errors
    /// [`IssueError::Request`].
    pub fn from_der(der: &[u8]) -> Result<Self, IssueError> {
        let bad = |what: &dyn std::fmt::Display| IssueError::Request(what.to_string());
        if der.len() > LARGEST {
            return Err(bad(&format!("it is longer than {LARGEST} bytes")));
        }
        let der = CertificateSigningRequestDer::from(der);
        let (rest, parsed) = X509CertificationRequest::from_der(&der).map_err(|error| bad(&error))?;
        if !rest.is_empty() {
            return Err(bad(&"bytes follow it"));
        }
        let info = &parsed.certification_request_info;
        let common_name = info.subject.iter_common_name().last().and_then(|name| name.as_str().ok());
        let common_name = common_name.map(ToOwned::to_owned);
        if let Ok(PublicKey::RSA(key)) = info.subject_pki.parsed()
            && key.key_size() < RSA
        {
            return Err(bad(&format!("its RSA key has {} bits: {RSA} or more are needed", key.key_size())));
        }
        // It checks the signature too.
        let request = CertificateSigningRequestParams::from_der(&der).map_err(|error| bad(&error))?;
        Ok(Self { request, common_name, der: der.to_vec() })
    }

    /// The DER it was read from.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The common name of its subject.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }
}

/// A private key of PEM, in DER: PKCS#8, SEC 1 or PKCS#1.
///
/// # Errors
/// [`IssueError::Issuer`]. It says nothing of what was read.
pub fn private_key(text: &str) -> Result<Vec<u8>, IssueError> {
    let read = PrivateKeyDer::from_pem_slice(text.as_bytes());
    let read = read.map_err(|_| {
        IssueError::Issuer("the key must be PEM and not encrypted (-----BEGIN PRIVATE KEY-----)".to_owned())
    })?;
    Ok(read.secret_der().to_vec())
}

/// An authority with its key.
pub struct Issuer {
    own: rcgen::Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Of a certificate in DER and its key in DER (PKCS#8, SEC 1 or PKCS#1).
    ///
    /// # Errors
    /// [`IssueError::Issuer`]: it is no authority's, the key is another's, or of a kind that is not known here.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, IssueError> {
        let bad = |what: &dyn std::fmt::Display| IssueError::Issuer(what.to_string());
        let read = Certificate::from_der(certificate).map_err(|error: CertificateError| bad(&error))?;
        if !read.is_authority() {
            return Err(bad(&"the certificate's basic constraints must say CA"));
        }
        let key = PrivateKeyDer::try_from(key.to_vec()).map_err(|error| bad(&error))?;
        let key = KeyPair::try_from(&key).map_err(|_| bad(&"the key is of a kind that is not known here"))?;
        if key.subject_public_key_info() != read.key() {
            return Err(bad(&"the key is not the certificate's"));
        }
        let own = rcgen::Issuer::from_ca_cert_der(read.der(), key).map_err(|error| bad(&error))?;
        let signs = own.key_usages();
        if !signs.is_empty() && !signs.contains(&KeyUsagePurpose::KeyCertSign) {
            return Err(bad(&"its key is not for signing certificates (key usage)"));
        }
        Ok(Self { own, certificate: read })
    }

    /// Its own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A certificate of that name for the key of the request, in DER. It does not outlive its issuer's.
    ///
    /// # Errors
    /// [`IssueError::Issuer`].
    pub fn issue(
        &self,
        request: &SigningRequest,
        common_name: &str,
        serial: &[u8],
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<u8>, IssueError> {
        let until = until.min(self.certificate.not_after());
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (moment(from)?, moment(until)?);
        let made = params.signed_by(&request.request.public_key, &self.own);
        made.map(|made| made.der().to_vec()).map_err(|error| IssueError::Issuer(error.to_string()))
    }

    /// The revocation list, in PEM: serial numbers as [`Certificate::serial_number`] writes them, and since when.
    ///
    /// # Errors
    /// [`IssueError::Issuer`]: its key is not for signing revocation lists.
    pub fn revocation_list<'s>(
        &self,
        revoked: impl IntoIterator<Item = (&'s str, Timestamp)>,
        number: u64,
        (from, next): (Timestamp, Timestamp),
    ) -> Result<String, IssueError> {
        let revoked = revoked.into_iter().map(|(serial, since)| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&bytes(serial)),
                revocation_time: moment(since)?,
                reason_code: None,
                invalidity_date: None,
            })
        });
        let list = CertificateRevocationListParams {
            this_update: moment(from)?,
            next_update: moment(next)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let failed = |error: rcgen::Error| IssueError::Issuer(error.to_string());
        list.signed_by(&self.own).and_then(|list| list.pem()).map_err(failed)
    }
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, IssueError> {
    OffsetDateTime::from_unix_timestamp(at.as_secs())
        .map_err(|_| IssueError::Issuer("a date is beyond what certificates can say".to_owned()))
}

/// Of upper-case hexadecimal digits; what is none counts as zero.
fn bytes(hex: &str) -> Vec<u8> {
    let digit =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    hex.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |value: u8, byte| value << 4 | digit(*byte)))
        .collect()
}

#[cfg(test)]
mod tests;
