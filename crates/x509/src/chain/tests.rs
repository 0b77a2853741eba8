use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::*;

const NOW: i64 = 1_800_000_000;

fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from_unix_timestamp(NOW - 1000).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(NOW + 1000).unwrap();
    change(&mut params);
    params
}

fn authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
}

struct Signer(CertifiedIssuer<'static, KeyPair>);

impl Signer {
    fn root(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = params(name, |params| {
            authority(params);
            change(params);
        });
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = params(name, |params| {
            authority(params);
            change(params);
        });
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), self.issuer()).unwrap())
    }

    fn leaf(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        params(name, change).signed_by(&key, self.issuer()).unwrap().der().to_vec()
    }

    fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.0
    }

    fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.der()).unwrap()
    }
}

fn below(shown: &[Vec<u8>], authority: &Signer) -> Result<usize, Refusal> {
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    chain.below(&authority.certificate(), Timestamp::from_secs(NOW))
}

#[test]
fn the_distance_to_every_authority_on_the_way() {
    let root = Signer::root("root", |_| {});
    let middle = root.issue("middle", |_| {});
    let low = middle.issue("low", |_| {});
    let leaf = low.leaf("device-1", |_| {});
    let shown = [leaf, low.der(), middle.der(), root.der()];
    assert_eq!(below(&shown, &low).unwrap(), 0);
    assert_eq!(below(&shown, &middle).unwrap(), 1);
    assert_eq!(below(&shown, &root).unwrap(), 2);
    // In any order, and without what is not needed.
    assert_eq!(below(&[shown[0].clone(), shown[2].clone(), shown[1].clone()], &root).unwrap(), 2);
    assert_eq!(below(&shown[..1], &low).unwrap(), 0);
    assert!(matches!(below(&shown[..1], &root), Err(Refusal::Path(_))), "the middle is missing");
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(chain.leaf().common_name(), Some("device-1"));
}

#[test]
fn what_breaks_a_rule_leads_nowhere() {
    let root = Signer::root("root", |_| {});
    let now = |params: &mut CertificateParams, from: i64, to: i64| {
        params.not_before = OffsetDateTime::from_unix_timestamp(NOW + from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(NOW + to).unwrap();
    };
    let refused = |shown: &[Vec<u8>], authority: &Signer| below(shown, authority).unwrap_err();
    for (from, to) in [(-20, -1), (1, 20)] {
        let late = root.leaf("late", |params| now(params, from, to));
        assert!(matches!(refused(&[late], &root), Refusal::Dates { .. }));
        let middle = root.issue("middle", |params| now(params, from, to));
        let leaf = middle.leaf("leaf", |_| {});
        assert!(matches!(refused(&[leaf.clone(), middle.der()], &root), Refusal::Path(_)));
        assert!(matches!(refused(&[leaf], &middle), Refusal::Dates { .. }), "whom we trust must hold too");
    }
    // Another authority of the same name.
    let other = Signer::root("root", |_| {});
    assert!(matches!(refused(&[root.leaf("x", |_| {})], &other), Refusal::Path(_)));
    // One that is no authority, one whose path may not be so long, one whose key is for something else.
    let none = root.issue("none", |params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages.clear();
    });
    assert!(matches!(refused(&[none.leaf("x", |_| {}), none.der()], &root), Refusal::Path(_)));
    let short = root.issue("short", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let below_short = short.issue("below", |_| {});
    let shown = [below_short.leaf("x", |_| {}), below_short.der(), short.der()];
    assert!(matches!(refused(&shown, &root), Refusal::Path(_)));
    let sealed = root.issue("sealed", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert!(matches!(refused(&[sealed.leaf("x", |_| {}), sealed.der()], &root), Refusal::Path(_)));
    assert!(matches!(refused(&[sealed.leaf("x", |_| {})], &sealed), Refusal::Path(_)));
    // A leaf for servers alone, an authority as a leaf, a critical extension that nobody knows.
    let server =
        root.leaf("x", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(refused(&[server], &root), Refusal::Path(_)));
    assert!(matches!(refused(&[root.leaf("x", authority)], &root), Refusal::Path(_)));
    let strange = root.leaf("x", |params| {
        let mut extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    });
    assert!(matches!(refused(&[strange], &root), Refusal::Path(_)));
}

#[test]
fn an_enrolled_leaf_is_itself_alone() {
    let root = Signer::root("root", |_| {});
    let (one, other) = (root.leaf("one", |_| {}), root.leaf("one", |_| {}));
    let chain = Chain::read([one.as_slice()]).unwrap();
    let now = Timestamp::from_secs(NOW);
    assert_eq!(chain.is(&Certificate::from_der(&one).unwrap(), now), Ok(()));
    assert!(chain.is(&Certificate::from_der(&other).unwrap(), now).is_err());
    let later = Timestamp::from_secs(NOW + 1001);
    assert!(matches!(chain.is(&Certificate::from_der(&one).unwrap(), later), Err(Refusal::Dates { .. })));
}

#[test]
fn what_is_shown_is_bounded() {
    let root = Signer::root("root", |_| {});
    let shown: Vec<Vec<u8>> = (0..50).map(|_| root.der()).collect();
    let read = |shown: &[Vec<u8>]| Chain::read(shown.iter().map(Vec::as_slice));
    assert_eq!(read(&shown).unwrap_err(), ChainError::TooLong(11));
    assert_eq!(read(&[]).unwrap_err(), ChainError::Empty);
    let long = vec![0x30; 20_000];
    let error = read(&[root.der(), long]).unwrap_err();
    assert_eq!(error, ChainError::Certificate { at: 2, error: CertificateError::TooLarge(20_000) });
    assert!(matches!(read(&[b"junk".to_vec()]), Err(ChainError::Certificate { at: 1, .. })));
}

#[test]
fn certificates_are_read_in_every_form_clients_write() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let root = Signer::root("Contoso, Inc.", |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Contoso");
    });
    let pem = root.0.pem();
    let der = STANDARD.encode(root.der());
    for text in [pem.clone(), STANDARD.encode(&pem), der.clone(), format!("{}\n{}", &der[..64], &der[64..])] {
        assert_eq!(Certificate::from_text(&text).unwrap(), root.certificate());
    }
    for wrong in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx", "MIIB"] {
        assert!(Certificate::from_text(wrong).is_err(), "{wrong}");
    }
    let root = root.certificate();
    assert_eq!((root.common_name(), root.version(), root.is_authority()), (Some("Contoso, Inc."), 3, true));
    assert_eq!((root.sha1_thumbprint().len(), root.sha256_thumbprint().len()), (40, 64));
    assert_eq!(root.not_after(), Timestamp::from_secs(NOW + 1000));
}
