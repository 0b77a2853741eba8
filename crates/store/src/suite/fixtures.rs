//! Values with every field in use, for the suite and for golden files.

use std::collections::BTreeMap;

use pollux_model::configuration::Configured;
use pollux_model::device::{
    Activity, Authentication, Device, DeviceTwin, Identity, ProvisionedBy, Status, TwinCollection,
};
use pollux_model::digital_twin::{DigitalTwin, Past, PastVersion, Relationship, StoredModel};
use pollux_model::enrollment::{
    Allocation, Attestation, EnrollmentGroup, EnrollmentRules, IndividualEnrollment, InitialTwin,
    ReprovisionPolicy, Webhook,
};
use pollux_model::event::{Checkpoint, OutboxEntry};
use pollux_model::function::DeadLetter;
use pollux_model::job::{Job, JobError, JobKind, JobProgress, JobStatus, Section};
use pollux_model::registration::{Failure, Operation, Registration, RegistrationStatus, Substatus};
use pollux_model::resource::{
    BuiltInEndpoint, CloudToDevice, Dps, EndpointTarget, EventHub, Events, FileUpload, Functions, Hub,
    LinkedHub, Policy, PolicyRight, Properties, Resource, Route, RouteSource, RoutingEndpoint, Setting,
    TelemetryMapping, Twins,
};
use pollux_model::{
    DeviceAddress, DeviceId, Etag, Key, KeyPair, ModuleId, RegistrationId, ResourceName, Timestamp,
};
use serde_json::{Map, Value, json};

mod configurations;
mod messages;
mod scheduled_jobs;

pub use configurations::{check_configurations, configuration, put_configuration, put_configuration_if};
pub use messages::{check_messages, free_message, message, mqtt_session, put_message};
pub use scheduled_jobs::{
    check_scheduled_jobs, device_job, put_device_job, put_scheduled_job, scheduled_job, twin_job,
};

use crate::batch::{Expect, Write};
use crate::functions::ConsumerKey;
use crate::secrets::Secret;

/// A resource's name.
#[must_use]
pub fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).expect("a fixture's name is good")
}

/// A device's id.
#[must_use]
pub fn device_id(text: &str) -> DeviceId {
    DeviceId::parse(text).expect("a fixture's id is good")
}

/// A registration id.
#[must_use]
pub fn registration_id(text: &str) -> RegistrationId {
    RegistrationId::parse(text).expect("a fixture's id is good")
}

/// An etag.
#[must_use]
pub fn etag(text: &str) -> Etag {
    Etag::new(text)
}

/// A moment, `seconds` after a fixed one.
#[must_use]
pub fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_714_558_830_123_456 + seconds * 1_000_000)
}

