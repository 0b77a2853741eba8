//! All services with the resources of a first start: `dps1`, `hub1`, `events1`, `twins1`, `functions1`.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pollux_amqp::Message;
use pollux_eventlog::{ReadFrom, ReadLimit, SegmentLog, SegmentOptions, StreamName};
use pollux_model::device::Device;
use pollux_model::enrollment::{Attestation, EnrollmentGroup};
use pollux_model::registration::{Registration, RegistrationStatus};
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::sas::{self, SasToken};
use pollux_model::{
    Clock as _, DeviceAddress, DeviceId, Key, KeyPair, ManualClock, RegistrationId, Result, Timestamp,
};
use pollux_services::hub::telemetry::Telemetry;
use pollux_services::provisioning::{EnrollmentInput, GroupInput, RegisterRequest};
use pollux_services::resources::{Declared, ResourceTable};
use pollux_services::{Caller, Context, Limits, Services};
use pollux_store::functions::ConsumerKey;
use pollux_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use pollux_testkit::SeededRandom;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const THERMOSTAT: &str = "dtmi:example:Thermostat;1";
pub(crate) const SPACE: &str = "dtmi:example:Space;1";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Services of a test's own.
pub(crate) struct World {
    pub(crate) services: Arc<Services>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) admin: Caller,
    stop: CancellationToken,
    tasks: TaskTracker,
    folder: tempfile::TempDir,
}

