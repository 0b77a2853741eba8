//! For unit tests: all services over a store and a log in a folder of their own, with a clock that stands still.

use std::sync::{Arc, OnceLock};

use pollux_bus::Exchange;
use pollux_eventlog::{SegmentLog, SegmentOptions};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{ManualClock, Random, SystemRandom, Timestamp};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};

use crate::cluster::Cluster;
use crate::provisioning::{EnrollmentInput, GroupInput, IndividualInput};
use crate::resources::{Declared, ResourceTable};
use crate::{Caller, Context, Limits, Services, Settings};

/// Services of a test's own.
pub(crate) struct World {
    pub(crate) services: Arc<Services>,
    pub(crate) clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl World {
    /// With the defaults of a first start.
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), &[]).await
    }

    pub(crate) async fn with(settings: Settings, declared: &[Declared]) -> Self {
        let world = Self::unloaded(tempfile::tempdir().unwrap(), settings);
        world.services.load(declared).await.unwrap();
        world
    }

    /// The same after a restart, before anything is loaded.
    pub(crate) fn restarted(self) -> Self {
        let Self { services, folder, .. } = self;
        drop(services);
        Self::unloaded(folder, Settings::default())
    }

    pub(crate) fn unloaded(folder: tempfile::TempDir, settings: Settings) -> Self {
        Self::opened(folder, settings, |_| {})
    }

    fn opened(folder: tempfile::TempDir, settings: Settings, change: impl FnOnce(&mut Context)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
        let log = SegmentLog::open(&folder.path().join("events"), SegmentOptions::default(), clock.clone())
            .unwrap();
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let mut context = Context {
            store: Arc::new(store),
            log: Arc::new(log),
            clock: clock.clone(),
            random,
            table: ResourceTable::new(vec!["localhost".into()]),
            limits: Limits::default(),
            cluster: Cluster::solo(),
            https_ports: OnceLock::new(),
            http: reqwest::Client::new(),
            trust: crate::SystemTrust::default(),
        };
        change(&mut context);
        Self { services: Services::with(Arc::new(context), settings), clock, folder }
    }

    /// Over a context that differs from the usual one: in its bounds, or in other nodes that there are.
    pub(crate) async fn differing(change: impl FnOnce(&mut Context)) -> Self {
        let world = Self::opened(tempfile::tempdir().unwrap(), Settings::default(), change);
        world.services.load(&[]).await.unwrap();
        world
    }

    /// As the node `a` among those that tell each other by this exchange.
    pub(crate) async fn among(exchange: &Arc<Exchange>) -> Self {
        let bus = exchange.join();
        let shared = |context: &mut Context| {
            context.cluster = Cluster::shared("a".to_owned(), bus, Arc::clone(&context.store));
        };
        Self::differing(shared).await
    }

    /// An individual enrollment, by a key of its own.
    pub(crate) async fn enroll(&self, id: &str) {
        let (dps, common) = (self.resource(ResourceKind::Dps, "dps1"), EnrollmentInput::default());
        let input = IndividualInput {
            registration_id: id.to_owned(),
            device_id: None,
            optional_device_information: None,
            common,
        };
        self.services.provisioning.put_enrollment(&Caller::admin(), &dps, input, None).await.unwrap();
    }

    /// An enrollment group, by a key.
    pub(crate) async fn group(&self, id: &str) {
        let (dps, common) = (self.resource(ResourceKind::Dps, "dps1"), EnrollmentInput::default());
        let input = GroupInput { id: id.to_owned(), common };
        self.services.provisioning.put_enrollment_group(&Caller::admin(), &dps, input, None).await.unwrap();
    }

    /// A resource by kind and name.
    pub(crate) fn resource(&self, kind: ResourceKind, name: &str) -> Arc<Resource> {
        self.services.context.table.named(kind, name).unwrap()
    }
}
