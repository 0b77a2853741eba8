//! Deployments that are moved, and what is looked at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_eventlog::{
    EventLog, JetStreamLog, JetStreamOptions, Position, ReadFrom, ReadLimit, Record, Retention, SegmentLog,
    SegmentOptions, StreamConfig, StreamName,
};
use pollux_model::resource::Setting;
use pollux_model::{SystemClock, Timestamp};
use pollux_server::Config;
use pollux_server::transfer::{self, Export, Import, Moved, Progress, TransferError, Unit};
use pollux_store::portable::{Row, Table};
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use pollux_store::suite::fixtures;
use pollux_store::{Batch, Write};
use pollux_testkit::TestServer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The devices beside those of the fixtures.
pub(crate) const DEVICES: usize = 2500;

/// Says nothing.
pub(crate) struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: Unit, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn say(&self, _: &str) {}
}

/// Where a deployment is kept.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) state: Option<String>,
    pub(crate) events: Option<String>,
}

impl Place {
    pub(crate) fn files() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), state: None, events: None }
    }

    pub(crate) fn on(state: Option<&str>, events: Option<&str>) -> Self {
        Self { state: state.map(str::to_owned), events: events.map(str::to_owned), ..Self::files() }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = TestServer::config(self.folder.path());
        config.state.url = self.state.clone().map(Setting);
        config.events.url = self.events.clone().map(Setting);
        config
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("pollux-data").join(name)
    }

    pub(crate) async fn store(&self) -> DynStore {
        match &self.state {
            None => Arc::new(SqliteStore::open(&self.data("state.db"), SqliteOptions::default()).unwrap()),
            Some(url) => Arc::new(PostgresStore::connect(url, PostgresOptions::default()).await.unwrap()),
        }
    }

    pub(crate) async fn log(&self) -> Arc<dyn EventLog> {
        let clock = Arc::new(SystemClock);
        match &self.events {
            None => {
                Arc::new(SegmentLog::open(&self.data("events"), SegmentOptions::default(), clock).unwrap())
            }
            Some(url) => {
                Arc::new(JetStreamLog::connect(url, JetStreamOptions::default(), clock).await.unwrap())
            }
        }
    }

    pub(crate) async fn export(&self, to: &Path, events: bool) -> Result<Moved, TransferError> {
        let what = Export { to: to.to_owned(), events, overwrite: false };
        transfer::export(&self.config(), &what, &Quiet).await
    }

    pub(crate) async fn import(&self, from: &Path, events: bool) -> Result<Moved, TransferError> {
        let what = Import { from: from.to_owned(), events };
        transfer::import(&self.config(), &what, &Quiet).await
    }

    pub(crate) async fn start(self) -> TestServer {
        let config = self.config();
        TestServer::start_in(self.folder, |one| *one = config).await
    }
}

/// A laptop's deployment with rows in every table and events: a partition that began long ago, one that was emptied.
/// The streams of the server's own resources are empty.
pub(crate) async fn laptop() -> Place {
    let server = TestServer::start().await;
    let place = Place { folder: server.stop().await, state: None, events: None };
    let store = place.store().await;
    // The fixtures' secret is no key that a server could sign with.
    let writes = fixtures::everything().into_iter().filter(|write| !matches!(write, Write::PutSecret { .. }));
    store.commit(Batch { writes: writes.collect() }).await.unwrap();
    let devices = (0..DEVICES)
        .map(|number| fixtures::put_device("hub-one", fixtures::device(&format!("d{number:05}"))));
    let told = (0..40).flat_map(|number| [told(number % 4, number), told(number % 4, number + 100)]);
    store.commit(Batch { writes: devices.chain(told).collect() }).await.unwrap();
    // The fixtures' consumer stands behind 41 in partition 3.
    let log = place.log().await;
    log.create(&stream(), &stream_config()).await.unwrap();
    log.import(&stream(), 0, (0..1500).map(record).collect()).await.unwrap();
    log.import(&stream(), 1, (70..75).map(record).collect()).await.unwrap();
    log.begin_after(&stream(), 2, last()).await.unwrap();
    log.import(&stream(), 3, (30..52).map(record).collect()).await.unwrap();
    drop((store, log));
    place
}