/// Opens the store once nobody has it: a read on a blocking thread may outlive the services that asked for it.
async fn open_store(path: &Path) -> SqliteStore {
    for _ in 0..1_000_000 {
        match SqliteStore::open(path, SqliteOptions::default()) {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the store of the services before is held for good");
}

impl World {
    /// With models uploaded; nothing runs in the background yet.
    pub(crate) async fn new() -> Self {
        Self::with(&[], |_| {}).await
    }

    pub(crate) async fn with(declared: &[Declared], limits: impl FnOnce(&mut Limits)) -> Self {
        let world = Self::open(tempfile::tempdir().unwrap(), 1, declared, limits).await;
        let twins = world.resource(ResourceKind::Twins);
        world.services.twins.create_models(&world.admin, &twins.name, models()).await.unwrap();
        world
    }

    /// Over a folder that an earlier one may have left.
    pub(crate) async fn open(
        folder: tempfile::TempDir,
        seed: u64,
        declared: &[Declared],
        limits: impl FnOnce(&mut Limits),
    ) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let store = open_store(&folder.path().join("state.db")).await;
        let log =
            SegmentLog::open(&folder.path().join("log"), SegmentOptions::default(), clock.clone()).unwrap();
        let mut bounds = Limits::default();
        limits(&mut bounds);
        let context = Context {
            store: Arc::new(store),
            log: Arc::new(log),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(seed)),
            table: ResourceTable::new(vec!["localhost".into()]),
            limits: bounds,
            cluster: pollux_services::Cluster::solo(),
            https_ports: OnceLock::new(),
            http: reqwest::Client::new(),
            trust: pollux_services::SystemTrust::default(),
        };
        let services = Services::new(Arc::new(context));
        services.load(declared).await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { services, clock, admin: Caller::admin(), stop, tasks, folder }
    }

    /// Starts what runs in the background: relay, functions.
    pub(crate) fn start(&self) {
        self.services.start(&self.stop, &self.tasks);
    }

    /// Ends what runs in the background and closes everything; what is left is the folder.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.folder
    }

    /// Leaves everything as it is; what is left is the folder.
    pub(crate) fn crashed(self) -> tempfile::TempDir {
        self.folder
    }

    /// The oldest resource of a kind.
    pub(crate) fn resource(&self, kind: ResourceKind) -> Arc<Resource> {
        self.services.context.table.serving(kind, "localhost").unwrap()
    }

    pub(crate) fn dps(&self) -> Arc<Resource> {
        self.resource(ResourceKind::Dps)
    }

    pub(crate) fn hub(&self) -> Arc<Resource> {
        self.resource(ResourceKind::Hub)
    }

    pub(crate) fn named(&self, kind: ResourceKind, name: &str) -> Arc<Resource> {
        self.services.context.table.named(kind, name).unwrap()
    }

    pub(crate) fn tick(&self) -> Timestamp {
        self.clock.advance(Duration::from_secs(1));
        self.clock.now()
    }

    /// An enrollment group.
    pub(crate) async fn group(&self, id: &str, change: impl FnOnce(&mut EnrollmentInput)) -> EnrollmentGroup {
        let mut common = EnrollmentInput::default();
        change(&mut common);
        let input = GroupInput { id: id.into(), common };
        self.services.provisioning.put_enrollment_group(&self.admin, &self.dps(), input, None).await.unwrap()
    }

    /// An enrollment group with a custom allocation webhook.
    pub(crate) async fn custom_group(&self, id: &str, url: &str) -> EnrollmentGroup {
        self.group(id, |input| {
            input.allocation_policy = Some("custom".into());
            input.webhook = Some((url.into(), None));
        })
        .await
    }

    /// The token of a device, signed with a key.
    pub(crate) fn device_token(&self, id: &str, key: &Key) -> SasToken {
        let dps = self.dps();
        let Properties::Dps(own) = &dps.properties else { panic!("not a provisioning service") };
        let resource = format!("{}/registrations/{id}", own.id_scope);
        let expiry = self.clock.now().as_secs() + 3600;
        SasToken::parse(&sas::sign(&resource, &key.bytes(), expiry, None)).unwrap()
    }

    /// A device that proved it belongs to the group.
    pub(crate) async fn attested(&self, id: &str, group: &EnrollmentGroup) -> Caller {
        let token = self.device_token(id, &keys_of(group).primary.derive(id));
        self.services.provisioning.attest_by_token(&self.dps(), id, &token, None).await.unwrap()
    }

    /// Registers and waits for the end.
    pub(crate) async fn register(&self, caller: &Caller, id: &str, payload: Option<Value>) -> Registration {
        self.register_as(caller, id, RegisterRequest { payload, ..RegisterRequest::default() }).await
    }

    pub(crate) async fn register_as(
        &self,
        caller: &Caller,
        id: &str,
        request: RegisterRequest,
    ) -> Registration {
        let (provisioning, dps) = (&self.services.provisioning, self.dps());
        provisioning.register(caller, &dps, request).await.unwrap();
        self.registered(id).await
    }

    /// Waits until the registration has come to an end.
    pub(crate) async fn registered(&self, id: &str) -> Registration {
        self.until(async || {
            self.record(id).await.filter(|record| record.status != RegistrationStatus::Assigning)
        })
        .await
    }

    /// A device of a group, with its twin: through to the end.
    pub(crate) async fn provision(&self, id: &str, group: &EnrollmentGroup) -> Registration {
        let caller = self.attested(id, group).await;
        let record = self.register(&caller, id, Some(json!({ "modelId": THERMOSTAT }))).await;
        assert_eq!(record.status, RegistrationStatus::Assigned, "{:?}", record.failure);
        record
    }

    pub(crate) async fn record(&self, id: &str) -> Option<Registration> {
        let id = RegistrationId::parse(id).unwrap();
        self.services.context.store.registration(&self.dps().name, &id).await.unwrap()
    }

    pub(crate) async fn device(&self, id: &str) -> Option<Device> {
        let id = DeviceId::parse(id).unwrap();
        self.services.context.store.device(&self.hub().name, &id).await.unwrap()
    }

    /// The digital twin's document.
    pub(crate) async fn twin(&self, id: &str) -> Option<Value> {
        let twins = self.resource(ResourceKind::Twins);
        self.services.context.store.twin(&twins.name, id).await.unwrap().map(|twin| twin.document)
    }

    /// The device as a caller of its hub.
    pub(crate) async fn connected(&self, id: &str) -> Caller {
        let device = self.device(id).await.unwrap();
        let token = sas::sign(
            &format!("localhost/devices/{id}"),
            &device_keys(&device).primary.bytes(),
            self.clock.now().as_secs() + 3600,
            None,
        );
        let token = SasToken::parse(&token).unwrap();
        self.services.hub.authenticate_device(&self.hub(), &device.address(), &token).await.unwrap().0
    }

    /// Sends a JSON message as the device.
    pub(crate) async fn send(&self, id: &str, body: &Value) {
        self.send_message(id, json_message(body)).await.unwrap();
    }

    pub(crate) async fn send_message(&self, id: &str, message: Telemetry) -> Result<()> {
        let caller = self.connected(id).await;
        let (hub, id) = (self.hub(), DeviceAddress::parse(id).unwrap());
        let taken = self.services.hub.telemetry(&caller, &hub, &id, vec![message]).await;
        taken.refused.map_or(Ok(()), Err)
    }

    pub(crate) async fn delete_device(&self, id: &str) {
        self.services.hub.delete_device(&self.admin, &self.hub(), id, None).await.unwrap();
    }

    /// All events of an event hub in order of partition.
    pub(crate) async fn events(&self, event_hub: &str) -> Vec<Message> {
        self.events_of(&format!("events1/{event_hub}"), self.partitions(event_hub)).await
    }

    /// All events of a stream with so many partitions.
    pub(crate) async fn events_of(&self, stream: &str, partitions: u32) -> Vec<Message> {
        let stream = StreamName::new(stream).unwrap();
        let mut found = Vec::new();
        for partition in 0..partitions {
            let all = ReadLimit { records: 10_000, bytes: usize::MAX };
            let log = &self.services.context.log;
            let records = log.read(&stream, partition, &ReadFrom::Earliest, all).await.unwrap();
            found.extend(records.into_iter().map(|record| Message::decode(record.payload).unwrap()));
        }
        found
    }

    fn partitions(&self, event_hub: &str) -> u32 {
        let Properties::Events(events) = &self.named(ResourceKind::Events, "events1").properties.clone()
        else {
            panic!("no namespace")
        };
        events.event_hubs.iter().find(|hub| hub.name == event_hub).unwrap().partitions
    }

    /// Waits until every committed event is in the log and every function has worked on all of them.
    pub(crate) async fn settled(&self) {
        self.until(async || {
            let store = &self.services.context.store;
            if !store.outbox(0, 1).await.unwrap().is_empty() {
                return None;
            }
            for (function, event_hub) in [("ingest", "deviceevents"), ("retire", "lifecycleevents")] {
                let key = ConsumerKey {
                    owner: format!("functions/functions1/{function}"),
                    namespace: self.named(ResourceKind::Events, "events1").name.clone().into(),
                    event_hub: event_hub.into(),
                    consumer_group: "$Default".into(),
                };
                let known = store.checkpoints(&key).await.unwrap();
                let stream = StreamName::new(&format!("events1/{event_hub}")).unwrap();
                for partition in 0..self.partitions(event_hub) {
                    let last = self.services.context.log.partition(&stream, partition).await.unwrap();
                    let at = known
                        .iter()
                        .find(|(of, _)| *of == partition)
                        .map_or(-1, |(_, at)| at.sequence_number);
                    if at < last.last_sequence_number {
                        return None;
                    }
                }
            }
            Some(())
        })
        .await;
    }

    /// Asks until there is an answer.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(&self, mut ask: impl FnMut() -> F) -> T {
        let asking = async {
            loop {
                if let Some(found) = ask().await {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("what is waited for comes")
    }
}

/// What the allocation function answers.
pub(crate) async fn allocate(services: &Services, request: &Value) -> (u16, String) {
    let app = services.context.table.serving(ResourceKind::Functions, "localhost").unwrap();
    let Properties::Functions(properties) = &app.properties else { panic!("no function app") };
    let key = properties.keys.primary.reveal().to_owned();
    services.functions.invoke(&app, "DpsAdtAllocationFunc", Some(&key), request).await
}

pub(crate) fn keys_of(group: &EnrollmentGroup) -> KeyPair {
    attestation_keys(&group.attestation)
}

pub(crate) fn attestation_keys(attestation: &Attestation) -> KeyPair {
    match attestation {
        Attestation::SymmetricKey { keys } => keys.clone(),
        other => panic!("not by keys: {other:?}"),
    }
}

pub(crate) fn device_keys(device: &Device) -> KeyPair {
    match &device.identity.authentication {
        pollux_model::device::Authentication::Sas { keys } => keys.clone(),
        other => panic!("not by keys: {other:?}"),
    }
}

pub(crate) fn json_message(body: &Value) -> Telemetry {
    let mut message = Telemetry { body: body.to_string().into(), ..Telemetry::default() };
    message.system.content_type = Some("application/json".into());
    message.system.content_encoding = Some("utf-8".into());
    message
}

pub(crate) fn declared(kind: ResourceKind, body: Value) -> Declared {
    Declared::read(kind, None, body).unwrap()
}

fn models() -> Vec<Value> {
    let property = |name: &str, schema: &str| json!({ "@type": "Property", "name": name, "schema": schema });
    vec![
        json!({
            "@id": THERMOSTAT, "@type": "Interface", "@context": "dtmi:dtdl:context;2",
            "contents": [
                property("Temperature", "double"), property("Humidity", "double"), property("Serial", "string"),
                { "@type": "Component", "name": "sensor", "schema": "dtmi:example:Sensor;1" },
                { "@type": "Relationship", "name": "near" },
                { "@type": "Telemetry", "name": "Noise", "schema": "double" },
            ],
        }),
        json!({
            "@id": "dtmi:example:Sensor;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2",
            "contents": [property("Reading", "double")],
        }),
        json!({
            "@id": SPACE, "@type": "Interface", "@context": "dtmi:dtdl:context;2",
            "contents": [property("Temperature", "double"), { "@type": "Relationship", "name": "contains" }],
        }),
    ]
}
