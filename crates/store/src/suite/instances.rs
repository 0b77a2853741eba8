//! Instances side by side: what one holds is nobody else's, and goes with it.

use std::sync::Arc;

use pollux_model::device::Status;
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::ResourceKind;
use pollux_model::{OwnerName, ResourceName};

use super::fixtures::{
    checkpoint, configuration, consumer, device, device_job, enrollment, enrollment_group, everything,
    message, model, module, name, outbox, past_twin, put_configuration, put_device, put_device_job,
    put_message, put_registration, put_relationship, put_scheduled_job, put_twin, put_version, registration,
    relationship, resources, scheduled_job, twin,
};
use super::{Backend, commit};
use crate::batch::{Expect, Write};
use crate::messages::Which;
use crate::scheduled_jobs::DeviceJobFilter;
use crate::store::Store;

/// What an instance holds, per table: devices, modules; enrollments, groups, registrations; models, twins, relationships,
/// versions; dead letters; messages; configurations; scheduled jobs, jobs at devices.
async fn sizes(store: &dyn Store, suffix: &str) -> [usize; 14] {
    let of = |kind: &str| name(&format!("{kind}-{suffix}"));
    let (hub, dps, twins, app) = (&of("hub"), &of("dps"), &of("twins"), &of("functions"));
    let why = "the store can be read";
    let queue = message("Device-1", 7).queue;
    [
        store.devices(hub, None, 9).await.expect(why).items.len(),
        store.modules(hub, None, 9).await.expect(why).items.len(),
        usize::try_from(store.count_enrollments(dps).await.expect(why)).expect("few"),
        store.enrollment_groups(dps, None, 9).await.expect(why).items.len(),
        usize::try_from(store.count_registrations(dps).await.expect(why)).expect("few"),
        store.models(twins).await.expect(why).len(),
        usize::try_from(store.count_twins(twins, None).await.expect(why)).expect("few"),
        store.relationships(twins, None, 9).await.expect(why).items.len(),
        store.versions(twins, "room", None, None, 9).await.expect(why).items.len(),
        store.dead_letters(&app.clone().into(), None, None, 9).await.expect(why).items.len(),
        store.messages(hub, &queue, Which::All, 9).await.expect(why).len(),
        store.configurations(hub, None, 9).await.expect(why).items.len(),
        store.scheduled_jobs(hub, None, 9).await.expect(why).items.len(),
        store.device_jobs(hub, DeviceJobFilter::default(), None, 9).await.expect(why).items.len(),
    ]
}

/// The same rows in instances `…-two`.
fn second() -> Vec<Write> {
    let (dps, twins) = (name("dps-two"), name("twins-two"));
    let mut letter = super::fixtures::dead_letter(42);
    letter.app = name("functions-two").into();
    let mut writes: Vec<Write> = resources("two")
        .into_iter()
        .map(|resource| Write::PutResource { resource: Box::new(resource), expect: Expect::Absent })
        .collect();
    writes.extend([
        put_device("hub-two", device("Device-1")),
        put_message("hub-two", message("Device-1", 7)),
        put_device("hub-two", module("Device-1", "Module-1")),
        put_configuration("hub-two", configuration("chiller-1")),
        put_scheduled_job("hub-two", scheduled_job("job-1")),
        put_device_job("hub-two", device_job("job-1", "Device-1")),
        Write::PutEnrollment {
            dps: dps.clone(),
            enrollment: Box::new(enrollment("Single-1")),
            expect: Expect::Absent,
        },
        Write::PutEnrollmentGroup {
            dps,
            group: Box::new(enrollment_group("Group-1")),
            expect: Expect::Absent,
        },
        put_registration("dps-two", registration("Device-1", None, RegistrationStatus::Failed)),
        Write::PutModel { twins, model: Box::new(model("dtmi:m;1")), expect: Expect::Absent },
        put_twin("twins-two", twin("Device-1", "dtmi:m;1")),
        put_twin("twins-two", twin("room", "dtmi:m;1")),
        put_version("twins-two", past_twin("room", "d0", 2, 8)),
        put_relationship("twins-two", relationship("room", "r1", "Device-1")),
        Write::PutDeadLetter { letter: Box::new(letter) },
    ]);
    writes
}

