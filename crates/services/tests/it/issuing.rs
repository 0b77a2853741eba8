//! Certificates made of devices' requests: issued, renewed, revoked.

use std::sync::Arc;
use std::time::Duration;

use pollux_model::device::Authentication;
use pollux_model::enrollment::ReprovisionPolicy;
use pollux_model::registration::{Registration, RegistrationStatus};
use pollux_model::resource::PrivateKey;
use pollux_model::{DeviceAddress, ErrorCode, ResourceName};
use pollux_services::provisioning::{
    AttestationInput, AuditAction, AuditQuery, CertificateKind, ExplainRequest, RegisterRequest, Verdict,
};
use pollux_services::resources::CertificateIssuerInput;
use pollux_testkit::pki::{Authority, may_revoke, signing_request};
use pollux_x509::{Certificate, Chain};

use crate::audits::audited;
use crate::hub::Link;
use crate::world::World;

const NOW: i64 = 1_700_000_000;

async fn issuer(world: &World) -> Authority {
    let authority = Authority::root("issuer", NOW, may_revoke);
    let input =
        CertificateIssuerInput { chain: authority.pem(), key: PrivateKey::new(authority.key()), days: 30 };
    let dps = ResourceName::parse("dps1").unwrap();
    world.services.resources.put_certificate_issuer(&world.admin, &dps, input).await.unwrap();
    authority
}

fn asking(name: &str) -> RegisterRequest {
    RegisterRequest { signing_request: Some(signing_request(name)), ..RegisterRequest::default() }
}

/// The chain that was made at last.
fn newest(record: &Registration) -> Chain {
    Chain::read(record.issued[0].chain.iter().map(|der| der.0.as_slice())).unwrap()
}

async fn believed(world: &World, id: &str, chain: &Chain) -> Result<(), ErrorCode> {
    let id = DeviceAddress::parse(id).unwrap();
    let found = world.services.hub.authenticate_device_by_certificate(&world.hub(), &id, chain).await;
    found.map(|_| ()).map_err(|error| error.code)
}

