//! Enrollments and records: conditions, checks, rights.

use pollux_model::enrollment::InitialTwin;
use pollux_model::resource::{PolicyRight, ResourceKind};
use pollux_model::{Clock as _, ErrorCode, Etag};
use pollux_services::Caller;
use pollux_services::caller::{Identity, Right};
use pollux_services::provisioning::{
    AttestationInput, CertificateKind, EnrollmentInput, Expect, GroupInput, IndividualInput,
};
use pollux_testkit::pki::Authority;
use serde_json::{Map, Value, json};

use crate::world::{World, attestation_keys, keys_of};

fn input_of(id: &str) -> IndividualInput {
    IndividualInput {
        registration_id: id.into(),
        device_id: None,
        optional_device_information: None,
        common: EnrollmentInput::default(),
    }
}

fn with_rights(world: &World, rights: &[PolicyRight]) -> Caller {
    let name = world.dps().name.clone();
    let identity = Identity::Policy { kind: ResourceKind::Dps, resource: name.clone(), policy: "p".into() };
    Caller::on(identity, ResourceKind::Dps, name, rights.iter().map(|right| Right::Policy(*right)).collect())
}

/// What makes a good enrollment a bad one.
type Spoil = fn(&mut IndividualInput);

fn code<T>(result: pollux_model::Result<T>) -> Result<(), ErrorCode> {
    result.map(drop).map_err(|error| error.code)
}

#[tokio::test]
async fn what_is_expected_of_an_enrollment_is_checked() {
    let world = World::new().await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let put = async |expect| provisioning.put_enrollment(admin, &dps, input_of("e"), expect).await;
    assert_eq!(code(put(Some(Expect::Present)).await), Err(ErrorCode::PreconditionFailed));
    let made = put(Some(Expect::Absent)).await.unwrap();
    assert_eq!(code(put(Some(Expect::Absent)).await), Err(ErrorCode::EnrollmentExists));
    assert_eq!(code(put(Some(Expect::Etag(Etag::new("other")))).await), Err(ErrorCode::PreconditionFailed));
    let changed = put(Some(Expect::Etag(made.rules.etag.clone()))).await.unwrap();
    assert_eq!((&changed.attestation, changed.rules.created), (&made.attestation, made.rules.created));
    let gone = provisioning.delete_enrollment(admin, &dps, "E", Expect::Etag(made.rules.etag)).await;
    assert_eq!(code(gone), Err(ErrorCode::PreconditionFailed));
    provisioning.delete_enrollment(admin, &dps, "E", Expect::Etag(changed.rules.etag)).await.unwrap();
    assert_eq!(
        code(provisioning.delete_enrollment(admin, &dps, "e", Expect::Any).await),
        Err(ErrorCode::EnrollmentNotFound)
    );
}

