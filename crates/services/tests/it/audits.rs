//! The audit record: what is in it, in which order, within which bounds; quotas.

use std::net::IpAddr;

use pollux_eventlog::{NewRecord, StreamName};
use pollux_model::ErrorCode;
use pollux_services::provisioning::{
    AuditAction, AuditQuery, AuditRecord, Decider, Expect, RegisterRequest, Verdict,
};
use pollux_services::provisioning::{BulkItem, BulkMode, EnrollmentInput, ExplainRequest, IndividualInput};

use crate::world::{World, keys_of};

/// Waits until the newest record is of this action; all records then.
pub(crate) async fn audited(world: &World, query: AuditQuery, newest: AuditAction) -> Vec<AuditRecord> {
    world
        .until(async || {
            let found =
                world.services.provisioning.audit_records(&world.admin, &world.dps(), &query, 1000).await;
            let records: Vec<_> = found.unwrap().records.into_iter().map(|(_, record)| record).collect();
            records.last().is_some_and(|last| last.action == newest).then_some(records)
        })
        .await
}

fn single(id: &str) -> IndividualInput {
    IndividualInput {
        registration_id: id.into(),
        device_id: None,
        optional_device_information: None,
        common: EnrollmentInput::default(),
    }
}

#[tokio::test]
async fn who_did_what_is_kept_in_order() {
    let world = World::new().await;
    world.start();
    let group = world.group("line", |_| {}).await;
    world.tick();
    world.provision("dev", &group).await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    provisioning.delete_registration(admin, &dps, "dev", Expect::Any).await.unwrap();
    provisioning.note_deprovisioned(admin, &dps, (Some("dev"), None), "gone").await.unwrap();
    let of_device = AuditQuery { registration_id: Some("DEV".into()), ..AuditQuery::default() };
    let records = audited(&world, of_device, AuditAction::Deprovisioned).await;
    let told: Vec<_> = records.iter().map(|one| (one.action, one.who.as_str())).collect();
    assert_eq!(
        told,
        [
            (AuditAction::Admitted, "device dev"),
            (AuditAction::RegistrationDeleted, "operator"),
            (AuditAction::Deprovisioned, "operator"),
        ]
    );
    assert_eq!(records[0].decided_by, Some(Decider::EnrollmentGroup("line".into())));
    let since = AuditQuery { since: Some(records[0].time), ..AuditQuery::default() };
    let later = audited(&world, since, AuditAction::Deprovisioned).await;
    assert_eq!(later.len(), 3, "the group was made before: {later:?}");
    let text =
        serde_json::to_string(&audited(&world, AuditQuery::default(), AuditAction::Deprovisioned).await);
    assert!(!text.unwrap().contains(keys_of(&group).primary.reveal()));
    world.stop().await;
}

#[tokio::test]
async fn an_address_fills_its_share_and_no_more() {
    let world = World::with(&[], |limits| limits.audited_refusals_a_minute = 3).await;
    let group = world.group("line", |_| {}).await;
    let token = world.device_token("dev", &keys_of(&group).primary.derive("other"));
    let from = Some(IpAddr::from([192, 0, 2, 1]));
    for _ in 0..10 {
        let refused = world.services.provisioning.attest_by_token(&world.dps(), "dev", &token, from).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthorized);
    }
    let records = audited(&world, AuditQuery::default(), AuditAction::Refused).await;
    assert_eq!(records.len(), 3);
    assert_eq!((records[0].address, records[0].decided_by.is_none()), (from, true));
    for _ in 0..61 {
        world.tick();
    }
    let _ = world.services.provisioning.attest_by_token(&world.dps(), "dev", &token, from).await;
    let records = audited(&world, AuditQuery::default(), AuditAction::Refused).await;
    assert_eq!(records.iter().map(|one| one.left_out).collect::<Vec<_>>(), [None, None, None, Some(7)]);
}

