//! What is written comes back as it was, noun by noun.

use std::sync::Arc;

use pollux_model::device::{Authentication, Status, TwinCollection};
use pollux_model::enrollment::{Allocation, Attestation, CertificateTrust, Der, Rollover};
use pollux_model::function::DeadLetter;
use pollux_model::job::{Job, JobKind};
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::ResourceKind;
use pollux_model::{OwnerName, ResourceName};

use super::fixtures::{
    check_everything, checkpoint, consumer, dead_letter, device, device_id, enrollment, enrollment_group,
    etag, everything, job, keys, model, name, put_device, put_registration, put_relationship, put_twin,
    registration, registration_id, relationship, resources, secret, twin,
};
use super::{Backend, commit};
use crate::batch::{Expect, Write};

pub(super) async fn resources_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let (one, two) = (resources("one"), resources("two"));
    // Put in an order that is not the one they are read in.
    let writes = two
        .iter()
        .chain(&one)
        .rev()
        .map(|resource| Write::PutResource { resource: Box::new(resource.clone()), expect: Expect::Absent });
    commit(&*store, writes).await;
    let expected: Vec<_> = one.iter().zip(&two).flat_map(|(one, two)| [one.clone(), two.clone()]).collect();
    assert_eq!(store.resources().await.expect("resources"), expected);
    for resource in expected {
        let found = store.resource(resource.kind(), &resource.name).await.expect("resource");
        assert_eq!(found, Some(resource));
    }
    assert_eq!(store.resource(ResourceKind::Hub, &name("dps-one")).await.expect("resource"), None);
}

pub(super) async fn devices_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let sas = device("sas");
    let mut certificate = device("self-signed:-.+%_#*?!(),=@;$'");
    certificate.identity.authentication =
        Authentication::SelfSigned { primary: Some("AB12".to_owned()), secondary: None };
    certificate.identity.status = Status::Disabled;
    certificate.identity.status_reason = None;
    certificate.identity.provisioned_by = None;
    certificate.twin.desired = TwinCollection::default();
    let mut authority = device("authority");
    authority.identity.authentication = Authentication::CertificateAuthority;
    authority.identity.iot_edge = true;
    for device in [sas, certificate, authority] {
        commit(&*store, [put_device("hub-one", device.clone())]).await;
        let found = store.device(&name("hub-one"), &device.id).await.expect("device");
        // The text too: members keep their order.
        assert_eq!(
            found.as_ref().map(|found| serde_json::to_string(found).ok()),
            Some(serde_json::to_string(&device).ok())
        );
        assert_eq!(found, Some(device.clone()));
        assert_eq!(store.device(&name("hub-two"), &device.id).await.expect("device"), None);
    }
}

pub(super) async fn enrollments_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let dps = name("dps-one");
    let full = enrollment("full");
    let mut bare = enrollment("bare");
    (bare.device_id, bare.optional_device_information, bare.rules.initial_twin) = (None, None, None);
    bare.rules.allocation = Allocation::Hashed;
    let mut by_tpm = enrollment("by-tpm");
    by_tpm.attestation = Attestation::Tpm {
        endorsement_key: Der(vec![0, 1, 2, 255]),
        storage_root_key: Some(Der(vec![3; 300])),
        secret: keys(4).primary,
    };
    let mut by_certificate = enrollment("by-certificate");
    let chain = Rollover { primary: Some(Der(vec![48; 900])), secondary: None };
    by_certificate.attestation = Attestation::X509 { trust: CertificateTrust::Client(chain) };
    for enrollment in [full, bare, by_tpm, by_certificate] {
        let write = Write::PutEnrollment {
            dps: dps.clone(),
            enrollment: Box::new(enrollment.clone()),
            expect: Expect::Absent,
        };
        commit(&*store, [write]).await;
        let found = store.enrollment(&dps, &enrollment.registration_id).await.expect("enrollment");
        assert_eq!(found, Some(enrollment));
    }
    let group = enrollment_group("Group.One");
    let write = Write::PutEnrollmentGroup {
        dps: dps.clone(),
        group: Box::new(group.clone()),
        expect: Expect::Absent,
    };
    commit(&*store, [write]).await;
    assert_eq!(store.enrollment_group(&dps, &group.id).await.expect("group"), Some(group));
    assert_eq!(store.enrollment_group(&dps, "full").await.expect("group"), None);
}

