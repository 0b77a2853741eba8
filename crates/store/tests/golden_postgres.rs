//! What an older version stored in PostgreSQL, this one reads.
//!
//! `golden/postgres_v<N>.sql` is a database as version N wrote it: the schema, and rows in every table. A golden file
//! never changes once its version was released. The newest version's file is written, if it is not there, by
//! `POLLUX_WRITE_GOLDEN=1 cargo test -p pollux-store --test golden_postgres`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pollux_store::Batch;
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::store::DynStore;
use pollux_store::suite::fixtures::{
    check_activity, check_configurations, check_everything, check_history, check_messages, check_modules,
    check_scheduled_jobs, everything,
};
use pollux_testkit::Postgres;

/// The newest version.
const NEWEST: u32 = 8;
/// The first with a history of twins.
const WITH_HISTORY: u32 = 3;
/// The first with messages in queues.
const WITH_MESSAGES: u32 = 4;
/// The first with modules.
const WITH_MODULES: u32 = 5;
/// The first with times of devices.
const WITH_ACTIVITY: u32 = 8;
/// The first with configurations.
const WITH_CONFIGURATIONS: u32 = 7;
/// The first with scheduled jobs.
const WITH_SCHEDULED_JOBS: u32 = 6;

/// What a schema is made of, as text that does not depend on the server's version.
const SCHEMA: &str = "
    SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default, is_identity
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position;
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname;
    SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1::text, 2;
    SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
        ORDER BY relname;
    SELECT version FROM pollux_schema;";

fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/postgres_v{version}.sql"))
}

async fn open(url: &str) -> DynStore {
    Arc::new(PostgresStore::connect(url, PostgresOptions::default()).await.unwrap())
}

#[tokio::test]
async fn what_every_version_wrote_is_read() {
    let Some(server) = Postgres::start() else { return };
    if std::env::var_os("POLLUX_WRITE_GOLDEN").is_some() && !golden(NEWEST).exists() {
        write(&server).await;
    }
    for version in 1..=NEWEST {
        let name = format!("v{version}");
        let url = server.create_database(&name);
        server.sql(&name, &fs::read_to_string(golden(version)).unwrap());
        let store = open(&url).await;
        check_everything(&*store).await;
        if version >= WITH_HISTORY {
            check_history(&*store).await;
        }
        if version >= WITH_MESSAGES {
            check_messages(&*store).await;
        }
        if version >= WITH_MODULES {
            check_modules(&*store).await;
        }
        if version >= WITH_CONFIGURATIONS {
            check_configurations(&*store).await;
        }
        if version >= WITH_ACTIVITY {
            check_activity(&*store).await;
        }
        if version >= WITH_SCHEDULED_JOBS {
            check_scheduled_jobs(&*store).await;
        }
        // And goes on in it.
        open(&url).await.commit(Batch { writes: everything().split_off(5) }).await.unwrap();
    }
    sessions_of_devices_that_are_gone_do_not_come_along(&server).await;
    let url = server.create_database("fresh");
    drop(open(&url).await);
    server.create_database("kept");
    server.sql("kept", &fs::read_to_string(golden(NEWEST)).unwrap());
    let (fresh, kept) = (server.sql("fresh", SCHEMA), server.sql("kept", SCHEMA));
    assert!(fresh.contains("devices|hub|text|C|NO|"), "{fresh}");
    assert_eq!(fresh, kept, "add a version instead of changing one");
}

/// Sessions of devices that were deleted while a session outlived its device.
async fn sessions_of_devices_that_are_gone_do_not_come_along(server: &Postgres) {
    let url = server.create_database("sessions");
    server.sql("sessions", &fs::read_to_string(golden(WITH_CONFIGURATIONS - 1)).unwrap());
    for (hub, device) in [
        ("hub-one", "Device-1/Module-1"),
        ("hub-one", "Device-10"),
        ("hub-one", "Device"),
        ("hub-one", "gone/Device-1"),
        ("hub-two", "Device-1"),
    ] {
        server.sql("sessions", &format!("INSERT INTO mqtt_sessions VALUES ('{hub}', '{device}', '{{}}')"));
    }
    drop(open(&url).await);
    let left = server.sql("sessions", "SELECT device FROM mqtt_sessions ORDER BY hub, device");
    assert_eq!(left.lines().collect::<Vec<_>>(), ["Device-1", "Device-1/Module-1"]);
}

/// The migrations up to now, and the rows of [`everything`].
async fn write(server: &Postgres) {
    let url = server.create_database("write");
    open(&url).await.commit(Batch { writes: everything() }).await.unwrap();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/migrations");
    let mut files: Vec<_> = fs::read_dir(migrations).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut text = String::from(
        "CREATE TABLE pollux_schema (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);\n",
    );
    for file in files {
        text.push_str(&fs::read_to_string(file).unwrap());
    }
    let tables = server.sql(
        "write",
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    );
    for table in tables.lines() {
        let columns = server.sql(
            "write",
            &format!(
                "SELECT string_agg(format('quote_nullable(%I::text)', column_name), ', ' ORDER BY ordinal_position)
                 FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'"
            ),
        );
        let rows = format!(
            "SELECT 'INSERT INTO {table} OVERRIDING SYSTEM VALUE VALUES (' || concat_ws(', ', {columns}) || ');'
             FROM {table}"
        );
        text.push_str(&server.sql("write", &rows));
        text.push('\n');
    }
    text.push_str("SELECT setval('outbox_batches', 100), setval('dead_letters_id_seq', 100);\n");
    fs::write(golden(NEWEST), text).unwrap();
}
