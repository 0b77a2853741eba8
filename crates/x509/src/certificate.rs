//! One certificate.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};
use x509_parser::x509::X509Name;

/// Most bytes of one certificate; those of devices have a few hundred.
const LARGEST: usize = 16 * 1024;
/// Characters of a line of PEM (RFC 7468).
const LINE: usize = 64;

/// A certificate, and what attestation asks of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: String,
    issuer: String,
    common_name: Option<String>,
    serial_number: String,
    version: u32,
    not_before: Timestamp,
    not_after: Timestamp,
    authority: bool,
    key: Vec<u8>,
    raw_subject: Vec<u8>,
}

/// Why something is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is longer than any that is taken.
    #[error("a certificate may have {LARGEST} bytes, this one has {0}")]
    TooLarge(usize),
    /// It does not parse.
    #[error("it is no X.509 certificate: {0}")]
    Malformed(String),
    /// There is text, but neither PEM nor base64 of DER.
    #[error("a certificate is written as PEM (-----BEGIN CERTIFICATE-----) or as base64 of DER")]
    NoText,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > LARGEST {
            return Err(CertificateError::TooLarge(der.len()));
        }
        let malformed = |error: &dyn fmt::Display| CertificateError::Malformed(error.to_string());
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&"bytes follow it"));
        }
        let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp());
        let authority = parsed.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
        Ok(Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            common_name: common_name(parsed.subject()),
            serial_number: hex(parsed.raw_serial()),
            version: match parsed.version() {
                X509Version(number) => number + 1,
            },
            not_before: moment(parsed.validity().not_before),
            not_after: moment(parsed.validity().not_after),
            authority,
            key: parsed.public_key().raw.to_vec(),
            raw_subject: parsed.subject().as_raw().to_vec(),
            der: der.to_vec().into(),
        })
    }

    /// Reads what service clients send: PEM, base64 of PEM, or base64 of DER (the SDKs send all three).
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_text(text: &str) -> Result<Self, CertificateError> {
        if text.len() > 4 * LARGEST {
            return Err(CertificateError::TooLarge(text.len()));
        }
        if text.contains("-----BEGIN") {
            return Self::from_pem(text.as_bytes());
        }
        let packed: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        let bytes = STANDARD.decode(packed).map_err(|_| CertificateError::NoText)?;
        if bytes.starts_with(b"-----BEGIN") {
            return Self::from_pem(&bytes);
        }
        Self::from_der(&bytes)
    }

    fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| CertificateError::NoText)?;
        Self::from_der(&der)
    }

    /// The DER it was read from.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject as text: `CN=device-1, O=Contoso`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer as text.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The common name of its subject: the last, where there are several.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The serial number in upper-case hexadecimal digits.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// 1 or 3.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// From when it holds.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it holds, that second included.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it says that it may sign others.
    #[must_use]
    pub const fn is_authority(&self) -> bool {
        self.authority
    }

    /// DER of its `SubjectPublicKeyInfo`.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// DER of its subject.
    pub(crate) fn raw_subject(&self) -> &[u8] {
        &self.raw_subject
    }

    /// SHA-1 of the DER in upper-case hexadecimal digits: how Azure names certificates. Names, protects nothing.
    #[must_use]
    pub fn sha1_thumbprint(&self) -> String {
        hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref())
    }

    /// SHA-256 of the DER in upper-case hexadecimal digits.
    #[must_use]
    pub fn sha256_thumbprint(&self) -> String {
        hex(digest::digest(&digest::SHA256, &self.der).as_ref())
    }
}

/// DER of a certificate as PEM.
#[must_use]
pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = behind;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha1 = self.sha1_thumbprint();
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("sha1", &sha1)
            .finish_non_exhaustive()
    }
}

fn name(name: &X509Name<'_>) -> String {
    name.to_string()
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().last().and_then(|found| found.as_str().ok()).map(ToOwned::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}
