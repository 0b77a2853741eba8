//! Who is at the other end of a connection: an address, and the certificate it showed.
//!
//! Certificates are asked for in every handshake, required of nobody, and believed by no one here.
//!
//! Whom a certificate makes is for the services to say: the roots that count belong to enrollments, and a self-signed one
//! is known by its thumbprint. The handshake shows one thing only: that the client has the key.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use pollux_x509::{Certificate, Chain, ChainError};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

/// Takes any certificate, or none.
pub(crate) struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClient {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { algorithms: aws_lc_rs::default_provider().signature_verification_algorithms })
    }
}

impl fmt::Debug for AnyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyClient").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client shows what it has, whoever signed it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls12_signature(message, leaf, signed, &self.algorithms);
        let Some(certificate) = verified.is_err().then(|| first_version(leaf)).flatten() else {
            return verified;
        };
        let mut known = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        if known.any(|(_, algorithms)| certificate.signed(algorithms, message, signed.signature())) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verified
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls13_signature(message, leaf, signed, &self.algorithms);
        let Some(certificate) = verified.is_err().then(|| first_version(leaf)).flatten() else {
            return verified;
        };
        verify_tls13_signature_with_raw_key(message, &certificate.public_key(), signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate, if it is of version 1: those webpki does not read, and OpenSSL before 3.2 makes them.
fn first_version(leaf: &CertificateDer<'_>) -> Option<Certificate> {
    Certificate::from_der(leaf).ok().filter(|certificate| certificate.version() == 1)
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// What it showed when the connection began; shared by all that comes over it.
    shown: Option<Arc<Shown>>,
    /// The host name that it asked for in the handshake.
    pub(crate) server_name: Option<Arc<str>>,
}

/// Certificates, the peer's own first, and what they are once somebody has asked.
#[derive(Debug)]
struct Shown {
    certificates: Vec<CertificateDer<'static>>,
    read: OnceLock<Result<Chain, ChainError>>,
}

impl Peer {
    /// Of a connection whose handshake is done.
    pub(crate) fn of(address: SocketAddr, connection: &rustls::ServerConnection) -> Self {
        let certificates = connection.peer_certificates().filter(|shown| !shown.is_empty());
        let shown = certificates.map(|shown| Shown {
            certificates: shown.iter().map(|one| one.clone().into_owned()).collect(),
            read: OnceLock::new(),
        });
        let server_name = connection.server_name().map(Arc::from);
        Self { address, shown: shown.map(Arc::new), server_name }
    }

    /// One that showed these, its own first.
    #[cfg(test)]
    pub(crate) fn showing(address: SocketAddr, certificates: Vec<Vec<u8>>) -> Self {
        let certificates = certificates.into_iter().map(CertificateDer::from).collect();
        let shown = Some(Arc::new(Shown { certificates, read: OnceLock::new() }));
        Self { address, shown, server_name: None }
    }

    /// Whether it showed anything.
    pub(crate) const fn shows(&self) -> bool {
        self.shown.is_some()
    }

    /// What it showed, if it showed anything.
    pub(crate) fn chain(&self) -> Option<&Result<Chain, ChainError>> {
        let shown = self.shown.as_ref()?;
        Some(shown.read.get_or_init(|| Chain::read(shown.certificates.iter().map(AsRef::as_ref))))
    }
}

impl fmt::Display for Peer {
    /// Its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl From<SocketAddr> for Peer {
    /// One that shows nothing.
    fn from(address: SocketAddr) -> Self {
        Self { address, shown: None, server_name: None }
    }
}
