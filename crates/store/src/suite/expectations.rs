//! Every kind of expectation, on every noun.

use std::sync::Arc;

use pollux_model::configuration::Configuration;
use pollux_model::job::{Job, JobKind};
use pollux_model::message::QueuedMessage;
use pollux_model::registration::RegistrationStatus;
use pollux_model::scheduled_job::ScheduledJob;
use pollux_model::{DeviceId, Etag, OwnerName};

use super::fixtures::{
    configuration, dead_letter, device, device_id, enrollment, enrollment_group, etag, job, message, model,
    module, name, put_configuration_if, put_device, put_twin, registration, registration_id, relationship,
    resources, scheduled_job, secret, twin,
};
use super::{Backend, commit, refused};
use crate::batch::{Expect, Write};
use crate::error::Mismatch;
use crate::store::Store;

/// How a noun with an etag is put and deleted.
struct Noun {
    name: &'static str,
    put: fn(Etag, Expect) -> Write,
    delete: fn(Expect) -> Write,
}

const NOUNS: &[Noun] = &[
    Noun {
        name: "resource",
        put: |etag, expect| {
            let mut resource = resources("one").remove(1);
            resource.etag = etag;
            Write::PutResource { resource: Box::new(resource), expect }
        },
        delete: |expect| {
            let resource = resources("one").remove(1);
            Write::DeleteResource { kind: resource.kind(), name: resource.name, expect }
        },
    },
    Noun {
        name: "device",
        put: |etag, identity| {
            let mut device = device("d");
            device.identity.etag = etag;
            Write::PutDevice { hub: name("hub-x"), device: Box::new(device), identity, twin: Expect::Any }
        },
        delete: |identity| Write::DeleteDevice { hub: name("hub-x"), id: device_id("d").into(), identity },
    },
    Noun {
        name: "module",
        put: |etag, identity| {
            let mut module = module("host", "m");
            module.identity.etag = etag;
            Write::PutDevice { hub: name("hub-x"), device: Box::new(module), identity, twin: Expect::Any }
        },
        delete: |identity| Write::DeleteDevice {
            hub: name("hub-x"),
            id: module("host", "m").address(),
            identity,
        },
    },
    Noun {
        name: "enrollment",
        put: |etag, expect| {
            let mut enrollment = enrollment("e");
            enrollment.rules.etag = etag;
            Write::PutEnrollment { dps: name("dps-x"), enrollment: Box::new(enrollment), expect }
        },
        delete: |expect| Write::DeleteEnrollment { dps: name("dps-x"), id: registration_id("E"), expect },
    },
    Noun {
        name: "enrollment group",
        put: |etag, expect| {
            let mut group = enrollment_group("Group");
            group.rules.etag = etag;
            Write::PutEnrollmentGroup { dps: name("dps-x"), group: Box::new(group), expect }
        },
        delete: |expect| Write::DeleteEnrollmentGroup { dps: name("dps-x"), id: "gROUP".to_owned(), expect },
    },
    Noun {
        name: "registration",
        put: |etag, expect| {
            let mut registration = registration("r", None, RegistrationStatus::Assigning);
            registration.etag = etag;
            Write::PutRegistration { dps: name("dps-x"), registration: Box::new(registration), expect }
        },
        delete: |expect| Write::DeleteRegistration { dps: name("dps-x"), id: registration_id("r"), expect },
    },
    Noun {
        name: "twin",
        put: |etag, expect| {
            let mut twin = twin("t", "dtmi:m;1");
            twin.etag = etag;
            Write::PutTwin { twins: name("twins-x"), twin: Box::new(twin), expect }
        },
        delete: |expect| Write::DeleteTwin { twins: name("twins-x"), id: "t".to_owned(), expect },
    },
    Noun {
        name: "relationship",
        put: |etag, expect| {
            let mut relationship = relationship("source", "l", "target");
            relationship.etag = etag;
            Write::PutRelationship { twins: name("twins-x"), relationship: Box::new(relationship), expect }
        },
        delete: |expect| Write::DeleteRelationship {
            twins: name("twins-x"),
            source: "source".to_owned(),
            id: "l".to_owned(),
            expect,
        },
    },
    Noun {
        name: "job",
        put: |etag, expect| {
            let job = Job { etag, ..job("j") };
            Write::PutJob { twins: name("twins-x"), job: Box::new(job), expect }
        },
        delete: |expect| Write::DeleteJob {
            twins: name("twins-x"),
            kind: JobKind::Imports,
            id: "j".to_owned(),
            expect,
        },
    },
    Noun {
        name: "configuration",
        put: |etag, expect| {
            put_configuration_if("hub-x", Configuration { etag, ..configuration("c") }, expect)
        },
        delete: |expect| Write::DeleteConfiguration { hub: name("hub-x"), id: "c".to_owned(), expect },
    },
    Noun {
        name: "scheduled job",
        put: |etag, expect| {
            let job = ScheduledJob { etag, ..scheduled_job("j") };
            Write::PutScheduledJob { hub: name("hub-x"), job: Box::new(job), expect }
        },
        delete: |expect| Write::DeleteScheduledJob { hub: name("hub-x"), id: "j".to_owned(), expect },
    },
    Noun {
        name: "message",
        put: |etag, expect| {
            let message = QueuedMessage { etag, ..message("d", 1) };
            Write::PutMessage { hub: name("hub-x"), message: Box::new(message), expect }
        },
        delete: |expect| Write::DeleteMessage {
            hub: name("hub-x"),
            queue: message("d", 1).queue,
            sequence: 1,
            expect,
        },
    },
    Noun {
        name: "secret",
        put: |etag, expect| {
            let mut secret = secret("scope", "s");
            secret.etag = etag;
            Write::PutSecret { secret: Box::new(secret), expect }
        },
        delete: |expect| Write::DeleteSecret { scope: "scope".to_owned(), id: "s".to_owned(), expect },
    },
];

