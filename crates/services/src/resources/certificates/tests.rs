use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_testkit::pki::{Authority, Leaf};

use super::*;
use crate::fixture::World;

const NOW: i64 = 1_700_000_000;

const fn dps(name: &ResourceName) -> CertificateHolder<'_> {
    CertificateHolder { kind: ResourceKind::Dps, name }
}

fn text(leaf: &Leaf) -> String {
    STANDARD.encode(&leaf.der)
}

async fn put(world: &World, name: &str, text: &str, expect: Expect) -> Result<CaCertificate> {
    let of = ResourceName::parse("dps1")?;
    world.services.resources.put_certificate(&Caller::admin(), dps(&of), name, text, false, expect).await
}

#[tokio::test]
async fn possession_is_proved_by_a_certificate_that_bears_the_code() {
    let world = World::new().await;
    let (resources, admin, name) =
        (&world.services.resources, Caller::admin(), ResourceName::parse("dps1").unwrap());
    let dps = dps(&name);
    let (root, other) = (Authority::root("root", NOW, |_| {}), Authority::root("root", NOW, |_| {}));
    assert!(!put(&world, "Factory", &root.pem(), Expect::Any).await.unwrap().verified);
    let verify = async |text: String| {
        resources
            .verify_certificate(&admin, dps, "factory", &text, Expect::Any)
            .await
            .map_err(|error| error.code)
    };
    let refused = Err(ErrorCode::InvalidArgument);
    assert_eq!(verify(text(&root.leaf("no code yet", |_| {}))).await, refused);
    let code = async || {
        let made = resources.make_verification_code(&admin, dps, "FACTORY", Expect::Any).await.unwrap();
        made.verification_code.unwrap()
    };
    let (old, code) = (code().await, code().await);
    assert_eq!((code.len(), old == code), (48, false));
    assert_eq!(verify(text(&root.leaf(&old, |_| {}))).await, refused, "the code before proves nothing");
    assert_eq!(verify(text(&other.leaf(&code, |_| {}))).await, refused, "signed by another of that name");
    assert_eq!(verify("junk".to_owned()).await, refused);
    let verified = verify(text(&root.leaf(&code, |_| {}))).await.unwrap();
    assert_eq!((verified.verified, verified.verification_code), (true, None));
    // The same certificate again stays believed, another in its place does not.
    assert!(put(&world, "factory", &root.pem(), Expect::Any).await.unwrap().verified);
    let replaced = put(&world, "factory", &other.pem(), Expect::Any).await.unwrap();
    assert_eq!((replaced.verified, &*replaced.name), (false, "Factory"));
}

#[tokio::test]
async fn certificates_are_bounded_in_number_and_kind_and_guarded_by_etags() {
    let world = World::new().await;
    let (resources, admin, name) =
        (&world.services.resources, Caller::admin(), ResourceName::parse("dps1").unwrap());
    let dps = dps(&name);
    let root = Authority::root("root", NOW, |_| {});
    let code = |result: Result<CaCertificate>| result.map(|_| ()).map_err(|error| error.code);
    let invalid = Err(ErrorCode::InvalidArgument);
    for name in ["", "a b", &"x".repeat(65)] {
        assert_eq!(code(put(&world, name, &root.pem(), Expect::Any).await), invalid, "{name}");
    }
    assert_eq!(code(put(&world, "leaf", &text(&root.leaf("x", |_| {})), Expect::Any).await), invalid);
    assert_eq!(code(put(&world, "junk", "-----BEGIN CERTIFICATE-----", Expect::Any).await), invalid);
    let failed = Err(ErrorCode::PreconditionFailed);
    let one = put(&world, "one", &root.pem(), Expect::Any).await.unwrap();
    let next = put(&world, "one", &root.pem(), Expect::Etag(one.etag.clone())).await.unwrap();
    assert_eq!(code(put(&world, "one", &root.pem(), Expect::Etag(one.etag.clone())).await), failed);
    assert_eq!(code(put(&world, "new", &root.pem(), Expect::Etag(one.etag)).await), failed);
    for at in 1..world.services.context.limits.ca_certificates {
        put(&world, &format!("c{at}"), &root.pem(), Expect::Any).await.unwrap();
    }
    assert_eq!(code(put(&world, "many", &root.pem(), Expect::Any).await), Err(ErrorCode::QuotaExceeded));
    resources.delete_certificate(&admin, dps, "ONE", Expect::Etag(next.etag)).await.unwrap();
    let gone = resources.delete_certificate(&admin, dps, "one", Expect::Any).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::ResourceNotFound);
    assert_eq!(code(resources.certificate(&admin, dps, "one")), Err(ErrorCode::ResourceNotFound));
}

#[tokio::test]
async fn a_hub_has_certificates_too_and_nothing_else_has() {
    let world = World::new().await;
    let (resources, admin, root) =
        (&world.services.resources, Caller::admin(), Authority::root("root", NOW, |_| {}));
    let put = async |kind: ResourceKind, name: &str| {
        let name = ResourceName::parse(name).unwrap();
        let of = CertificateHolder { kind, name: &name };
        let made = resources.put_certificate(&admin, of, "one", &root.pem(), true, Expect::Any).await;
        made.map(|one| one.verified).map_err(|error| error.code)
    };
    assert_eq!(put(ResourceKind::Hub, "hub1").await, Ok(true));
    assert_eq!(put(ResourceKind::Twins, "twins1").await, Err(ErrorCode::InvalidArgument));
    assert_eq!(put(ResourceKind::Hub, "hub9").await, Err(ErrorCode::ResourceNotFound));
}