fn told(device: u64, number: u64) -> Write {
    let key = format!("device-{device}");
    let entry =
        pollux_model::event::OutboxEntry { partition_key: key, ..fixtures::outbox_entry(number + 10) };
    Write::Outbox(Box::new(entry))
}

pub(crate) fn stream() -> StreamName {
    StreamName::new("events-one/deviceevents").unwrap()
}

fn stream_config() -> StreamConfig {
    let retention = Retention { time: Duration::from_secs(100 * 365 * 24 * 3600), bytes: Some(1 << 40) };
    StreamConfig { partitions: 4, retention }
}

pub(crate) fn last() -> Position {
    Position { sequence_number: 7, offset: 900, enqueued_time: Timestamp::from_secs(1_700_000_000) }
}

pub(crate) fn record(number: i64) -> Record {
    Record {
        sequence_number: number,
        offset: 5000 + number * 3000,
        enqueued_time: Timestamp::from_micros(1_700_000_000_000_123 + number * 1_000_000),
        partition_key: (number % 3 != 0).then(|| format!("Gerät {number}").into()),
        payload: Bytes::from(format!(
            "{number}\0\u{ff}{}",
            "x".repeat(usize::try_from(number).unwrap() % 2000)
        )),
    }
}

/// Of each partition: where it begins and ends, and its records without offsets.
pub(crate) async fn events(place: &Place) -> Vec<(i64, i64, Vec<Record>)> {
    let log = place.log().await;
    let mut all = Vec::new();
    for partition in 0..stream_config().partitions {
        let info = log.partition(&stream(), partition).await.unwrap();
        let mut records: Vec<Record> = Vec::new();
        loop {
            let from = records.last().map_or(ReadFrom::Earliest, |last| ReadFrom::Sequence {
                number: last.sequence_number,
                inclusive: false,
            });
            let limit = ReadLimit { records: 1000, bytes: 1 << 20 };
            let more = log.read(&stream(), partition, &from, limit).await.unwrap();
            if more.is_empty() {
                break;
            }
            records.extend(more);
        }
        let records = records.into_iter().map(|record| Record { offset: 0, ..record }).collect();
        all.push((info.begin_sequence_number, info.last_sequence_number, records));
    }
    all
}

/// All rows but the CA and what each deployment has for itself, and the outbox by partition key, in order.
pub(crate) async fn state(place: &Place) -> (Vec<Row>, BTreeMap<String, Vec<Vec<u8>>>) {
    let store = place.store().await;
    let mut rows = Vec::new();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Outbox) {
        let page = store.rows(table, None, 100_000).await.unwrap();
        rows.extend(page.items.into_iter().filter_map(|row| match row {
            Row::Secrets { secret } if ["ca", "deployment"].contains(&secret.scope.as_str()) => None,
            Row::DeadLetters { mut letter, payload } => {
                letter.id = 0;
                Some(Row::DeadLetters { letter, payload })
            }
            row => Some(row),
        }));
    }
    let mut outbox: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (_, entry) in fixtures::outbox(&*store).await {
        outbox.entry(entry.partition_key).or_default().push(entry.payload);
    }
    (rows, outbox)
}

/// What an export holds, without what the log chooses and the moment.
pub(crate) fn contents(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    let tables = manifest["tables"].as_array_mut().unwrap();
    for table in tables {
        // In another order.
        if table["table"] == "outbox" {
            table["sha256"] = json!(null);
        }
    }
    for stream in manifest["streams"].as_array_mut().unwrap() {
        for partition in stream["partitions"].as_array_mut().unwrap() {
            partition["lastOffset"] = json!(null);
            if let Some(file) = partition.get_mut("file") {
                *file = file["content"].take();
            }
        }
    }
    json!([manifest["tables"], manifest["streams"], manifest["consumers"]])
}