pub(super) async fn every_expectation_of_every_noun(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let ends = ["source", "target"].map(|id| put_twin("twins-x", twin(id, "dtmi:m;1")));
    commit(&*store, ends).await;
    commit(&*store, [put_device("hub-x", device("host"))]).await;
    for noun in NOUNS {
        life_of(&*store, noun).await;
    }
}

async fn life_of(store: &dyn Store, noun: &Noun) {
    let tag = |text: &str| Expect::Etag(etag(text));
    let meets = async |write: Write, expected: Mismatch, step: &str| {
        assert_eq!(refused(store, [write]).await, (0, expected), "{}: {step}", noun.name);
    };
    let (put, delete) = (noun.put, noun.delete);
    meets(put(etag("1"), Expect::Present), Mismatch::Absent, "put, present").await;
    meets(put(etag("1"), tag("1")), Mismatch::Absent, "put, etag of nothing").await;
    meets(delete(Expect::Present), Mismatch::Absent, "delete, present").await;
    meets(delete(tag("1")), Mismatch::Absent, "delete, etag of nothing").await;
    commit(store, [delete(Expect::Any), delete(Expect::Absent)]).await;

    commit(store, [put(etag("1"), Expect::Absent)]).await;
    meets(put(etag("2"), Expect::Absent), Mismatch::Exists, "put, absent").await;
    meets(put(etag("2"), tag("0")), Mismatch::OtherEtag, "put, other etag").await;
    meets(delete(Expect::Absent), Mismatch::Exists, "delete, absent").await;
    meets(delete(tag("2")), Mismatch::OtherEtag, "delete, other etag").await;

    commit(store, [put(etag("2"), tag("1"))]).await;
    meets(put(etag("3"), tag("1")), Mismatch::OtherEtag, "put, etag of before").await;
    commit(store, [put(etag("3"), Expect::Present)]).await;
    commit(store, [put(etag("4"), Expect::Any)]).await;
    meets(delete(tag("3")), Mismatch::OtherEtag, "delete, etag of before").await;
    commit(store, [delete(tag("4"))]).await;

    meets(delete(Expect::Present), Mismatch::Absent, "delete twice").await;
    commit(store, [put(etag("5"), Expect::Any)]).await;
    commit(store, [delete(Expect::Present)]).await;
    commit(store, [put(etag("6"), Expect::Absent), delete(Expect::Any)]).await;
}

