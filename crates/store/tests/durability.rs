//! kill -9 at random points: what was acknowledged is there, and every batch is whole.
//!
//! A database is a file, or the URL of a PostgreSQL server, which is killed too. The parent runs this test binary again as a child that commits numbered batches and prints each number when its
//! commit was acknowledged. The parent reads some lines, kills, and looks at what the child left.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pollux_model::Random;
use pollux_model::registration::RegistrationStatus;
use pollux_store::Batch;
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use pollux_store::suite::fixtures::{
    device, device_id, name, outbox, put_device, put_registration, put_twin, registration, registration_id,
    tell, twin,
};
use pollux_testkit::{Postgres, PostgresSettings, SeededRandom};

const DATABASE: &str = "POLLUX_TEST_DATABASE";
const FIRST: &str = "POLLUX_TEST_FIRST";
const ROUNDS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pollux.db").to_str().unwrap().to_owned();
    let random = SeededRandom::new(0x5eed);
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let lines = 1 + random.below(400);
        acknowledged.extend(run_until(&path, round * 1_000_000, lines, Running::kill));
        check(&path, &acknowledged).await;
    }
    assert!(acknowledged.len() > 200, "{} batches were acknowledged", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_acknowledged_survives_kill() {
    let settings = PostgresSettings { fsync: true, ..PostgresSettings::default() };
    let Some(mut server) = Postgres::start_with(&settings) else { return };
    let url = server.create_database("pollux");
    let random = SeededRandom::new(0x5eed);
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        let lines = 1 + random.below(300);
        let first = round * 1_000_000;
        // In turns: the node dies, the server dies.
        if round % 2 == 0 {
            acknowledged.extend(run_until(&url, first, lines, Running::kill));
        } else {
            acknowledged.extend(run_until(&url, first, lines, |_| server.kill9()));
            server.restart();
        }
        check(&url, &acknowledged).await;
    }
    assert!(acknowledged.len() > 100, "{} batches were acknowledged", acknowledged.len());
}

async fn open(database: &str) -> DynStore {
    if database.starts_with("postgres://") {
        return Arc::new(PostgresStore::connect(database, PostgresOptions::default()).await.unwrap());
    }
    Arc::new(SqliteStore::open(database.as_ref(), SqliteOptions::default()).unwrap())
}

/// Starts a child, strikes after so many acknowledgements, gives all it acknowledged.
fn run_until(path: &str, first: u64, lines: u64, strike: impl FnOnce(&mut Running)) -> Vec<u64> {
    let mut child = Running(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(DATABASE, path)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut line = String::new();
    while (acknowledged.len() as u64) < lines {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended by itself");
        acknowledged.extend(number(&line));
    }
    strike(&mut child);
    // What it had printed before it died was acknowledged too; the last line may be cut off.
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    child.0.wait().unwrap();
    acknowledged.extend(rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(number));
    acknowledged
}

fn number(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.trim_end().parse().ok()
}

/// Ends the child whatever happens.
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn check(path: &str, acknowledged: &BTreeSet<u64>) {
    let store = open(path).await;
    let mut devices = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.devices(&name("hub-one"), after.as_deref(), 500).await.unwrap();
        devices.extend(page.items.iter().map(|device| device.id[2..].parse::<u64>().unwrap()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let lost: Vec<_> = acknowledged.difference(&devices).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // Whole batches: each device with its record, its twin and its event, and nothing besides.
    for number in &devices {
        let id = format!("d-{number}");
        assert!(store.device(&name("hub-one"), &device_id(&id)).await.unwrap().is_some());
        assert!(store.registration(&name("dps-one"), &registration_id(&id)).await.unwrap().is_some());
        assert!(store.twin(&name("twins-one"), &id).await.unwrap().is_some());
    }
    let count = devices.len() as u64;
    assert_eq!(store.count_registrations(&name("dps-one")).await.unwrap(), count);
    assert_eq!(store.count_twins(&name("twins-one"), None).await.unwrap(), count);
    let told = outbox(&*store).await;
    let told: Vec<u64> =
        told.iter().map(|(_, entry)| u64::from_be_bytes(*entry.payload.first_chunk().unwrap())).collect();
    assert_eq!(told.len() as u64, count, "an event per batch");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), devices);
}

/// The child of `what_was_acknowledged_survives_kill`: started by it, it runs until it is killed; otherwise it is done.
#[test]
fn child() {
    let (Some(path), Some(first)) = (std::env::var_os(DATABASE), std::env::var_os(FIRST)) else { return };
    let next = Arc::new(AtomicU64::new(first.to_str().unwrap().parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(path.to_str().unwrap()).await;
        let tasks: Vec<_> =
            (0..16).map(|_| tokio::spawn(commit_forever(store.clone(), next.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn commit_forever(store: DynStore, next: Arc<AtomicU64>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let id = format!("d-{number}");
        let batch = Batch::new()
            .with(put_device("hub-one", device(&id)))
            .with(put_registration("dps-one", registration(&id, None, RegistrationStatus::Assigned)))
            .with(tell(number))
            .with(put_twin("twins-one", twin(&id, "dtmi:m;1")));
        // The server may be gone; then so are we.
        if store.commit(batch).await.is_err() {
            return;
        }
        let mut out = std::io::stdout().lock();
        // The parent may be gone; then so are we.
        if writeln!(out, "ack {number}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
