use pollux_testkit::pki::Authority;
use rcgen::{CertificateParams, DnType};

use super::*;
use crate::chain::Chain;

const NOW: i64 = 1_800_000_000;

fn at(offset: i64) -> Timestamp {
    Timestamp::from_secs(NOW + offset)
}

fn issuer(change: impl FnOnce(&mut CertificateParams)) -> (Authority, Issuer) {
    let authority = Authority::root("issuer", NOW, change);
    let issuer = Issuer::new(&authority.der(), &authority.key()).unwrap();
    (authority, issuer)
}

fn request(name: &str) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // A device may ask for much.
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.serialize_request(&key).unwrap().pem().unwrap(), key)
}

#[test]
fn a_request_becomes_a_certificate_of_a_client_and_nothing_more() {
    let (authority, issuer) = issuer(|_| {});
    let (text, key) = request("device-1");
    let read = SigningRequest::from_text(&text).unwrap();
    assert_eq!(read.common_name(), Some("device-1"));
    let der = issuer.issue(&read, "Device-1", &[0x5A; 16], (at(-5), at(500))).unwrap();
    let made = Certificate::from_der(&der).unwrap();
    assert_eq!((made.common_name(), made.is_authority(), made.version()), (Some("Device-1"), false, 3));
    assert_eq!((made.not_before(), made.not_after()), (at(-5), at(500)));
    assert_eq!(made.serial_number(), "5A".repeat(16));
    assert_eq!(made.key(), key.subject_public_key_info());
    let chain = Chain::of(made);
    assert_eq!(chain.below(&Certificate::from_der(&authority.der()).unwrap(), at(0)), Ok(0));
    // Not longer than its issuer.
    let long = issuer.issue(&read, "x", &[1], (at(0), at(9_000_000))).unwrap();
    assert_eq!(Certificate::from_der(&long).unwrap().not_after(), at(1000));
    // As base64 of DER too.
    let der: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    assert_eq!(SigningRequest::from_text(&der).unwrap().common_name(), Some("device-1"));
}

#[test]
fn what_is_no_request_or_whose_key_its_maker_has_not_is_refused() {
    let (text, _) = request("device-1");
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = STANDARD.decode(body).unwrap();
    let end = der.len() - 1;
    der[end] ^= 1;
    let forged = STANDARD.encode(der);
    let long = "A".repeat(40_000);
    for wrong in ["", "MIIB", "-----BEGIN CERTIFICATE REQUEST-----", "no base64!", &*forged, &*long] {
        assert!(matches!(SigningRequest::from_text(wrong), Err(IssueError::Request(_))), "{wrong:.40}");
    }
}

#[test]
fn an_issuer_is_an_authority_with_its_own_key() {
    let (root, _) = issuer(|_| {});
    let other = Authority::root("issuer", NOW, |_| {});
    let leaf = root.leaf("leaf", |_| {});
    let refused =
        |certificate: &[u8], key: &[u8]| matches!(Issuer::new(certificate, key), Err(IssueError::Issuer(_)));
    assert!(refused(&root.der(), &other.key()));
    assert!(refused(&leaf.der, &leaf.key.serialize_der()));
    assert!(refused(&root.der(), b"junk") && refused(b"junk", &root.key()));
    let crl_only = Authority::root("crl", NOW, |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert!(refused(&crl_only.der(), &crl_only.key()));
}

#[test]
fn the_revocation_list_names_what_holds_no_more() {
    let (_, both) = issuer(|params| params.key_usages.push(KeyUsagePurpose::CrlSign));
    let list = both.revocation_list([("0A5B", at(-3)), ("FF", at(-2))], 7, (at(0), at(100))).unwrap();
    let pem = x509_parser::pem::parse_x509_pem(list.as_bytes()).unwrap().1;
    let (_, parsed) =
        x509_parser::revocation_list::CertificateRevocationList::from_der(&pem.contents).unwrap();
    let serials: Vec<_> = parsed.iter_revoked_certificates().map(|one| one.raw_serial_as_string()).collect();
    assert_eq!(serials, ["0a:5b", "00:ff"]);
    let (_, signs_none) = issuer(|_| {});
    assert!(signs_none.revocation_list([], 1, (at(0), at(1))).is_err());
}