/// Two keys.
#[must_use]
pub fn keys(seed: u8) -> KeyPair {
    KeyPair { primary: Key::from_bytes(&[seed; 32]), secondary: Key::from_bytes(&[seed ^ 0xff; 64]) }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// One resource of each kind: `dps`, `hub`, `events`, `twins`, `functions`, each with a suffix.
#[must_use]
pub fn resources(suffix: &str) -> Vec<Resource> {
    let policy = |name: &str, rights: &[PolicyRight]| Policy::new(name, keys(7), rights);
    let dps = Dps {
        id_scope: "0ne00A1B2C3".to_owned(),
        policies: vec![policy(
            "provisioningserviceowner",
            &[PolicyRight::ServiceConfig, PolicyRight::DeviceConnect],
        )],
        allocation: None,
        linked_hubs: vec![LinkedHub {
            latency_ms: None,
            latencies: BTreeMap::new(),
            hub: name("hub-one"),
            allocation_weight: 1000,
            apply_allocation_policy: true,
        }],
        certificates: Vec::new(),
        issuer: None,
        revocations: Vec::new(),
    };
    let hub = Hub {
        policies: vec![policy("iothubowner", &[PolicyRight::RegistryWrite, PolicyRight::ServiceConnect])],
        endpoints: vec![RoutingEndpoint {
            name: "deviceevents".to_owned(),
            target: EndpointTarget::EventHub {
                namespace: name("events-one"),
                event_hub: "deviceevents".to_owned(),
            },
        }],
        routes: vec![Route {
            name: "lifecycle".to_owned(),
            source: RouteSource::DeviceLifecycleEvents,
            condition: "opType='deleteDeviceIdentity'".to_owned(),
            endpoint: "deviceevents".to_owned(),
            enabled: true,
        }],
        events: BuiltInEndpoint::default(),
        fallback_route: true,
        enrichments: Vec::new(),
        certificates: Vec::new(),
        cloud_to_device: CloudToDevice::default(),
        file_upload: FileUpload::default(),
        sku: None,
    };
    let events = Events {
        policies: vec![policy("RootManageSharedAccessKey", &[PolicyRight::Manage])],
        event_hubs: vec![EventHub {
            name: "deviceevents".to_owned(),
            partitions: 4,
            retention_hours: 24,
            retention_bytes: Some(1 << 30),
            consumer_groups: vec!["$Default".to_owned(), "ingest".to_owned()],
            policies: vec![policy("listen", &[PolicyRight::Listen])],
        }],
    };
    let setting = ("ADT_SERVICE_URL".to_owned(), Setting("https://twins-one.localhost".to_owned()));
    let functions = Functions {
        keys: keys(9),
        settings: BTreeMap::from([setting]),
        mapping: vec![TelemetryMapping {
            model: Some("dtmi:sample:Thermostat;1".to_owned()),
            field: "/climate/temp".to_owned(),
            property: "/Temperature".to_owned(),
        }],
    };
    [
        Properties::Dps(dps),
        Properties::Hub(hub),
        Properties::Events(events),
        Properties::Twins(Twins::default()),
        Properties::Functions(functions),
    ]
    .into_iter()
    .map(|properties| resource(suffix, properties))
    .collect()
}

fn resource(suffix: &str, properties: Properties) -> Resource {
    let mut resource = Resource {
        name: name("placeholder"),
        group: "group-one".to_owned(),
        host_name: String::new(),
        created: moment(0),
        etag: etag("r1"),
        properties,
    };
    resource.name = name(&format!("{}-{suffix}", resource.kind()));
    resource.host_name = format!("{}.localhost", resource.name);
    resource
}

/// A device.
#[must_use]
pub fn device(id: &str) -> Device {
    Device {
        id: device_id(id),
        module: None,
        identity: Identity {
            generation_id: "637012345678901234".to_owned(),
            etag: etag("i1"),
            status: Status::Enabled,
            status_reason: Some("why — “quoted”".to_owned()),
            status_updated: Timestamp::NEVER,
            created: moment(1),
            authentication: Authentication::Sas { keys: keys(1) },
            iot_edge: false,
            provisioned_by: Some(ProvisionedBy {
                dps: "dps-one".to_owned(),
                registration_id: id.to_lowercase(),
            }),
            managed_by: None,
            device_scope: None,
            parent_scopes: Vec::new(),
        },
        twin: DeviceTwin {
            etag: etag("t1"),
            service_etag: etag("t0"),
            version: 3,
            model_id: "dtmi:sample:Thermostat;1".to_owned(),
            tags: map(json!({"z": 1, "dtmi": "dtmi:sample:Thermostat;1", "a": {"deep": [1, null, "x"]}})),
            desired: TwinCollection {
                properties: map(json!({"interval": 0.5, "big": 9_007_199_254_740_993_i64})),
                metadata: map(json!({"$lastUpdated": "2024-05-01T10:20:30Z", "$lastUpdatedVersion": 2})),
                version: 2,
            },
            reported: TwinCollection { version: 1, ..TwinCollection::default() },
            configured: Configured::default(),
        },
    }
}

/// A module of a device.
#[must_use]
pub fn module(device_id: &str, id: &str) -> Device {
    let mut module = device(device_id);
    module.module = Some(ModuleId::parse(id).expect("a fixture's id is good"));
    module.identity.managed_by = Some("IotEdge".to_owned());
    module.identity.provisioned_by = None;
    module
}

/// What individual enrollments and groups share.
#[must_use]
pub fn rules() -> EnrollmentRules {
    EnrollmentRules {
        status: Status::Enabled,
        allocation: Allocation::Custom {
            webhook: Webhook {
                url: "https://functions-one.localhost/api/allocate?code=secret".to_owned(),
                api_version: "2019-03-31".to_owned(),
            },
        },
        hubs: vec!["hub-one.localhost".to_owned()],
        initial_twin: Some(InitialTwin {
            tags: map(json!({"site": "north"})),
            desired: map(json!({"interval": 5})),
        }),
        reprovision: Some(ReprovisionPolicy { update_hub_assignment: true, migrate_device_data: false }),
        iot_edge: true,
        etag: etag("e1"),
        created: moment(2),
        updated: moment(3),
    }
}

/// An individual enrollment.
#[must_use]
pub fn enrollment(id: &str) -> IndividualEnrollment {
    IndividualEnrollment {
        registration_id: registration_id(id),
        device_id: Some(format!("device-of-{id}")),
        attestation: Attestation::SymmetricKey { keys: keys(2) },
        rules: rules(),
        optional_device_information: Some(map(json!({"note": "front door"}))),
    }
}

/// An enrollment group.
#[must_use]
pub fn enrollment_group(id: &str) -> EnrollmentGroup {
    EnrollmentGroup {
        id: id.to_owned(),
        attestation: Attestation::SymmetricKey { keys: keys(3) },
        rules: rules(),
    }
}

/// A registration record.
#[must_use]
pub fn registration(id: &str, group: Option<&str>, status: RegistrationStatus) -> Registration {
    Registration {
        registration_id: registration_id(id),
        displayed_id: id.to_owned(),
        group: group.map(ToOwned::to_owned),
        status,
        substatus: Some(Substatus::InitialAssignment),
        assigned_hub: Some("hub-one.localhost".to_owned()),
        device_id: Some(id.to_owned()),
        failure: Some(Failure { code: 400_207, message: "the webhook said 500: oh".to_owned() }),
        payload: Some(json!({"from": "webhook", "n": 1.25})),
        issued: Vec::new(),
        operation: Operation {
            id: "5.1234.abcd".to_owned(),
            started: moment(4),
            payload: Some(json!({"modelId": "dtmi:sample:Thermostat;1"})),
            force: true,
            stays: false,
            certificate: None,
            storage_root_key: None,
            signing_request: None,
            address: None,
            node: None,
        },
        created: moment(5),
        updated: moment(6),
        etag: etag("g1"),
    }
}

/// A model.
#[must_use]
pub fn model(id: &str) -> StoredModel {
    StoredModel {
        id: id.to_owned(),
        document: json!({"@id": id, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": []}),
        uploaded: moment(7),
        decommissioned: false,
    }
}

/// A twin.
#[must_use]
pub fn twin(id: &str, model: &str) -> DigitalTwin {
    DigitalTwin {
        id: id.to_owned(),
        model: model.to_owned(),
        etag: etag("d1"),
        document: json!({"$metadata": {"$model": model, "Temperature": {"lastUpdateTime": "2024-05-01T10:20:30Z"}},
            "Temperature": 21.5, "name": "Küche 🌡"}),
        updated: moment(8),
    }
}

/// A relationship.
#[must_use]
pub fn relationship(source: &str, id: &str, target: &str) -> Relationship {
    Relationship {
        id: id.to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        name: "contains".to_owned(),
        etag: etag("l1"),
        properties: json!({"since": 2020}),
        updated: Timestamp::default(),
    }
}

/// What a twin was from one moment until another.
#[must_use]
pub fn past_twin(id: &str, tag: &str, since: i64, until: i64) -> PastVersion {
    let twin = DigitalTwin { etag: etag(tag), updated: moment(since), ..twin(id, "dtmi:m;1") };
    PastVersion { was: Past::Twin(twin), until: moment(until), deleted: false }
}

/// What a relationship was from one moment until it was deleted.
#[must_use]
pub fn past_relationship(edge: Relationship, since: i64, until: i64) -> PastVersion {
    let edge = Relationship { updated: moment(since), ..edge };
    PastVersion { was: Past::Relationship(edge), until: moment(until), deleted: true }
}

/// Puts a version.
#[must_use]
pub fn put_version(twins: &str, version: PastVersion) -> Write {
    Write::PutVersion { twins: name(twins), version: Box::new(version) }
}

/// A consumer of `events-one/deviceevents`.
#[must_use]
pub fn consumer(owner: &str) -> ConsumerKey {
    ConsumerKey {
        owner: owner.to_owned(),
        namespace: name("events-one").into(),
        event_hub: "deviceevents".to_owned(),
        consumer_group: "$Default".to_owned(),
    }
}

/// A checkpoint.
#[must_use]
pub const fn checkpoint(sequence_number: i64) -> Checkpoint {
    Checkpoint { sequence_number, offset: sequence_number * 100 }
}

/// A dead letter of `functions-one`, function `ingest`; its id is for the store to give.
#[must_use]
pub fn dead_letter(sequence_number: i64) -> DeadLetter {
    DeadLetter {
        id: 0,
        app: name("functions-one").into(),
        function: "ingest".to_owned(),
        namespace: name("events-one").into(),
        event_hub: "deviceevents".to_owned(),
        partition: 3,
        sequence_number,
        enqueued: moment(9),
        failed: moment(10),
        attempts: 5,
        reason: "the twin's model has no such property".to_owned(),
        payload: vec![0, 0x53, 0x75, 0xff],
    }
}

/// An import job, at work.
#[must_use]
pub fn job(id: &str) -> Job {
    Job {
        id: id.to_owned(),
        kind: JobKind::Imports,
        status: JobStatus::Running,
        etag: etag("j1"),
        input: Some(Setting("https://storage.example/in/graph.ndjson?sig=secret".to_owned())),
        output: Some(Setting("https://storage.example/out/log.ndjson?sig=secret".to_owned())),
        created: moment(40),
        last_action: moment(41),
        finished: Some(moment(42)),
        purge: Some(moment(43)),
        deadline: Some(moment(44)),
        error: Some(JobError { code: "ValidationFailed".to_owned(), message: "not all".to_owned() }),
        progress: JobProgress {
            section: Some(Section::Twins),
            offset: 1_000_000,
            line: 20_000,
            input_etag: Some("\"0x8D\"".to_owned()),
            models: 1,
            twins: 2,
            relationships: 3,
            unchanged: 4,
            failed: 5,
            failed_in_section: 6,
        },
        registry: None,
    }
}

/// A secret.
#[must_use]
pub fn secret(scope: &str, id: &str) -> Secret {
    Secret {
        scope: scope.to_owned(),
        id: id.to_owned(),
        value: r#"{"k":"c2VjcmV0"}"#.to_owned(),
        etag: etag("s1"),
        created: moment(11),
    }
}

/// An outbox entry whose payload is its number.
#[must_use]
pub fn outbox_entry(number: u64) -> OutboxEntry {
    let mut idempotency_key = [0xa5; 16];
    idempotency_key[..8].copy_from_slice(&number.to_be_bytes());
    OutboxEntry {
        namespace: name("events-one").into(),
        event_hub: "deviceevents".to_owned(),
        partition_key: format!("device-{number}"),
        idempotency_key,
        payload: number.to_be_bytes().to_vec(),
    }
}

/// Puts a device or a module, whatever is there.
#[must_use]
pub fn put_device(hub: &str, device: Device) -> Write {
    Write::PutDevice { hub: name(hub), device: Box::new(device), identity: Expect::Any, twin: Expect::Any }
}

/// Puts a registration record, whatever is there.
#[must_use]
pub fn put_registration(dps: &str, registration: Registration) -> Write {
    Write::PutRegistration { dps: name(dps), registration: Box::new(registration), expect: Expect::Any }
}

/// Puts a twin, whatever is there.
#[must_use]
pub fn put_twin(twins: &str, twin: DigitalTwin) -> Write {
    Write::PutTwin { twins: name(twins), twin: Box::new(twin), expect: Expect::Any }
}

/// Puts a relationship, whatever is there.
#[must_use]
pub fn put_relationship(twins: &str, relationship: Relationship) -> Write {
    Write::PutRelationship { twins: name(twins), relationship: Box::new(relationship), expect: Expect::Any }
}

/// Adds to the outbox.
#[must_use]
pub fn tell(number: u64) -> Write {
    Write::Outbox(Box::new(outbox_entry(number)))
}

/// One row in every table, outbox included: instances `…-one`.
#[must_use]
pub fn everything() -> Vec<Write> {
    let (dps, twins) = (name("dps-one"), name("twins-one"));
    let mut writes: Vec<Write> = resources("one")
        .into_iter()
        .map(|resource| Write::PutResource { resource: Box::new(resource), expect: Expect::Absent })
        .collect();
    writes.extend([
        put_device("hub-one", device("Device-1")),
        Write::PutEnrollment {
            dps: dps.clone(),
            enrollment: Box::new(enrollment("Single-1")),
            expect: Expect::Any,
        },
        Write::PutEnrollmentGroup { dps, group: Box::new(enrollment_group("Group-1")), expect: Expect::Any },
        put_registration("dps-one", registration("Device-1", Some("Group-1"), RegistrationStatus::Assigned)),
        Write::PutModel { twins, model: Box::new(model("dtmi:sample:Thermostat;1")), expect: Expect::Any },
        put_twin("twins-one", twin("Device-1", "dtmi:sample:Thermostat;1")),
        put_twin("twins-one", twin("room", "dtmi:sample:Room;1")),
        put_relationship("twins-one", relationship("room", "r1", "Device-1")),
        put_version("twins-one", past_twin("room", "d0", 2, 8)),
        Write::PutCheckpoint {
            key: consumer("functions/functions-one/ingest"),
            partition: 3,
            checkpoint: checkpoint(41),
        },
        Write::PutDeadLetter { letter: Box::new(dead_letter(42)) },
        Write::PutSecret { secret: Box::new(secret("issuer-key", "k1")), expect: Expect::Any },
        Write::PutJob { twins: name("twins-one"), job: Box::new(job("import-1")), expect: Expect::Any },
        put_message("hub-one", message("Device-1", 7)),
        Write::PutMqttSession { hub: name("hub-one"), session: Box::new(mqtt_session("Device-1")) },
        put_device("hub-one", module("Device-1", "Module-1")),
        note_activity("hub-one", "Device-1", 3, 7),
        put_configuration("hub-one", configuration("chiller-1")),
        put_scheduled_job("hub-one", scheduled_job("job-1")),
        put_device_job("hub-one", device_job("job-1", "Device-1/Module-1")),
        tell(1),
    ]);
    writes
}

/// A device or module was heard of.
#[must_use]
pub fn note_activity(hub: &str, device: &str, state_updated: i64, last: i64) -> Write {
    let device = DeviceAddress::parse(device).expect("an address");
    let activity = Activity { state_updated: moment(state_updated), last: moment(last) };
    Write::NoteActivity { hub: name(hub), device, activity }
}

/// All outbox entries in order of their rows, whichever shard they are in.
pub async fn outbox(store: &dyn crate::store::Store) -> Vec<(i64, OutboxEntry)> {
    let mut all = Vec::new();
    for shard in 0..store.outbox_shards() {
        all.extend(store.outbox(shard, usize::MAX).await.expect("the store can be read"));
    }
    all.sort_by_key(|(row, _)| *row);
    all
}

/// Checks that the version in [`everything`] is there.
pub async fn check_history(store: &dyn crate::store::Store) {
    let found =
        store.versions(&name("twins-one"), "room", None, None, 9).await.expect("the store can be read");
    assert_eq!(found.items, [past_twin("room", "d0", 2, 8)]);
}

/// Checks that the times in [`everything`] are there.
pub async fn check_activity(store: &dyn crate::store::Store) {
    let device = DeviceAddress::from(device_id("Device-1"));
    let found = store.activities(&name("hub-one"), std::slice::from_ref(&device)).await.expect("times");
    assert_eq!(found, [(device, Activity { state_updated: moment(3), last: moment(7) })].into());
}

/// Checks that the module in [`everything`] is there.
pub async fn check_modules(store: &dyn crate::store::Store) {
    let found = store.modules_of(&name("hub-one"), &device_id("Device-1")).await.expect("modules");
    assert_eq!(found, [module("Device-1", "Module-1")]);
}

/// Checks that [`everything`] is there, field by field, but for what older versions could not hold.
pub async fn check_everything(store: &dyn crate::store::Store) {
    let (dps, twins) = (name("dps-one"), name("twins-one"));
    let why = "the store can be read";
    assert_eq!(store.resources().await.expect(why), resources("one"));
    let found = store.device(&name("hub-one"), &device_id("Device-1")).await.expect(why);
    assert_eq!(found, Some(device("Device-1")));
    let found = store.enrollment(&dps, &registration_id("single-1")).await.expect(why);
    assert_eq!(found, Some(enrollment("Single-1")));
    let found = store.enrollment_group(&dps, "group-1").await.expect(why);
    assert_eq!(found, Some(enrollment_group("Group-1")));
    let found = store.registration(&dps, &registration_id("device-1")).await.expect(why);
    assert_eq!(found, Some(registration("Device-1", Some("Group-1"), RegistrationStatus::Assigned)));
    assert_eq!(store.models(&twins).await.expect(why), [model("dtmi:sample:Thermostat;1")]);
    let found = store.twin(&twins, "Device-1").await.expect(why);
    assert_eq!(found, Some(twin("Device-1", "dtmi:sample:Thermostat;1")));
    let found = store.relationship(&twins, "room", "r1").await.expect(why);
    assert_eq!(found, Some(relationship("room", "r1", "Device-1")));
    let found = store.checkpoints(&consumer("functions/functions-one/ingest")).await.expect(why);
    assert_eq!(found, [(3, checkpoint(41))]);
    let found = store.dead_letters(&name("functions-one").into(), None, None, 10).await.expect(why).items;
    let id = found.first().map_or(0, |letter| letter.id);
    assert_eq!(found, [DeadLetter { id, ..dead_letter(42) }]);
    assert_eq!(store.secrets("issuer-key").await.expect(why), [secret("issuer-key", "k1")]);
    // The first versions had none.
    if let Some(found) = store.job(&twins, JobKind::Imports, "import-1").await.expect(why) {
        assert_eq!(found, job("import-1"));
    }
    let found = outbox(store).await;
    assert_eq!(found.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), [outbox_entry(1)]);
}