/// A device's records are found however many of others are newer.
#[tokio::test]
async fn the_records_of_a_device_are_found_from_the_oldest_on() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let token = world.device_token("dev", &keys_of(&group).primary.derive("other"));
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    let refused = provisioning.attest_by_token(&dps, "dev", &token, None).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthorized);
    let mut other = audited(&world, AuditQuery::default(), AuditAction::Refused).await.remove(0);
    other.registration_id = Some("another".into());
    let payload = serde_json::to_vec(&other).unwrap();
    let new = NewRecord { partition_key: None, payload: payload.into(), idempotency_key: None };
    let stream = StreamName::new("dps1.dps/audit").unwrap();
    for _ in 0..6 {
        world.services.context.log.append(&stream, 0, vec![new.clone(); 1000]).await.unwrap();
    }
    let mut query = AuditQuery { registration_id: Some("dev".into()), ..AuditQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = provisioning.audit_records(&world.admin, &dps, &query, 1000).await.unwrap();
        found.extend(page.records);
        if !page.more {
            break;
        }
        query.after = Some(page.next);
    }
    assert_eq!(found.len(), 1);
    // Without a device it is the newest that are asked for.
    let newest = provisioning.audit_records(&world.admin, &dps, &AuditQuery::default(), 1).await.unwrap();
    assert_eq!(newest.records[0].1, other);
}

#[tokio::test]
async fn quotas_bind_where_they_are_switched_on() {
    let world = World::with(&[], |limits| {
        limits.provisioning_quotas = true;
        (limits.registrations, limits.individual_enrollments, limits.registration_polls) = (1, 1, 2);
    })
    .await;
    let group = world.group("line", |_| {}).await;
    let record = world.provision("dev-1", &group).await;
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    let caller = world.attested("dev-2", &group).await;
    let refused = provisioning.register(&caller, &dps, RegisterRequest::default()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::QuotaExceeded);
    world.provision("dev-1", &group).await;
    provisioning.put_enrollment(&world.admin, &dps, single("own-1"), None).await.unwrap();
    provisioning.put_enrollment(&world.admin, &dps, single("own-1"), None).await.unwrap();
    let refused = provisioning.put_enrollment(&world.admin, &dps, single("own-2"), None).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::QuotaExceeded);
    let own = world.attested("dev-1", &group).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let asked =
            provisioning.operation_status(&own, &dps, &record.registration_id, "none").await.unwrap_err();
        codes.push(asked.code);
    }
    assert_eq!(codes, [ErrorCode::OperationNotFound, ErrorCode::OperationNotFound, ErrorCode::Throttled]);
    let stats = provisioning.stats(&world.admin, &dps).await.unwrap();
    assert_eq!(
        (stats.registrations, stats.enrollments, stats.symmetric_key_groups, stats.x509_groups),
        (1, 1, 1, 0)
    );
}

#[tokio::test]
async fn a_bulk_operation_does_what_it_can() {
    let world = World::new().await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let items = |ids: &[&str]| {
        let item = |id: &&str| BulkItem { id: (*id).to_owned(), etag: None, input: Ok(single(id)) };
        ids.iter().map(item).collect::<Vec<_>>()
    };
    for (mode, ids, failed) in [
        (BulkMode::Create, vec!["a", "b"], vec![]),
        (BulkMode::Create, vec!["b", "c"], vec![("b", ErrorCode::EnrollmentExists)]),
        (BulkMode::Update, vec!["a", "x"], vec![("x", ErrorCode::EnrollmentNotFound)]),
        (BulkMode::UpdateIfMatchEtag, vec!["a"], vec![("a", ErrorCode::InvalidArgument)]),
        (BulkMode::Delete, vec!["a", "b", "c", "x"], vec![("x", ErrorCode::EnrollmentNotFound)]),
    ] {
        let errors = provisioning.bulk_enrollments(admin, &dps, mode, items(&ids)).await.unwrap();
        let told: Vec<_> = errors.iter().map(|(id, error)| (id.as_str(), error.code)).collect();
        assert_eq!(told, failed, "{mode:?}");
    }
    let eleven = items(&["n"; 11]);
    let refused = provisioning.bulk_enrollments(admin, &dps, BulkMode::Create, eleven).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn a_token_is_explained_as_it_would_be_decided() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    for (id, verdict) in [("dev", Verdict::Admitted), ("other", Verdict::Refused)] {
        let token = world.device_token("dev", &keys_of(&group).primary.derive(id));
        let request =
            ExplainRequest { registration_id: "dev".into(), token: Some(token), ..ExplainRequest::default() };
        let said = world.services.provisioning.explain(&world.admin, &world.dps(), request).await.unwrap();
        assert_eq!((said.now.verdict, said.by), (verdict, "token"));
        assert_eq!(said.now.reason.contains("line: the token is not signed"), verdict == Verdict::Refused);
    }
}