pub(super) async fn registrations_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let full = registration("Full", Some("Group"), RegistrationStatus::Assigned);
    let mut bare = registration("bare", None, RegistrationStatus::Unassigned);
    (bare.substatus, bare.assigned_hub, bare.device_id) = (None, None, None);
    (bare.failure, bare.payload, bare.operation.payload) = (None, None, None);
    for registration in [full, bare] {
        commit(&*store, [put_registration("dps-one", registration.clone())]).await;
        let found = store.registration(&name("dps-one"), &registration.registration_id).await;
        assert_eq!(found.expect("registration"), Some(registration));
    }
}

pub(super) async fn models_twins_and_relationships_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let twins = name("twins-one");
    let mut old = model("dtmi:a;1");
    old.decommissioned = true;
    let models = [old, model("dtmi:b;1")];
    let writes = models.iter().rev().map(|model| Write::PutModel {
        twins: twins.clone(),
        model: Box::new(model.clone()),
        expect: Expect::Absent,
    });
    commit(&*store, writes).await;
    assert_eq!(store.models(&twins).await.expect("models"), models);
    let (a, b, edge) = (twin("a", "dtmi:a;1"), twin("b", "dtmi:b;1"), relationship("a", "e", "b"));
    let writes = [
        put_twin("twins-one", a.clone()),
        put_twin("twins-one", b.clone()),
        put_relationship("twins-one", edge.clone()),
    ];
    commit(&*store, writes).await;
    assert_eq!(store.twin(&twins, "a").await.expect("twin"), Some(a));
    assert_eq!(store.twin(&twins, "b").await.expect("twin"), Some(b));
    assert_eq!(store.relationship(&twins, "a", "e").await.expect("relationship"), Some(edge));
    assert_eq!(store.relationship(&twins, "b", "e").await.expect("relationship"), None);
}

pub(super) async fn checkpoints_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let (one, two) = (consumer("one"), consumer("two"));
    let put = |key: &crate::functions::ConsumerKey, partition, number| Write::PutCheckpoint {
        key: key.clone(),
        partition,
        checkpoint: checkpoint(number),
    };
    commit(&*store, [put(&one, 31, 5), put(&one, 0, -1), put(&two, 0, 9)]).await;
    commit(&*store, [put(&one, 31, i64::MAX / 100)]).await;
    let found = store.checkpoints(&one).await.expect("checkpoints");
    assert_eq!(found, [(0, checkpoint(-1)), (31, checkpoint(i64::MAX / 100))]);
    assert_eq!(store.checkpoints(&two).await.expect("checkpoints"), [(0, checkpoint(9))]);
    assert_eq!(store.checkpoints(&consumer("three")).await.expect("checkpoints"), []);
    let mut elsewhere = consumer("one");
    elsewhere.event_hub = "elsewhere".to_owned();
    let mut of_group = consumer("one");
    of_group.consumer_group = "alarms".to_owned();
    let gone = |group: Option<&str>| Write::DeleteCheckpoints {
        namespace: one.namespace.clone(),
        event_hub: one.event_hub.clone(),
        consumer_group: group.map(str::to_owned),
    };
    commit(&*store, [put(&elsewhere, 0, 7), put(&of_group, 3, 8), gone(Some("alarms"))]).await;
    assert_eq!(store.checkpoints(&of_group).await.expect("checkpoints"), []);
    assert_eq!(store.checkpoints(&two).await.expect("checkpoints"), [(0, checkpoint(9))]);
    commit(&*store, [put(&of_group, 3, 8), gone(None)]).await;
    assert_eq!(store.checkpoints(&of_group).await.expect("checkpoints"), []);
    assert_eq!(store.checkpoints(&one).await.expect("checkpoints"), []);
    assert_eq!(store.checkpoints(&two).await.expect("checkpoints"), []);
    assert_eq!(store.checkpoints(&elsewhere).await.expect("checkpoints"), [(0, checkpoint(7))]);
}

