//! An authority of a benchmark's own, whose devices' certificates are made while it runs.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// Signs certificates with ECDSA on P-256, which is what devices are advised to have.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A root.
    pub(crate) fn new() -> Result<Self> {
        Self::with(KeyPair::generate()?)
    }

    /// The same root in another process: of this key, PKCS#8 in PEM.
    pub(crate) fn of(key: &str) -> Result<Self> {
        Self::with(KeyPair::from_pem(key)?)
    }

    fn with(key: KeyPair) -> Result<Self> {
        let mut params = named("bench root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, key)?))
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its key, for [`Authority::of`].
    pub(crate) fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// A device's certificate and key, in PEM.
    pub(crate) fn leaf(&self, name: &str) -> Result<(String, String)> {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?.pem(), key.serialize_pem()))
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