#[tokio::test]
async fn one_of_many_who_create_at_once_wins() {
    let world = World::new().await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let tries = (0..8).map(|_| provisioning.put_enrollment(admin, &dps, input_of("e"), Some(Expect::Absent)));
    let made = futures_util::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn there_are_so_many_groups_and_no_more() {
    let world = World::with(&[], |limits| limits.enrollment_groups = 2).await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let put = async |id: &str| {
        let input = GroupInput { id: id.into(), common: EnrollmentInput::default() };
        code(provisioning.put_enrollment_group(admin, &dps, input, None).await)
    };
    assert_eq!(put("one").await, Ok(()));
    assert_eq!(put("two").await, Ok(()));
    assert_eq!(put("three").await, Err(ErrorCode::QuotaExceeded));
    assert_eq!(put("two").await, Ok(()), "those that are there may still change");
    // By certificate there may be as many again.
    let root = Authority::root("root", world.clock.now().as_secs(), |_| {}).pem();
    let put_x509 = async |id: &str| {
        let trust = AttestationInput::X509 {
            kind: CertificateKind::Signing,
            primary: Some(root.clone()),
            secondary: None,
        };
        let common = EnrollmentInput { attestation: Some(trust), ..EnrollmentInput::default() };
        let input = GroupInput { id: id.into(), common };
        code(provisioning.put_enrollment_group(admin, &dps, input, None).await)
    };
    assert_eq!(put_x509("x-one").await, Ok(()));
    assert_eq!(put_x509("x-two").await, Ok(()));
    assert_eq!(put_x509("x-three").await, Err(ErrorCode::QuotaExceeded));
    assert_eq!(put_x509("two").await, Err(ErrorCode::QuotaExceeded), "nor may another become one");
    provisioning.delete_enrollment_group(admin, &dps, "one", Expect::Any).await.unwrap();
    assert_eq!(put("three").await, Ok(()));
}

fn begins_with(desired: Value) -> Option<InitialTwin> {
    Some(InitialTwin { tags: Map::new(), desired: desired.as_object().unwrap().clone() })
}

#[tokio::test]
async fn bad_enrollments_are_refused() {
    let world = World::new().await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let bad: [(&str, Spoil); 10] = [
        ("e", |input| input.device_id = Some("a b".into())),
        ("a b", |_| {}),
        ("", |_| {}),
        ("e", |input| input.common.allocation_policy = Some("best".into())),
        ("e", |input| input.common.allocation_policy = Some("custom".into())),
        ("e", |input| {
            input.common.allocation_policy = Some("custom".into());
            input.common.webhook = Some(("file:///etc/passwd".into(), None));
        }),
        ("e", |input| {
            input.common.allocation_policy = Some("custom".into());
            input.common.webhook = Some(("not a url".into(), None));
        }),
        ("e", |input| input.common.hubs = vec!["nowhere.example.com".into()]),
        ("e", |input| input.common.initial_twin = begins_with(json!({ "a.b": 1 }))),
        ("e", |input| input.common.initial_twin = begins_with(json!({ "a": "x".repeat(5000) }))),
    ];
    for (at, (id, spoil)) in bad.into_iter().enumerate() {
        let mut input = input_of(id);
        spoil(&mut input);
        let error = provisioning.put_enrollment(admin, &dps, input, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{at}: {error}");
    }
    for id in ["", "a b", "a/b", &"x".repeat(129)] {
        let input = GroupInput { id: id.into(), common: EnrollmentInput::default() };
        let error = provisioning.put_enrollment_group(admin, &dps, input, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{id}");
    }
    assert!(provisioning.enrollments(admin, &dps, None, 10).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn each_verb_asks_for_its_right() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    world.provision("dev", &group).await;
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    let (any, input) =
        (|| Expect::Any, || GroupInput { id: "line".into(), common: EnrollmentInput::default() });
    for right in [
        PolicyRight::EnrollmentRead,
        PolicyRight::EnrollmentWrite,
        PolicyRight::RegistrationStatusRead,
        PolicyRight::RegistrationStatusWrite,
    ] {
        let caller = with_rights(&world, &[right]);
        let held = |wanted| right == wanted;
        let allowed = [
            (
                provisioning.enrollment_group(&caller, &dps, "line").await.is_ok(),
                held(PolicyRight::EnrollmentRead),
            ),
            (
                provisioning.enrollment_groups(&caller, &dps, None, 1).await.is_ok(),
                held(PolicyRight::EnrollmentRead),
            ),
            (
                provisioning.enrollments(&caller, &dps, None, 1).await.is_ok(),
                held(PolicyRight::EnrollmentRead),
            ),
            // Keys need both: reading, and the right to write them.
            (provisioning.group_attestation(&caller, &dps, "line").await.is_ok(), false),
            (
                provisioning.put_enrollment_group(&caller, &dps, input(), None).await.is_ok(),
                held(PolicyRight::EnrollmentWrite),
            ),
            (
                provisioning.registration(&caller, &dps, "dev").await.is_ok(),
                held(PolicyRight::RegistrationStatusRead),
            ),
            (
                provisioning.registrations_of_group(&caller, &dps, "line", None, 1).await.is_ok(),
                held(PolicyRight::RegistrationStatusRead),
            ),
            (
                provisioning.delete_registration(&caller, &dps, "dev", any()).await.is_ok(),
                held(PolicyRight::RegistrationStatusWrite),
            ),
        ];
        for (at, (was, expected)) in allowed.into_iter().enumerate() {
            assert_eq!(was, expected, "{right:?} at {at}");
        }
    }
    world.provision("dev", &group).await;
    provisioning.put_enrollment(&world.admin, &dps, input_of("dev"), None).await.unwrap();
    for (rights, told) in [
        (vec![PolicyRight::EnrollmentRead], false),
        (vec![PolicyRight::EnrollmentRead, PolicyRight::RegistrationStatusRead], true),
    ] {
        let (_, record) = provisioning.enrollment(&with_rights(&world, &rights), &dps, "dev").await.unwrap();
        assert_eq!(record.is_some(), told, "{rights:?}");
    }
    let stranger = with_rights(&world, &[]);
    assert!(provisioning.delete_enrollment_group(&stranger, &dps, "line", any()).await.is_err());
    let both = with_rights(&world, &[PolicyRight::EnrollmentRead, PolicyRight::EnrollmentWrite]);
    let attestation = provisioning.group_attestation(&both, &dps, "line").await.unwrap();
    assert_eq!(attestation_keys(&attestation), keys_of(&group), "a change that names no keys keeps them");
}

#[tokio::test]
async fn records_outlive_their_group_and_are_listed_in_order() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    for id in ["c", "a", "b"] {
        world.provision(id, &group).await;
    }
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    provisioning.delete_enrollment_group(admin, &dps, "line", Expect::Any).await.unwrap();
    let first = provisioning.registrations_of_group(admin, &dps, "LINE", None, 2).await.unwrap();
    let rest =
        provisioning.registrations_of_group(admin, &dps, "line", first.next.as_deref(), 2).await.unwrap();
    let ids: Vec<_> =
        first.items.iter().chain(&rest.items).map(|record| record.registration_id.as_str()).collect();
    assert_eq!((ids, rest.next), (vec!["a", "b", "c"], None));
    assert!(world.device("a").await.is_some());
}