pub(super) async fn deleting_a_resource_removes_its_rows_alone(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, everything()).await;
    commit(&*store, second()).await;
    let full = [1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1];
    assert_eq!((sizes(&*store, "one").await, sizes(&*store, "two").await), (full, full));
    let mut left = full;
    for (kind, gone) in [
        (ResourceKind::Hub, 0..2),
        (ResourceKind::Dps, 2..5),
        (ResourceKind::Twins, 5..9),
        (ResourceKind::Events, 0..0),
        (ResourceKind::Functions, 9..10),
    ] {
        let name = name(&format!("{kind}-one"));
        commit(&*store, [Write::DeleteResource { kind, name: name.clone(), expect: Expect::Present }]).await;
        left[gone].fill(0);
        if kind == ResourceKind::Hub {
            left[10..].fill(0);
        }
        assert_eq!(sizes(&*store, "one").await, left, "after deleting {kind}");
        assert_eq!(store.resource(kind, &name).await.expect("resource"), None);
    }
    assert_eq!(sizes(&*store, "two").await, full);
    assert_eq!(store.resources().await.expect("resources"), resources("two"));
    let checkpoints = store.checkpoints(&consumer("functions/functions-one/ingest")).await;
    assert_eq!(checkpoints.expect("checkpoints"), []);
    assert_eq!(store.secrets("issuer-key").await.expect("secrets").len(), 1, "secrets are the deployment's");
    assert_eq!(outbox(&*store).await.len(), 1, "what happened is still told");
}

pub(super) async fn deleting_an_app_forgets_its_checkpoints(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let owners =
        ["functions/app-one/ingest", "functions/app-one2/ingest", "functions/app", "other/app-one/x"];
    let put = |owner| Write::PutCheckpoint { key: consumer(owner), partition: 0, checkpoint: checkpoint(1) };
    commit(&*store, owners.map(put)).await;
    let gone =
        Write::DeleteResource { kind: ResourceKind::Functions, name: name("app-one"), expect: Expect::Any };
    commit(&*store, [gone]).await;
    let mut left = Vec::new();
    for owner in owners {
        left.push(store.checkpoints(&consumer(owner)).await.expect("checkpoints").len());
    }
    assert_eq!(left, [0, 1, 1, 1]);
    let gone =
        Write::DeleteResource { kind: ResourceKind::Events, name: name("events-one"), expect: Expect::Any };
    commit(&*store, [gone]).await;
    assert_eq!(store.checkpoints(&consumer(owners[3])).await.expect("checkpoints"), []);
}

pub(super) async fn deleting_an_owner_of_streams_forgets_what_it_kept(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    for kind in [ResourceKind::Hub, ResourceKind::Twins] {
        let of = |name: ResourceName| match kind {
            ResourceKind::Hub => OwnerName::of_hub(&name),
            _ => OwnerName::of_twins(&name),
        };
        // A namespace of the same name is another owner.
        let owners = [of(name("one")), name("one").into(), of(name("two"))];
        let key = |owner: &OwnerName| crate::functions::ConsumerKey {
            namespace: owner.clone(),
            ..consumer("routing")
        };
        let letter = |owner: &OwnerName| {
            let letter = super::fixtures::dead_letter(1);
            Box::new(pollux_model::function::DeadLetter {
                app: owner.clone(),
                namespace: owner.clone(),
                ..letter
            })
        };
        for owner in &owners {
            let place = Write::PutCheckpoint { key: key(owner), partition: 0, checkpoint: checkpoint(1) };
            commit(&*store, [place, Write::PutDeadLetter { letter: letter(owner) }]).await;
        }
        let gone = Write::DeleteResource { kind, name: name("one"), expect: Expect::Any };
        commit(&*store, [gone]).await;
        let mut left = Vec::new();
        for owner in &owners {
            let letters = store.dead_letters(owner, None, None, 9).await.expect("dead letters").items.len();
            left.push((store.checkpoints(&key(owner)).await.expect("checkpoints").len(), letters));
        }
        assert_eq!(left, [(0, 0), (1, 1), (1, 1)], "{kind}");
    }
}

pub(super) async fn counts_are_per_instance(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let devices = (0..30).map(|n| {
        let mut device = device(&format!("d{n}"));
        if n % 3 == 0 {
            device.identity.status = Status::Disabled;
        }
        put_device(if n < 20 { "hub-one" } else { "hub-two" }, device)
    });
    commit(&*store, devices).await;
    assert_eq!(store.count_devices(&name("hub-one")).await.expect("count"), (20, 13));
    assert_eq!(store.count_devices(&name("hub-two")).await.expect("count"), (10, 7));
    assert_eq!(store.count_devices(&name("hub-three")).await.expect("count"), (0, 0));
    let records = (0..9).map(|n| {
        put_registration("dps-one", registration(&format!("r{n}"), None, RegistrationStatus::Assigned))
    });
    commit(&*store, records).await;
    assert_eq!(store.count_registrations(&name("dps-one")).await.expect("count"), 9);
    assert_eq!(store.count_registrations(&name("dps-two")).await.expect("count"), 0);
}