pub(super) async fn dead_letters_come_back_whole_and_once_per_event(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let app = OwnerName::from(name("functions-one"));
    let put = |letter: &DeadLetter| Write::PutDeadLetter { letter: Box::new(letter.clone()) };
    commit(&*store, [put(&dead_letter(1)), put(&dead_letter(2))]).await;
    let again = DeadLetter { attempts: 9, reason: "again".to_owned(), payload: vec![1], ..dead_letter(1) };
    let other = DeadLetter { function: "retire".to_owned(), ..dead_letter(1) };
    commit(&*store, [put(&again), put(&other)]).await;
    let found = store.dead_letters(&app, None, None, 10).await.expect("dead letters").items;
    assert!(found.is_sorted_by(|a, b| a.id < b.id), "ids grow: {found:?}");
    let id = |letter: &DeadLetter| {
        let same = |found: &&DeadLetter| {
            found.sequence_number == letter.sequence_number && found.function == letter.function
        };
        found.iter().find(same).expect("the letter is listed").id
    };
    for expected in [again, dead_letter(2), other] {
        let expected = DeadLetter { id: id(&expected), ..expected };
        let one = store.dead_letter(&app, expected.id).await.expect("dead letter");
        assert_eq!(one, Some(expected.clone()));
        assert!(found.contains(&expected));
    }
    assert_eq!(found.len(), 3);
    let retire = store.dead_letters(&app, Some("retire"), None, 10).await.expect("dead letters").items;
    assert_eq!(retire.len(), 1);
    let first = found.first().expect("there are three").id;
    assert_eq!(store.dead_letter(&name("functions-two").into(), first).await.expect("dead letter"), None);
    commit(&*store, [Write::DeleteDeadLetter { app: app.clone(), id: first, expect: Expect::Present }]).await;
    assert_eq!(store.dead_letter(&app, first).await.expect("dead letter"), None);
}

pub(super) async fn secrets_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let put = |scope, id| Write::PutSecret { secret: Box::new(secret(scope, id)), expect: Expect::Absent };
    commit(&*store, [put("client", "b"), put("client", "a"), put("issuer-key", "a")]).await;
    assert_eq!(
        store.secrets("client").await.expect("secrets"),
        [secret("client", "a"), secret("client", "b")]
    );
    assert_eq!(store.secrets("none").await.expect("secrets"), []);
}

pub(super) async fn jobs_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let (twins, other) = (name("twins-one"), name("twins-two"));
    let put = |twins: &ResourceName, job: &Job| Write::PutJob {
        twins: twins.clone(),
        job: Box::new(job.clone()),
        expect: Expect::Absent,
    };
    let (a, b) = (job("a"), Job { error: None, finished: None, deadline: None, ..job("b") });
    let deletion = Job { kind: JobKind::Deletions, input: None, output: None, ..job("a") };
    commit(&*store, [put(&twins, &b), put(&twins, &a), put(&twins, &deletion), put(&other, &b)]).await;
    assert_eq!(store.job(&twins, JobKind::Imports, "a").await.expect("job"), Some(a.clone()));
    assert_eq!(store.job(&twins, JobKind::Deletions, "a").await.expect("job"), Some(deletion.clone()));
    assert_eq!(store.job(&twins, JobKind::Deletions, "b").await.expect("job"), None);
    let page = store.jobs(&twins, JobKind::Imports, None, 1).await.expect("jobs");
    assert_eq!((page.items, page.next.as_deref()), (vec![a], Some("a")));
    let page = store.jobs(&twins, JobKind::Imports, Some("a"), 1).await.expect("jobs");
    assert_eq!((page.items, page.next), (vec![b], None));
    let (kind, id) = (JobKind::Imports, "a".to_owned());
    commit(&*store, [Write::DeleteJob { twins: twins.clone(), kind, id, expect: Expect::Present }]).await;
    assert_eq!(store.job(&twins, JobKind::Imports, "a").await.expect("job"), None);
    assert_eq!(store.job(&twins, JobKind::Deletions, "a").await.expect("job"), Some(deletion));
}

