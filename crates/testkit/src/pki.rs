//! Authorities and certificates of a test's own.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// How long before and after its moment a certificate holds.
const SPAN: Duration = Duration::seconds(1000);

/// Signs certificates; root or intermediate.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    moment: OffsetDateTime,
}

/// A certificate with its key, no authority.
#[derive(Debug)]
pub struct Leaf {
    /// DER.
    pub der: Vec<u8>,
    /// Its key.
    pub key: KeyPair,
}

impl Authority {
    /// One that signs itself. What it makes holds from 1,000 seconds before `moment` (Unix seconds) until 1,000 after,
    /// unless `change` says otherwise.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn root(name: &str, moment: i64, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let moment = OffsetDateTime::from_unix_timestamp(moment).expect("a moment");
        let params = authority(name, moment, change);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a root"), moment }
    }

    /// One below this.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn intermediate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = authority(name, self.moment, change);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::signed_by(params, key, self.issuer()).expect("an intermediate");
        Self { issuer, moment: self.moment }
    }

    /// DER of a certificate of this authority for another's key and name.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn cross_sign(&self, other: &Self, name: &str) -> Vec<u8> {
        let params = authority(name, self.moment, |_| {});
        params.signed_by(other.issuer.key(), self.issuer()).expect("a certificate").der().to_vec()
    }

    /// A device's certificate.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn leaf(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let made = params(name, self.moment, change).signed_by(&key, self.issuer()).expect("a leaf");
        Leaf { der: made.der().to_vec(), key }
    }

    /// DER of its own certificate.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Its key, PKCS#8 in DER.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.issuer.key().serialize_der()
    }

    /// The same in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// PEM of its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

/// DER of a certificate signing request for a new key.
///
/// # Panics
/// When no key can be made.
#[must_use]
pub fn signing_request(name: &str) -> Vec<u8> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(&key).expect("a request").der().to_vec()
}

/// Makes parameters those of an authority.
pub fn may_sign(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
}

/// The same, and of one that signs lists of what it revoked.
pub fn may_revoke(params: &mut CertificateParams) {
    may_sign(params);
    params.key_usages.push(KeyUsagePurpose::CrlSign);
}

fn authority(
    name: &str,
    moment: OffsetDateTime,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    params(name, moment, |params| {
        may_sign(params);
        change(params);
    })
}

fn params(
    name: &str,
    moment: OffsetDateTime,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (moment - SPAN, moment + SPAN);
    change(&mut params);
    params
}
