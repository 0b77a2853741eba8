//! PostgreSQL goes away, stands still, is shared: what a store says, and that it goes on by itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::property_indexes::{IndexedProperty, Made, MostIndexes, ValueKind};
use pollux_store::store::DynStore;
use pollux_store::suite::fixtures::{
    device, device_id, etag, everything, moment, name, outbox_entry, put_device, put_relationship, put_twin,
    relationship, tell, twin,
};
use pollux_store::{Batch, CommitError, Expect, Mismatch, StoreError, Write};
use pollux_testkit::Postgres;
use tokio::time::timeout;

/// Longer than anything may take.
const SECONDS: Duration = Duration::from_secs(15);

async fn open(url: &str) -> DynStore {
    let options = PostgresOptions {
        connections: 6,
        connect_timeout: Duration::from_secs(1),
        wait_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
        ..PostgresOptions::default()
    };
    Arc::new(PostgresStore::connect(url, options).await.unwrap())
}

/// Commits, reads and asks for health while the server is away.
async fn is_away(store: &DynStore) {
    let away = async {
        let commit = store.commit(Batch::from(put_device("hub-one", device("late")))).await;
        assert!(matches!(&commit, Err(CommitError::Store(StoreError::Unavailable(_)))), "{commit:?}");
        let several = Batch::new().with(put_device("hub-one", device("late"))).with(tell(1));
        let commit = store.commit(several).await;
        assert!(matches!(&commit, Err(CommitError::Store(StoreError::Unavailable(_)))), "{commit:?}");
        let read = store.device(&name("hub-one"), &device_id("d")).await;
        assert!(matches!(&read, Err(StoreError::Unavailable(_))), "{read:?}");
        let health = store.healthy().await.unwrap_err().to_string();
        assert!(!health.contains("state-of-a-test"), "{health}");
    };
    timeout(SECONDS, away).await.expect("it is told in seconds");
}

