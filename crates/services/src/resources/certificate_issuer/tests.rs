use pollux_testkit::pki::Authority;

use super::*;
use crate::fixture::World;

const NOW: i64 = 1_700_000_000;

fn input(chain: String, authority: &Authority, days: u32) -> CertificateIssuerInput {
    CertificateIssuerInput { chain, key: PrivateKey::new(authority.key()), days }
}

#[tokio::test]
async fn an_issuer_is_an_authority_with_its_own_key_that_holds_now() {
    let world = World::new().await;
    let (resources, admin, dps) =
        (&world.services.resources, Caller::admin(), ResourceName::parse("dps1").unwrap());
    let root = Authority::root("root", NOW, |_| {});
    let (line, other) = (root.intermediate("line", |_| {}), Authority::root("other", NOW, |_| {}));
    let leaf = pollux_x509::pem(&root.leaf("leaf", |_| {}).der);
    let past = Authority::root("past", NOW - 10_000, |_| {});
    for wrong in [
        input(root.pem(), &other, 90),
        input(leaf, &root, 90),
        input("junk".to_owned(), &root, 90),
        input(past.pem(), &past, 90),
        input(root.pem(), &root, 0),
        input(root.pem(), &root, 3651),
    ] {
        let refused = resources.put_certificate_issuer(&admin, &dps, wrong).await;
        assert_eq!(refused.map(|_| ()).unwrap_err().code, ErrorCode::InvalidArgument);
    }
    let missing = |result: Result<CertificateIssuer>| {
        assert_eq!(result.map(|_| ()).unwrap_err().code, ErrorCode::ResourceNotFound);
    };
    missing(resources.certificate_issuer(&admin, &dps));
    let chain = line.pem() + &root.pem();
    let made = resources.put_certificate_issuer(&admin, &dps, input(chain, &line, 30)).await.unwrap();
    assert_eq!(made.chain, [Der(line.der()), Der(root.der())]);
    assert!(!format!("{made:?}").contains(&format!("{:?}", line.key())), "the key is not shown");
    assert_eq!(resources.certificate_issuer(&admin, &dps).unwrap(), made);
    resources.delete_certificate_issuer(&admin, &dps).await.unwrap();
    missing(resources.certificate_issuer(&admin, &dps));
    let again = resources.delete_certificate_issuer(&admin, &dps).await;
    assert_eq!(again.unwrap_err().code, ErrorCode::ResourceNotFound);
}
