//! What an older version stored, this one reads.
//!
//! `golden/v<N>.sql` is the dump of a database as version N wrote it: schema and one row in every table. A golden file
//! never changes once its version was released. When the schema changes, add a version; when a stored document gains a
//! field, give it a default. The newest version's file is written, if it is not there, by
//! `POLLUX_WRITE_GOLDEN=1 cargo test -p pollux-store --test golden`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pollux_store::Batch;
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use pollux_store::suite::fixtures::{
    check_activity, check_configurations, check_everything, check_history, check_messages, check_modules,
    check_scheduled_jobs, everything,
};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// The newest version.
const NEWEST: i64 = 9;
/// The first with a history of twins.
const WITH_HISTORY: i64 = 4;
/// The first with messages in queues.
const WITH_MESSAGES: i64 = 5;
/// The first with modules.
const WITH_MODULES: i64 = 6;
/// The first with times of devices.
const WITH_ACTIVITY: i64 = 9;
/// The first with configurations.
const WITH_CONFIGURATIONS: i64 = 8;
/// The first with scheduled jobs.
const WITH_SCHEDULED_JOBS: i64 = 7;

fn golden(version: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}.sql"))
}

fn open(path: &Path) -> DynStore {
    Arc::new(SqliteStore::open(path, SqliteOptions::default()).unwrap())
}

#[tokio::test]
async fn what_every_version_wrote_is_read() {
    for version in 1..=NEWEST {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pollux.db");
        let sql = fs::read_to_string(golden(version)).unwrap();
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        let store = open(&path);
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
    }
}

/// Sessions of devices that were deleted while a session outlived its device.
#[tokio::test]
async fn sessions_of_devices_that_are_gone_do_not_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pollux.db");
    let before = Connection::open(&path).unwrap();
    before.execute_batch(&fs::read_to_string(golden(WITH_CONFIGURATIONS - 1)).unwrap()).unwrap();
    let sql =
        "INSERT INTO mqtt_sessions VALUES (?1, ?2, json_object('device', ?2, 'subscriptions', json('[]')))";
    for [hub, device] in SESSIONS {
        before.execute(sql, [hub, device]).unwrap();
    }
    drop(before);
    drop(open(&path));
    let after = Connection::open(&path).unwrap();
    let mut statement = after.prepare("SELECT device FROM mqtt_sessions ORDER BY hub, device").unwrap();
    let left: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(left, ["Device-1", "Device-1/Module-1"]);
}

/// Beside the one of the device that is there: of a module of it, and of devices that are gone or of another hub.
const SESSIONS: [[&str; 2]; 5] = [
    ["hub-one", "Device-1/Module-1"],
    ["hub-one", "Device-10"],
    ["hub-one", "Device"],
    ["hub-one", "gone/Device-1"],
    ["hub-two", "Device-1"],
];

#[tokio::test]
async fn the_newest_golden_file_has_the_newest_schema() {
    let folder = tempfile::tempdir().unwrap();
    let (fresh, kept) = (folder.path().join("fresh.db"), folder.path().join("kept.db"));
    drop(open(&fresh));
    let sql = fs::read_to_string(golden(NEWEST)).unwrap();
    Connection::open(&kept).unwrap().execute_batch(&sql).unwrap();
    let (fresh, kept) = (Connection::open(&fresh).unwrap(), Connection::open(&kept).unwrap());
    assert_eq!(header(&fresh), header(&kept), "add a version instead of changing one");
    assert_eq!(schema(&fresh), schema(&kept), "add a version instead of changing one");
}

/// Writes the golden file of a new version, with `POLLUX_WRITE_GOLDEN=1`; otherwise it does nothing.
#[tokio::test]
async fn write_golden() {
    if std::env::var_os("POLLUX_WRITE_GOLDEN").is_none() || golden(NEWEST).exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pollux.db");
    let store = open(&path);
    store.commit(Batch { writes: everything() }).await.unwrap();
    drop(store);
    fs::write(golden(NEWEST), dump(&Connection::open(&path).unwrap())).unwrap();
}

fn header(connection: &Connection) -> String {
    let number = |pragma: &str| -> i64 { connection.query_row(pragma, [], |row| row.get(0)).unwrap() };
    format!(
        "PRAGMA application_id = {};\nPRAGMA user_version = {};\n",
        number("PRAGMA application_id"),
        number("PRAGMA user_version")
    )
}

/// The statements that made the tables and indexes, in order of name.
fn schema(connection: &Connection) -> Vec<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
        ORDER BY type DESC, name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn dump(connection: &Connection) -> String {
    let mut text = header(connection);
    for statement in schema(connection) {
        text.push_str(&statement);
        text.push_str(";\n");
    }
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|at| literal(row.get_ref(at).unwrap())).collect();
            text.push_str(&format!("INSERT INTO {table} VALUES ({});\n", values.join(", ")));
        }
    }
    text
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{hex}'")
        }
    }
}
