use pollux_testkit::pki::{Authority, may_sign};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use time::OffsetDateTime;

use super::*;

const NOW: i64 = 1_800_000_000;

fn root(name: &str) -> Authority {
    Authority::root(name, NOW, |_| {})
}

fn certificate(authority: &Authority) -> Certificate {
    Certificate::from_der(&authority.der()).unwrap()
}

fn leaf_of(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    authority.leaf(name, change).der
}

fn below(shown: &[Vec<u8>], authority: &Authority) -> Result<usize, Refusal> {
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    chain.below(&certificate(authority), Timestamp::from_secs(NOW))
}

#[test]
fn the_distance_to_every_authority_on_the_way() {
    let root = root("root");
    let middle = root.intermediate("middle", |_| {});
    let low = middle.intermediate("low", |_| {});
    let leaf = leaf_of(&low, "device-1", |_| {});
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
    let root = root("root");
    let now = |params: &mut CertificateParams, from: i64, to: i64| {
        params.not_before = OffsetDateTime::from_unix_timestamp(NOW + from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(NOW + to).unwrap();
    };
    let refused = |shown: &[Vec<u8>], authority: &Authority| below(shown, authority).unwrap_err();
    for (from, to) in [(-20, -1), (1, 20)] {
        let late = leaf_of(&root, "late", |params| now(params, from, to));
        assert!(matches!(refused(&[late], &root), Refusal::Dates { .. }));
        let middle = root.intermediate("middle", |params| now(params, from, to));
        let leaf = leaf_of(&middle, "leaf", |_| {});
        assert!(matches!(refused(&[leaf.clone(), middle.der()], &root), Refusal::Path(_)));
        assert!(matches!(refused(&[leaf], &middle), Refusal::Dates { .. }), "whom we trust must hold too");
    }
    // Another authority of the same name.
    let other = self::root("root");
    assert!(matches!(refused(&[leaf_of(&root, "x", |_| {})], &other), Refusal::Path(_)));
    // One that is no authority, one whose path may not be so long, one whose key is for something else.
    let none = root.intermediate("none", |params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages.clear();
    });
    assert!(matches!(refused(&[leaf_of(&none, "x", |_| {}), none.der()], &root), Refusal::Path(_)));
    let short =
        root.intermediate("short", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let below_short = short.intermediate("below", |_| {});
    let shown = [leaf_of(&below_short, "x", |_| {}), below_short.der(), short.der()];
    assert!(matches!(refused(&shown, &root), Refusal::Path(_)));
    // So too where that one is enrolled itself.
    assert!(matches!(refused(&shown[..2], &short), Refusal::Path(_)));
    assert_eq!(below(&[leaf_of(&short, "x", |_| {})], &short), Ok(0));
    let sealed = root.intermediate("sealed", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert!(matches!(refused(&[leaf_of(&sealed, "x", |_| {}), sealed.der()], &root), Refusal::Path(_)));
    assert!(matches!(refused(&[leaf_of(&sealed, "x", |_| {})], &sealed), Refusal::Path(_)));
    // A leaf for servers alone, an authority as a leaf, a critical extension that nobody knows.
    let server =
        leaf_of(&root, "x", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(refused(&[server], &root), Refusal::Path(_)));
    assert!(matches!(refused(&[leaf_of(&root, "x", may_sign)], &root), Refusal::Path(_)));
    let strange = leaf_of(&root, "x", |params| {
        let mut extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    });
    assert!(matches!(refused(&[strange], &root), Refusal::Path(_)));
}

#[test]
fn an_enrolled_leaf_is_itself_alone() {
    let root = root("root");
    let (one, other) = (leaf_of(&root, "one", |_| {}), leaf_of(&root, "one", |_| {}));
    let chain = Chain::read([one.as_slice()]).unwrap();
    let now = Timestamp::from_secs(NOW);
    assert_eq!(chain.is(&Certificate::from_der(&one).unwrap(), now), Ok(()));
    assert!(chain.is(&Certificate::from_der(&other).unwrap(), now).is_err());
    let later = Timestamp::from_secs(NOW + 1001);
    assert!(matches!(chain.is(&Certificate::from_der(&one).unwrap(), later), Err(Refusal::Dates { .. })));
}

#[test]
fn what_is_shown_is_bounded() {
    let root = root("root");
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
    let root = Authority::root("Contoso, Inc.", NOW, |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Contoso");
    });
    let pem = root.pem();
    let der = STANDARD.encode(root.der());
    for text in [pem.clone(), STANDARD.encode(&pem), der.clone(), format!("{}\n{}", &der[..64], &der[64..])] {
        assert_eq!(Certificate::from_text(&text).unwrap(), certificate(&root));
    }
    for wrong in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx", "MIIB"] {
        assert!(Certificate::from_text(wrong).is_err(), "{wrong}");
    }
    let root = certificate(&root);
    assert_eq!((root.common_name(), root.version(), root.is_authority()), (Some("Contoso, Inc."), 3, true));
    assert_eq!((root.sha1_thumbprint().len(), root.sha256_thumbprint().len()), (40, 64));
    assert_eq!(root.not_after(), Timestamp::from_secs(NOW + 1000));
}