pub(super) async fn a_device_has_two_etags(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let put = |identity: Expect, twin: Expect, tags: (&str, &str)| {
        let mut device = device("d");
        (device.identity.etag, device.twin.etag) = (etag(tags.0), etag(tags.1));
        Write::PutDevice { hub: name("hub-x"), device: Box::new(device), identity, twin }
    };
    let tag = |text: &str| Expect::Etag(etag(text));
    assert_eq!(refused(&*store, [put(Expect::Any, tag("t1"), ("i1", "t1"))]).await, (0, Mismatch::Absent));
    commit(&*store, [put(Expect::Absent, Expect::Any, ("i1", "t1"))]).await;
    // The twin changes while the identity stays, and the other way round.
    commit(&*store, [put(Expect::Present, tag("t1"), ("i1", "t2"))]).await;
    commit(&*store, [put(tag("i1"), Expect::Any, ("i2", "t2"))]).await;
    for (identity, twin, met) in [
        (tag("i1"), tag("t2"), Mismatch::OtherEtag),
        (tag("i2"), tag("t1"), Mismatch::OtherEtag),
        (Expect::Any, Expect::Absent, Mismatch::Exists),
        (Expect::Absent, Expect::Any, Mismatch::Exists),
    ] {
        assert_eq!(refused(&*store, [put(identity, twin, ("i3", "t3"))]).await, (0, met));
    }
    commit(&*store, [put(tag("i2"), tag("t2"), ("i3", "t3"))]).await;
    // A deletion asks the identity alone.
    let delete = |identity| Write::DeleteDevice { hub: name("hub-x"), id: device_id("d").into(), identity };
    assert_eq!(refused(&*store, [delete(tag("t3"))]).await, (0, Mismatch::OtherEtag));
    commit(&*store, [delete(tag("i3"))]).await;
}

pub(super) async fn require_no_device(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let none = |id: DeviceId| Write::RequireNoDevice { hub: name("hub-x"), id };
    commit(&*store, [none(device_id("d")), put_device("hub-x", device("d"))]).await;
    let late = [put_device("hub-x", device("e")), none(device_id("d"))];
    assert_eq!(refused(&*store, late).await, (1, Mismatch::Exists));
    let found = store.device(&name("hub-x"), &device_id("e")).await.expect("device");
    assert_eq!(found, None);
    commit(&*store, [none(device_id("D"))]).await;
}

pub(super) async fn rows_without_etag_have_none_to_match(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let put = |expect| Write::PutModel { twins: name("twins-x"), model: Box::new(model("dtmi:m;1")), expect };
    let delete = |expect| Write::DeleteModel { twins: name("twins-x"), id: "dtmi:m;1".to_owned(), expect };
    let tag = || Expect::Etag(etag(""));
    assert_eq!(refused(&*store, [put(Expect::Present)]).await, (0, Mismatch::Absent));
    commit(&*store, [put(Expect::Absent)]).await;
    assert_eq!(refused(&*store, [put(Expect::Absent)]).await, (0, Mismatch::Exists));
    assert_eq!(refused(&*store, [put(tag())]).await, (0, Mismatch::OtherEtag));
    assert_eq!(refused(&*store, [delete(tag())]).await, (0, Mismatch::OtherEtag));
    commit(&*store, [put(Expect::Present), delete(Expect::Present)]).await;
    assert_eq!(refused(&*store, [delete(Expect::Present)]).await, (0, Mismatch::Absent));

    let app = OwnerName::from(name("functions-one"));
    let delete = |id, expect| Write::DeleteDeadLetter { app: name("functions-one").into(), id, expect };
    commit(&*store, [Write::PutDeadLetter { letter: Box::new(dead_letter(1)) }]).await;
    let letters = store.dead_letters(&app, None, None, 1).await.expect("dead letters").items;
    let id = letters.first().expect("there is one").id;
    assert_eq!(refused(&*store, [delete(id, tag())]).await, (0, Mismatch::OtherEtag));
    assert_eq!(refused(&*store, [delete(id, Expect::Absent)]).await, (0, Mismatch::Exists));
    commit(&*store, [delete(id, Expect::Present), delete(id, Expect::Any)]).await;
    assert_eq!(refused(&*store, [delete(id, Expect::Present)]).await, (0, Mismatch::Absent));
}