#[tokio::test]
async fn a_device_is_issued_what_its_hub_knows_it_by_and_may_renew_it() {
    let world = World::new().await;
    world.start();
    let group = world.group("line", |_| {}).await;
    let caller = world.attested("Dev", &group).await;
    let register = async |request| {
        let (provisioning, dps) = (&world.services.provisioning, world.dps());
        provisioning.register(&caller, &dps, request).await.map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(register(asking("dev")).await, Err(ErrorCode::InvalidArgument), "nobody issues any");
    let authority = issuer(&world).await;
    assert_eq!(register(asking("other")).await, Err(ErrorCode::InvalidArgument));
    let junk = RegisterRequest { signing_request: Some(vec![1, 2, 3]), ..RegisterRequest::default() };
    assert_eq!(register(junk).await, Err(ErrorCode::InvalidArgument));
    let record = world.register_as(&caller, "Dev", asking("dev")).await;
    assert_eq!(record.status, RegistrationStatus::Assigned, "{:?}", record.failure);
    let first = newest(&record);
    assert_eq!(first.leaf().common_name(), Some("Dev"));
    assert_eq!(first.below(&Certificate::from_der(&authority.der()).unwrap(), world.tick()), Ok(0));
    believed(&world, "Dev", &first).await.unwrap();
    // Whoever comes back without a request keeps what he has.
    let record = world.register(&caller, "Dev", None).await;
    assert_eq!(record.issued.len(), 1);
    believed(&world, "Dev", &first).await.unwrap();
    let second = newest(&world.register_as(&caller, "Dev", asking("dev")).await);
    believed(&world, "Dev", &first).await.unwrap();
    believed(&world, "Dev", &second).await.unwrap();
    let third = newest(&world.register_as(&caller, "Dev", asking("dev")).await);
    assert_eq!(believed(&world, "Dev", &first).await, Err(ErrorCode::Unauthorized));
    believed(&world, "Dev", &second).await.unwrap();
    believed(&world, "Dev", &third).await.unwrap();
    let asked = AuditQuery { registration_id: Some("dev".into()), ..AuditQuery::default() };
    let records = audited(&world, asked, AuditAction::CertificateIssued).await;
    assert!(records.iter().any(|one| one.detail.as_deref().is_some_and(|text| text.contains("serial"))));
    world.stop().await;
}

#[tokio::test]
async fn a_device_that_stays_where_it_is_gets_its_certificate_too() {
    let world = World::new().await;
    issuer(&world).await;
    let group = world
        .group("line", |input| {
            input.reprovision =
                Some(ReprovisionPolicy { update_hub_assignment: false, migrate_device_data: true });
        })
        .await;
    let before = world.provision("Dev", &group).await;
    let caller = world.attested("Dev", &group).await;
    let record = world.register_as(&caller, "Dev", asking("dev")).await;
    assert_eq!((record.status, &record.assigned_hub), (RegistrationStatus::Assigned, &before.assigned_hub));
    believed(&world, "Dev", &newest(&record)).await.unwrap();
}

#[tokio::test]
async fn what_is_revoked_opens_nothing_and_is_listed() {
    let world = World::new().await;
    let authority = issuer(&world).await;
    let group = world.group("line", |_| {}).await;
    let attestation = AttestationInput::X509 {
        kind: CertificateKind::Signing,
        primary: Some(authority.pem()),
        secondary: None,
    };
    world.group("renewals", |input| input.attestation = Some(attestation)).await;
    let caller = world.attested("dev", &group).await;
    let record = world.register_as(&caller, "dev", asking("dev")).await;
    let (chain, serial) = (newest(&record), record.issued[0].serial_number.clone());
    let (provisioning, hub, dps) = (&world.services.provisioning, &world.services.hub, world.dps());
    let id = DeviceAddress::parse("dev").unwrap();
    let (own, _) = hub.authenticate_device_by_certificate(&world.hub(), &id, &chain).await.unwrap();
    let link = Arc::new(Link::default());
    let _connection = hub.connect_device(&own, &world.hub(), &id, link.clone()).await.unwrap();
    // A group that trusts the issuer lets it in by what was issued: so may it renew.
    provisioning.attest_by_certificate(&dps, "dev", &chain, None).await.unwrap();

    let revoke = async |id: &str, serial: Option<&str>| {
        let revoked = provisioning.revoke_certificates(&world.admin, &world.dps(), id, serial).await;
        revoked.map(|all| all.len()).map_err(|error| error.code)
    };
    assert_eq!(revoke("nobody", None).await, Err(ErrorCode::RegistrationNotFound));
    assert_eq!(revoke("dev", Some("no digits")).await, Err(ErrorCode::InvalidArgument));
    assert_eq!(revoke("dev", None).await, Ok(1));
    assert!(link.closed());
    assert_eq!(believed(&world, "dev", &chain).await, Err(ErrorCode::Unauthorized));
    let refused = provisioning.attest_by_certificate(&world.dps(), "dev", &chain, None).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthorized);
    let request = ExplainRequest {
        registration_id: "dev".into(),
        chain: Some(chain.clone()),
        ..ExplainRequest::default()
    };
    let said = provisioning.explain(&world.admin, &world.dps(), request).await.unwrap();
    assert_eq!((said.now.verdict, &*said.now.reason), (Verdict::Refused, "the certificate was revoked"));
    let device = world.device("dev").await.unwrap();
    assert_eq!(device.identity.authentication, Authentication::SelfSigned { primary: None, secondary: None });
    assert_eq!(revoke("dev", None).await, Err(ErrorCode::RegistrationNotFound), "nothing is left");
    // One whose record knows it no longer.
    assert_eq!(revoke("dev", Some("0a:0B")).await, Ok(1));
    let (all, list) = provisioning.revocations(&world.admin, &world.dps()).unwrap();
    let serials: Vec<_> = all.iter().map(|one| one.serial_number.as_str()).collect();
    assert_eq!(serials, [serial.as_str(), "0A0B"]);
    assert!(list.unwrap().starts_with("-----BEGIN X509 CRL-----"));
    // It may register again, and gets another.
    let record = world.register_as(&caller, "dev", asking("dev")).await;
    believed(&world, "dev", &newest(&record)).await.unwrap();
    assert_eq!(believed(&world, "dev", &chain).await, Err(ErrorCode::Unauthorized));
}

#[tokio::test]
async fn what_is_revoked_is_bounded_and_forgotten_when_it_would_have_ended() {
    let world = World::with(&[], |limits| limits.revocations = 2).await;
    issuer(&world).await;
    let revoke = async |serial: &str| {
        let provisioning = &world.services.provisioning;
        let revoked = provisioning.revoke_certificates(&world.admin, &world.dps(), "dev", Some(serial)).await;
        revoked.map(|_| ()).map_err(|error| error.code)
    };
    for serial in ["01", "02", "02"] {
        revoke(serial).await.unwrap();
    }
    assert_eq!(revoke("03").await, Err(ErrorCode::QuotaExceeded));
    // The issuer itself holds for a thousand seconds.
    world.clock.advance(Duration::from_secs(2000));
    revoke("04").await.unwrap();
    let (all, _) = world.services.provisioning.revocations(&world.admin, &world.dps()).unwrap();
    assert_eq!(all, []);
}
