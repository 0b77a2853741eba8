//! Moving deployments: what goes in comes out, whatever it is kept in and wherever it is cut off.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod cut;
mod refusals;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pollux_store::portable::Table;
use pollux_testkit::{Nats, Postgres, TestServer};

use world::{DEVICES, Place, contents, events, laptop, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_moves_whole() {
    let (from, to, out) = (laptop().await, Place::files(), tempfile::tempdir().unwrap());
    let (export, again) = (out.path().join("export"), out.path().join("again"));
    let exported = from.export(&export, true).await.unwrap();
    assert_eq!(exported.events, 1500 + 5 + 22);
    assert!(exported.tables.iter().all(|table| table.rows > 0), "{exported:?}");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&export), mode(&export.join("secrets.ndjson"))), (0o700, 0o600));
    assert!(!export.join("progress.json").exists());

    let imported = to.import(&export, true).await.unwrap();
    assert_eq!((&imported.tables, imported.events), (&exported.tables, exported.events));
    let store = to.store().await;
    assert_eq!(store.count_rows(Table::Devices).await.unwrap(), DEVICES as u64 + 1);
    assert!(store.secrets("transfer").await.unwrap().is_empty(), "nothing is left of the import");
    drop(store);
    assert_eq!(state(&to).await, state(&from).await);
    assert_eq!(events(&to).await, events(&from).await);
    to.export(&again, true).await.unwrap();
    assert_eq!(contents(&again), contents(&export));

    let (ca, key) = (fs::read(from.data("ca.pem")).unwrap(), fs::read(from.data("ca.key")).unwrap());
    assert_eq!((fs::read(to.data("ca.pem")).unwrap(), fs::read(to.data("ca.key")).unwrap()), (ca, key));
    let moved = to.start().await;
    let before: serde_json::Value =
        serde_json::from_slice(&fs::read(from.data("connections.json")).unwrap()).unwrap();
    assert_eq!(moved.connections().admin.key, before["admin"]["key"]);
    drop(moved.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_events_consumers_begin_anew_and_it_is_said_what_they_miss() {
    let (from, to, out) = (laptop().await, Place::files(), tempfile::tempdir().unwrap());
    let export = out.path().join("export");
    let exported = from.export(&export, false).await.unwrap();
    assert!(!export.join("events").exists());
    assert_eq!((exported.events, exported.events_left_behind), (0, 1527));
    let unread: Vec<_> = exported.unconsumed.iter().map(|one| (one.consumer.as_str(), one.events)).collect();
    // Partition 3 holds 30 to 51 and was read up to 41; the others were not read at all.
    assert_eq!(unread, [("functions/functions-one/ingest", 1500 + 5 + 10)]);
    let imported = to.import(&export, false).await.unwrap();
    assert_eq!(imported.unconsumed, exported.unconsumed);
    let store = to.store().await;
    assert_eq!(store.count_rows(Table::Checkpoints).await.unwrap(), 0);
    assert_eq!(store.count_rows(Table::Outbox).await.unwrap(), 81);
    assert!(to.log().await.streams().await.unwrap().is_empty());
    let error = to.import(&export, true).await.unwrap_err().to_string();
    assert!(error.contains("holds no events"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_take_over_from_files_and_back() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start().await) else { return };
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name);
    from.export(&path("laptop"), true).await.unwrap();
    let cluster = Place::on(Some(&postgres.create_database("moved")), Some(&nats.url()));
    let imported = cluster.import(&path("laptop"), true).await.unwrap();
    assert_eq!(state(&cluster).await, state(&from).await);
    assert_eq!(events(&cluster).await, events(&from).await);
    assert!(!cluster.data("ca.key").exists(), "the CA's key is in PostgreSQL only");

    let exported = cluster.export(&path("cluster"), true).await.unwrap();
    assert_eq!(exported.tables, imported.tables);
    assert_eq!(contents(&path("cluster")), contents(&path("laptop")));
    let back = Place::files();
    back.import(&path("cluster"), true).await.unwrap();
    back.export(&path("back"), true).await.unwrap();
    assert_eq!(contents(&path("back")), contents(&path("laptop")));
    assert_eq!(fs::read(back.data("ca.key")).unwrap(), fs::read(from.data("ca.key")).unwrap());

    let ca = fs::read_to_string(from.data("ca.pem")).unwrap();
    let moved: TestServer = cluster.start().await;
    assert_eq!(moved.ca_pem(), ca, "devices trust it as before");
    drop(moved.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_both_may_be_a_server() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start().await) else { return };
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name);
    from.export(&path("laptop"), true).await.unwrap();
    let (database, url) = (postgres.create_database("mixed"), nats.url());
    for (name, state, events) in [("state", Some(&database), None), ("events", None, Some(&url))] {
        let mixed = Place::on(state.map(String::as_str), events.map(String::as_str));
        mixed.import(&path("laptop"), true).await.unwrap();
        mixed.export(&path(name), true).await.unwrap();
        assert_eq!(contents(&path(name)), contents(&path("laptop")));
        drop(mixed.start().await.stop().await);
    }
}
