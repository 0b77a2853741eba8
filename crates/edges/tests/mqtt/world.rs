//! All services in a folder of their own, with the resources of a first start, and the MQTT edge before them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pollux_edges::mqtt::Mqtt;
use pollux_eventlog::{ReadFrom, ReadLimit, SegmentLog, SegmentOptions, StreamName};
use pollux_model::device::{Authentication, Status};
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Clock as _, DeviceAddress, Key, ManualClock, SystemRandom, Timestamp, sas};
use pollux_services::hub::DeviceInput;
use pollux_services::provisioning::{AttestationInput, EnrollmentInput, GroupInput};
use pollux_services::resources::ResourceTable;
use pollux_services::{Caller, Context, Limits, Services};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::{Connect, LastWill};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::device::Device;

pub(crate) struct World {
    pub(crate) services: Arc<Services>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) shutdown: CancellationToken,
    mqtt: Arc<Mqtt>,
    _folder: tempfile::TempDir,
}

/// What a device knows.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) key: Key,
}

impl World {
    pub(crate) async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
        let log =
            SegmentLog::open(&folder.path().join("log"), SegmentOptions::default(), clock.clone()).unwrap();
        let context = Context {
            store: Arc::new(store),
            log: Arc::new(log),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            table: ResourceTable::new(vec!["localhost".into()]),
            limits: Limits::default(),
            cluster: pollux_services::Cluster::solo(),
            https_ports: OnceLock::new(),
            http: reqwest::Client::new(),
            trust: pollux_services::SystemTrust::default(),
        };
        let services = Services::new(Arc::new(context));
        services.load(&[]).await.unwrap();
        let mqtt = Mqtt::new(Arc::clone(&services));
        Self { services, clock, shutdown: CancellationToken::new(), mqtt, _folder: folder }
    }

    /// A pipe into the edge, and the task that serves it.
    pub(crate) fn dial(&self) -> (Device, JoinHandle<()>) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let serving = Arc::clone(&self.mqtt).serve(far, peer, None, self.shutdown.clone());
        (Device::new(near), tokio::spawn(serving))
    }

    pub(crate) fn resource(&self, kind: ResourceKind) -> Arc<Resource> {
        self.services.context.table.serving(kind, "localhost").unwrap()
    }

    pub(crate) fn id_scope(&self) -> String {
        let Properties::Dps(dps) = &self.resource(ResourceKind::Dps).properties else { panic!("no DPS") };
        dps.id_scope.clone()
    }

    /// A device in the hub.
    pub(crate) async fn device(&self, id: &str) -> Credentials {
        let hub = self.resource(ResourceKind::Hub);
        let made = self.services.hub.create_device(&Caller::admin(), &hub, input(id, None)).await.unwrap();
        let Authentication::Sas { keys } = made.identity.authentication else { panic!("no keys") };
        Credentials { id: id.to_owned(), key: keys.primary }
    }

    pub(crate) async fn set_status(&self, id: &str, status: Status) {
        let hub = self.resource(ResourceKind::Hub);
        let input = input(id, Some(status));
        self.services.hub.update_device(&Caller::admin(), &hub, input, None).await.unwrap();
    }

    /// An enrollment group with hashed allocation; its key.
    pub(crate) async fn group(&self, status: Status) -> Key {
        let key = Key::generate(&SystemRandom);
        let primary = Some(key.reveal().to_owned());
        let attestation = Some(AttestationInput::SymmetricKey { primary, secondary: None });
        let common = EnrollmentInput { attestation, status: Some(status), ..Default::default() };
        let group = GroupInput { id: "group1".to_owned(), common };
        let dps = self.resource(ResourceKind::Dps);
        self.services.provisioning.put_enrollment_group(&Caller::admin(), &dps, group, None).await.unwrap();
        key
    }

    /// A token that holds for this many seconds.
    pub(crate) fn token(&self, resource: &str, key: &Key, seconds: i64) -> String {
        sas::sign(resource, &key.bytes(), self.clock.now().as_secs() + seconds, None)
    }

    /// The CONNECT of a device of the hub.
    pub(crate) fn hub_connect(&self, device: &Credentials) -> Connect {
        let Credentials { id, key } = device;
        let username = format!("localhost/{id}/?api-version=2021-04-12&DeviceClientType=test%2F1");
        connect(id, &username, &self.token(&format!("localhost/devices/{id}"), key, 3600))
    }

    /// The CONNECT of a device that registers.
    pub(crate) fn dps_connect(&self, id: &str, key: &Key) -> Connect {
        let scope = self.id_scope();
        let username = format!("{scope}/registrations/{id}/api-version=2019-03-31&ClientVersion=test");
        connect(id, &username, &self.token(&format!("{scope}/registrations/{id}"), key, 3600))
    }

    /// A connected device.
    pub(crate) async fn connected(&self, device: &Credentials) -> Device {
        let (mut pipe, _) = self.dial();
        assert_eq!(pipe.connect(self.hub_connect(device)).await, 0);
        pipe
    }

    /// The payloads of `deviceevents`, as stored, in the order of their partition.
    pub(crate) async fn events(&self) -> Vec<bytes::Bytes> {
        let stream = StreamName::new("events1/deviceevents").unwrap();
        let mut all = Vec::new();
        for partition in 0..4 {
            let limit = ReadLimit { records: 10_000, bytes: 64 * 1024 * 1024 };
            let log = &self.services.context.log;
            let records = log.read(&stream, partition, &ReadFrom::Earliest, limit).await.unwrap();
            all.extend(records.into_iter().map(|record| record.payload));
        }
        all
    }

    /// Whether the hub counts the device among those connected.
    pub(crate) async fn is_connected(&self, id: &str) -> bool {
        let id = address(id);
        self.services.hub.connections.since(&self.resource(ResourceKind::Hub).name, &id).await.is_some()
    }
}

fn input(id: &str, status: Option<Status>) -> DeviceInput {
    DeviceInput { status, ..DeviceInput::new(id) }
}

/// A device, or a module as `device/module`.
pub(crate) fn address(text: &str) -> DeviceAddress {
    DeviceAddress::parse(text).unwrap()
}

pub(crate) fn connect(client_id: &str, username: &str, password: &str) -> Connect {
    Connect {
        client_id: client_id.into(),
        keep_alive: 60,
        clean_session: false,
        username: Some(username.into()),
        password: Some(bytes::Bytes::copy_from_slice(password.as_bytes())),
        ..Connect::default()
    }
}

pub(crate) fn will(topic: &str, message: &'static [u8]) -> LastWill {
    let message = bytes::Bytes::from_static(message);
    LastWill { qos: QoS::AtLeastOnce, retain: false, topic: topic.into(), message }
}

/// Whether the bytes `needle` are somewhere in `hay`.
pub(crate) fn holds(hay: &[u8], needle: &str) -> bool {
    hay.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Waits until something holds that others bring about.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    let all = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("it never came about");
}