/// Made by OpenSSL 3.0: `openssl req -x509` and `openssl x509 -req` without extensions.
#[test]
fn a_leaf_of_version_one_is_below_who_signed_it_and_nobody_else() {
    let read = |text: &str| Certificate::from_text(text).unwrap();
    let (root, leaf) =
        (read(include_str!("fixtures/root.pem")), read(include_str!("fixtures/version-one.pem")));
    assert_eq!((leaf.version(), leaf.common_name()), (1, Some("plain")));
    let now = Timestamp::from_secs(NOW);
    let chain = Chain::of(leaf);
    assert_eq!(chain.below(&root, now), Ok(0));
    let namesake = certificate(&self::root("root"));
    assert!(matches!(chain.below(&namesake, now), Err(Refusal::Path(_))));
    assert!(matches!(chain.below(&root, Timestamp::from_secs(0)), Err(Refusal::Dates { .. })));
}

#[test]
fn of_many_that_bear_one_name_those_count_that_signed() {
    let root = root("root");
    let low = root.intermediate("ca", |_| {});
    let leaf = leaf_of(&low, "device-1", |_| {});
    // Each could be above each, and above the leaf, by its name.
    let strangers: Vec<_> = (0..7).map(|_| Authority::root("ca", NOW, |_| {}).der()).collect();
    let shown: Vec<_> = [leaf.clone()].into_iter().chain(strangers).chain([low.der(), low.der()]).collect();
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(chain.others, [low.der().into()]);
    assert_eq!(chain.below(&certificate(&root), Timestamp::from_secs(NOW)), Ok(1));
    // Of different names all are kept, in any order, each once.
    let shown = [leaf, root.der(), low.der(), root.der()];
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(chain.others, [root.der().into(), low.der().into()]);
}

/// The same subject and key certified by two: either way up is found.
#[test]
fn a_cross_signed_authority_leads_both_ways() {
    let (one, other) = (root("one"), root("other"));
    let shared = one.intermediate("shared", |_| {});
    let crossed = other.cross_sign(&shared, "shared");
    let shown = [leaf_of(&shared, "device-1", |_| {}), shared.der(), crossed];
    assert_eq!(below(&shown, &one).unwrap(), 1);
    assert_eq!(below(&shown, &other).unwrap(), 1);
}

/// RFC 9155 for signatures of TLS; of certificates nobody takes them either. The root, the leaf's name and its key are the same.
#[test]
fn what_was_signed_with_sha_1_leads_nowhere() {
    let read = |text| Certificate::from_text(text).unwrap();
    let root = read(include_str!("fixtures/sha1-root.pem"));
    let (old, new) = (include_str!("fixtures/sha1-leaf.pem"), include_str!("fixtures/sha256-leaf.pem"));
    let now = Timestamp::from_secs(NOW);
    assert_eq!(Chain::of(read(new)).below(&root, now), Ok(0));
    assert!(matches!(Chain::of(read(old)).below(&root, now), Err(Refusal::Path(_))));
    assert!(!read(old).is_signed_by(&root));
}

#[test]
fn a_signature_is_checked_whatever_parameters_its_algorithm_has() {
    let root = Certificate::from_text(include_str!("fixtures/pss-root.pem")).unwrap();
    let leaf = Certificate::from_text(include_str!("fixtures/pss-leaf.pem")).unwrap();
    assert!(leaf.is_signed_by(&root) && root.is_signed_by(&root) && !root.is_signed_by(&leaf));
}
