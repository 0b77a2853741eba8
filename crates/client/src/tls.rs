//! TLS settings of a client: which certificates it trusts, and its own certificate if it has one.
//!
//! The provider (aws-lc-rs) is named outright: nothing depends on a default of the process. Sessions are not resumed:
//! thousands of simulated devices share one configuration, and each shall shake hands like the stranger it plays.

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a PEM text.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text of the trusted certificates.
    #[error("the CA text holds no usable certificate: {0}")]
    Ca(String),
    /// The client's own certificate or key.
    #[error("the client certificate or its key is not usable: {0}")]
    Identity(String),
}

/// Settings that trust the certificates in `ca_pem` (one or more) and nothing else.
///
/// # Errors
/// [`TlsError::Ca`].
pub fn client_config(ca_pem: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = builder()?.with_root_certificates(roots(ca_pem)?).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Like [`client_config`], with a certificate chain (the client's own first) and its private key to show to the server.
///
/// # Errors
/// [`TlsError::Ca`], [`TlsError::Identity`].
pub fn client_config_with_identity(
    ca_pem: &str,
    chain_pem: &str,
    key_pem: &str,
) -> Result<Arc<ClientConfig>, TlsError> {
    let identity = |error: &dyn std::fmt::Display| TlsError::Identity(error.to_string());
    let chain = certificates(chain_pem).map_err(|error| identity(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| identity(&error))?;
    let trusting = builder()?.with_root_certificates(roots(ca_pem)?);
    let mut config = trusting.with_client_auth_cert(chain, key).map_err(|error| identity(&error))?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Settings that trust the system's certificates and some more; made when first needed, for the system's take a while to
/// read.
#[derive(Debug, Default)]
pub struct SystemTrust {
    more: Vec<CertificateDer<'static>>,
    made: OnceLock<Arc<ClientConfig>>,
}

impl SystemTrust {
    /// The system's and these.
    #[must_use]
    pub const fn and(more: Vec<CertificateDer<'static>>) -> Self {
        Self { more, made: OnceLock::new() }
    }

    /// The settings.
    ///
    /// # Errors
    /// [`TlsError::Ca`] when one of those beside the system's is unusable.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.made.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        // What of the system's cannot be read trusts nobody; that is not for this connection to tell.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in &self.more {
            roots.add(certificate.clone()).map_err(|error| TlsError::Ca(error.to_string()))?;
        }
        let config = Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth());
        Ok(Arc::clone(self.made.get_or_init(|| config)))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Ca(error.to_string()))
}

fn roots(ca_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem).map_err(TlsError::Ca)? {
        roots.add(certificate).map_err(|error| TlsError::Ca(error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no '-----BEGIN CERTIFICATE-----' in it".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// For clients that speak no TLS but must be given a configuration.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, TlsError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}