pub(super) async fn a_put_replaces_the_whole_row(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let dps = name("dps-one");
    commit(&*store, everything()).await;
    // What lists and counts look at must follow the document.
    let mut changed = device("Device-1");
    (changed.identity.status, changed.twin.etag) = (Status::Disabled, etag("t2"));
    let mut moved = registration("Device-1", None, RegistrationStatus::Failed);
    moved.etag = etag("g2");
    let mut remodeled = twin("Device-1", "dtmi:sample:Other;1");
    remodeled.etag = etag("d2");
    let writes = [
        put_device("hub-one", changed.clone()),
        put_registration("dps-one", moved.clone()),
        put_twin("twins-one", remodeled.clone()),
    ];
    commit(&*store, writes).await;
    let found = store.device(&name("hub-one"), &changed.id).await.expect("device");
    assert_eq!(found, Some(changed));
    assert_eq!(store.count_devices(&name("hub-one")).await.expect("count"), (1, 0));
    let old = store.registrations_of_group(&dps, "Group-1", None, 9).await.expect("registrations").items;
    assert_eq!(old, []);
    let old =
        store.registrations_in(&dps, RegistrationStatus::Assigned, None, 9).await.expect("registrations");
    assert_eq!(old.items, []);
    let new = store.registrations_in(&dps, RegistrationStatus::Failed, None, 9).await.expect("registrations");
    assert_eq!(new.items, [moved]);
    let models = ["dtmi:sample:Thermostat;1".to_owned()];
    assert_eq!(store.count_twins(&name("twins-one"), Some(&models)).await.expect("count"), 0);
    assert_eq!(store.twin(&name("twins-one"), "Device-1").await.expect("twin"), Some(remodeled));
}

pub(super) async fn ids_compare_as_their_noun_says(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let dps = name("dps-one");
    commit(&*store, everything()).await;
    // Device ids and twin ids: case matters.
    let found = store.device(&name("hub-one"), &device_id("device-1")).await.expect("device");
    assert_eq!(found, None);
    assert_eq!(store.twin(&name("twins-one"), "device-1").await.expect("twin"), None);
    // Registration ids and group ids: it does not, and the group shows itself as it was written.
    let found = store.registration(&dps, &registration_id("DEVICE-1")).await.expect("registration");
    assert_eq!(found.map(|found| found.displayed_id).as_deref(), Some("Device-1"));
    let found = store.enrollment_group(&dps, "GROUP-1").await.expect("group");
    assert_eq!(found.map(|found| found.id).as_deref(), Some("Group-1"));
    let found = store.registrations_of_group(&dps, "gROUP-1", None, 9).await.expect("registrations");
    assert_eq!(found.items.len(), 1);
    let again = Write::PutEnrollmentGroup {
        dps: dps.clone(),
        group: Box::new(enrollment_group("GROUP-1")),
        expect: Expect::Present,
    };
    commit(&*store, [again]).await;
    assert_eq!(store.enrollment_groups(&dps, None, 9).await.expect("groups").items.len(), 1);
    commit(
        &*store,
        [Write::DeleteEnrollmentGroup {
            dps: dps.clone(),
            id: "group-1".to_owned(),
            expect: Expect::Present,
        }],
    )
    .await;
    assert_eq!(store.enrollment_group(&dps, "Group-1").await.expect("group"), None);
    // Records outlive their group.
    let found = store.registrations_of_group(&dps, "Group-1", None, 9).await.expect("registrations");
    assert_eq!(found.items.len(), 1);
}

pub(super) async fn reopening_keeps_everything(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, everything()).await;
    check_everything(&*store).await;
    drop(store);
    let store = backend.open().await;
    check_everything(&*store).await;
    store.healthy().await.expect("healthy");
}