async fn works(store: &DynStore) {
    let again = async {
        // A connection that broke may be met once more.
        while store.healthy().await.is_err() {
            tokio::task::yield_now().await;
        }
        let batch = Batch::new().with(put_device("hub-one", device("d"))).with(tell(1));
        store.commit(batch).await.unwrap();
        assert!(store.device(&name("hub-one"), &device_id("d")).await.unwrap().is_some());
    };
    timeout(SECONDS, again).await.expect("it works again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_is_told_and_found_again() {
    let Some(mut server) = Postgres::start() else { return };
    let store = open(&server.create_database("pollux")).await;
    works(&store).await;
    server.stop();
    is_away(&store).await;
    server.restart();
    works(&store).await;
    server.kill9();
    is_away(&store).await;
    server.restart();
    works(&store).await;
    // As when the network is cut: nothing is closed, nothing answers.
    server.freeze();
    is_away(&store).await;
    server.thaw();
    works(&store).await;
}

#[tokio::test]
async fn a_standby_is_not_healthy() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("pollux")).await;
    works(&store).await;
    server.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let told = async {
        while store.healthy().await.is_ok() {
            tokio::task::yield_now().await;
        }
        let commit = store.commit(Batch::from(put_device("hub-one", device("late")))).await;
        assert!(matches!(&commit, Err(CommitError::Store(StoreError::Unavailable(_)))), "{commit:?}");
    };
    timeout(SECONDS, told).await.expect("it is told");
    server.sql(
        "postgres",
        "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only",
    );
    server.sql("postgres", "SELECT pg_reload_conf()");
    works(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_share_a_database() {
    let Some(server) = Postgres::start() else { return };
    let url = server.create_database("pollux");
    let stores = join_all((0..4).map(|_| open(&url))).await;
    for round in 0..10 {
        let id = format!("d-{round}");
        stores[0].commit(Batch::from(put_device("hub-one", device(&id)))).await.unwrap();
        let tasks: Vec<_> = (0..16)
            .map(|number| {
                let (store, mut device) = (Arc::clone(&stores[number % 4]), device(&id));
                let expect = Expect::Etag(device.twin.etag.clone());
                device.twin.etag = etag(&format!("winner-{number}"));
                let device = Box::new(device);
                let write =
                    Write::PutDevice { hub: name("hub-one"), device, identity: Expect::Any, twin: expect };
                tokio::spawn(async move {
                    match store.commit(Batch::from(write).with(tell(1))).await {
                        Ok(()) => true,
                        Err(CommitError::Expectation { index: 0, mismatch: Mismatch::OtherEtag }) => false,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        let won = join_all(tasks).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!(won, 1);
    }
    // What one node commits another's relay sees soon.
    let shard = pollux_store::outbox::shard_of(&outbox_entry(77).partition_key, stores[1].outbox_shards());
    stores[1].outbox_changed(shard).await;
    stores[0].commit(Batch::from(tell(77))).await.unwrap();
    let seen = async {
        loop {
            stores[1].outbox_changed(shard).await;
            let entries = stores[1].outbox(shard, 99).await.unwrap();
            if entries.iter().any(|(_, entry)| *entry == outbox_entry(77)) {
                return;
            }
        }
    };
    timeout(SECONDS, seen).await.expect("it is seen");
}

/// Twins come and go while others relate to them: whatever is committed in the end holds together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_relationship_loses_its_twin() {
    let Some(server) = Postgres::start() else { return };
    let url = server.create_database("pollux");
    let stores = join_all((0..2).map(|_| open(&url))).await;
    let twins = name("twins-one");
    let id = |number: usize| format!("t{}", number % 3);
    let tasks: Vec<_> = (0..12)
        .map(|task| {
            let (store, twins) = (Arc::clone(&stores[task % 2]), twins.clone());
            tokio::spawn(async move {
                for step in 0..60 {
                    let (one, two) = (id(task + step), id(task * 7 + step / 3));
                    let write = match (task + step * 5) % 4 {
                        0 => put_twin("twins-one", twin(&one, "dtmi:m;1")),
                        1 => Write::DeleteTwin { twins: twins.clone(), id: one, expect: Expect::Any },
                        2 => put_relationship("twins-one", relationship(&one, "e", &two)),
                        _ => Write::DeleteRelationship {
                            twins: twins.clone(),
                            source: one,
                            id: "e".to_owned(),
                            expect: Expect::Any,
                        },
                    };
                    // Refusals are what this is about; nothing else may go wrong.
                    if let Err(CommitError::Store(error)) =
                        store.commit(Batch::from(write).with(tell(1))).await
                    {
                        panic!("{error}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for edge in stores[0].relationships(&twins, None, 100).await.unwrap().items {
        for end in [&edge.source, &edge.target] {
            assert!(stores[0].twin(&twins, end).await.unwrap().is_some(), "{edge:?} has no {end}");
        }
    }
}

/// A device that is being made elsewhere is waited for: there is none only if that comes to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn require_no_device_waits_for_whoever_makes_one() {
    let Some(server) = Postgres::start() else { return };
    let url = server.create_database("pollux");
    let store = open(&url).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let insert = "INSERT INTO devices VALUES ('hub-one', 'd', 'i', 't', true, '{}', '{}')";
    let none = Write::RequireNoDevice { hub: name("hub-one"), id: device_id("d") };
    for end in ["ROLLBACK", "COMMIT"] {
        client.batch_execute(&format!("BEGIN; {insert}")).await.unwrap();
        let commit = tokio::spawn({
            let (store, batch) = (Arc::clone(&store), Batch::from(none.clone()).with(tell(1)));
            async move { store.commit(batch).await }
        });
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let waiting = async {
            while client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(SECONDS, waiting).await.expect("the commit waits");
        client.batch_execute(end).await.unwrap();
        match commit.await.unwrap() {
            Ok(()) => assert_eq!(end, "ROLLBACK"),
            Err(CommitError::Expectation { index: 0, mismatch: Mismatch::Exists }) => {
                assert_eq!(end, "COMMIT")
            }
            Err(error) => panic!("{error}"),
        }
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_goes_on_when_nobody_waits_for_it() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("pollux")).await;
    // Asked once and dropped.
    assert!(store.commit(Batch { writes: everything() }).now_or_never().is_none());
    let applied = async {
        while store.device(&name("hub-one"), &device_id("Device-1")).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SECONDS, applied).await.expect("it is applied");
}

#[tokio::test]
async fn a_document_that_is_not_understood_is_told_without_its_contents() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("pollux")).await;
    store.commit(Batch { writes: everything() }).await.unwrap();
    server.sql("pollux", "UPDATE secrets SET document = '{\"scope\": \"TOP-SECRET\", \"id\": 1}'");
    let error = store.secrets("issuer-key").await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("secrets") && !error.to_string().contains("TOP-SECRET"), "{error}");
    server.sql("pollux", "ALTER TABLE secrets RENAME TO gone");
    assert!(matches!(store.secrets("issuer-key").await, Err(StoreError::Corrupt(_))));
}

/// Two batches that lock the same rows in opposite order: the server gives one up, and it is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_wait_for_each_other_are_all_applied() {
    let Some(server) = Postgres::start() else { return };
    server.sql("postgres", "ALTER SYSTEM SET deadlock_timeout = '20ms'");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let store = open(&server.create_database("pollux")).await;
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut ids = ["a", "b", "c", "d"];
                for round in 0..20 {
                    if (task + round) % 2 == 0 {
                        ids.reverse();
                    }
                    let writes = ids.iter().map(|id| put_device("hub-one", device(id))).collect();
                    store.commit(Batch { writes }).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What a build that broke off leaves behind, and what nobody knows the meaning of, is removed when the next one is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_index_on_a_property_is_made_again() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("pollux")).await;
    store.commit(Batch { writes: everything() }).await.unwrap();
    let property = |path: &str| IndexedProperty::new(vec![path.to_owned()], ValueKind::Number).unwrap();
    let most = MostIndexes { of_instance: 9, in_all: 9 };
    let (twins, now) = (name("twins-one"), moment(1));
    for path in ["a", "b", "c"] {
        let made = store.make_property_index(&twins, &property(path), most, now).await.unwrap();
        assert_eq!(made, Made::Ready);
    }
    let names: Vec<String> =
        store.property_indexes().await.unwrap().into_iter().map(|index| index.name).collect();
    let broken = format!(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{}'::regclass; COMMENT ON INDEX {} IS NULL",
        names[0], names[1]
    );
    server.sql("pollux", &broken);
    assert_eq!(store.property_indexes().await.unwrap().len(), 1);
    for path in ["a", "b", "c"] {
        let made = store.make_property_index(&twins, &property(path), most, now).await.unwrap();
        assert_eq!(made, Made::Ready);
    }
    assert_eq!(store.property_indexes().await.unwrap().len(), 3);
    let count = "SELECT count(*) FROM pg_class WHERE relname LIKE 'twin_value_%'";
    assert!(server.sql("pollux", count).contains('3'));
}
