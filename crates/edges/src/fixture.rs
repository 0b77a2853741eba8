//! For tests: all services over a store and a log in a folder of their own, with the resources of a first start and a clock
//! that stands still.

use std::sync::Arc;

use pollux_eventlog::{SegmentLog, SegmentOptions};
use pollux_model::{ManualClock, Timestamp};
use pollux_services::resources::ResourceTable;
use pollux_services::{Context, Limits, Services, Settings};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_testkit::SeededRandom;

/// The folder goes when the services have gone.
pub(crate) async fn services() -> (Arc<Services>, tempfile::TempDir) {
    services_at(Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)))).await
}

/// The same with a clock that the test moves.
pub(crate) async fn services_at(clock: Arc<ManualClock>) -> (Arc<Services>, tempfile::TempDir) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
    let log = SegmentLog::open(&folder.path().join("log"), SegmentOptions::default(), clock.clone()).unwrap();
    let context = Context {
        store: Arc::new(store),
        log: Arc::new(log),
        clock,
        random: Arc::new(SeededRandom::new(1)),
        table: ResourceTable::new(vec!["localhost".into()]),
        limits: Limits::default(),
        cluster: pollux_services::Cluster::solo(),
        https_ports: std::sync::OnceLock::new(),
        http: reqwest::Client::new(),
        trust: pollux_services::SystemTrust::default(),
    };
    let settings = Settings { files: Some(folder.path().join("files")), ..Settings::default() };
    let services = Services::with(Arc::new(context), settings);
    services.load(&[]).await.unwrap();
    (services, folder)
}
