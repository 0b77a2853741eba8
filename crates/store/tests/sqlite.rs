//! The SQLite backend: the suite every backend passes, and what only a file can do wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pollux_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use pollux_store::suite::{Backend, cases, fixtures};
use pollux_store::{Batch, StoreError};
use tempfile::TempDir;

#[derive(Debug)]
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("pollux.db")
    }
}

#[async_trait]
impl Backend for Folder {
    async fn open(&self) -> DynStore {
        // Small numbers, so that every bound is met.
        let options = SqliteOptions { point_readers: 2, list_readers: 2, queue: 8, group: 6 };
        Arc::new(SqliteStore::open(&self.database(), options).unwrap())
    }
}

fn open(path: &Path) -> Result<DynStore, OpenError> {
    SqliteStore::open(path, SqliteOptions::default()).map(|store| Arc::new(store) as DynStore)
}

#[test]
fn suite() {
    for (name, case) in cases() {
        println!("{name}");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(case(Arc::new(Folder::new())));
    }
}

#[tokio::test]
async fn the_suite_passes_on_one_thread_too() {
    for name in
        ["reopening_keeps_everything", "everyone_reads_his_own_writes", "a_reader_never_sees_half_a_batch"]
    {
        let (_, case) = cases().into_iter().find(|(case, _)| *case == name).unwrap();
        case(Arc::new(Folder::new())).await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_has_the_file() {
    let folder = Folder::new();
    let store = open(&folder.database()).unwrap();
    let error = open(&folder.database()).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(store);
    open(&folder.database()).unwrap().healthy().await.unwrap();
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let folder = Folder::new();
    let store = open(&folder.database()).unwrap();
    store.commit(Batch { writes: fixtures::everything() }).await.unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(folder.0.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["pollux.db", "pollux.db-shm", "pollux.db-wal", "pollux.db.lock"]);
    drop(store);
    assert!(!folder.0.path().join("pollux.db-wal").exists(), "closing leaves one file");
}

#[test]
fn a_newer_schema_is_refused_with_what_to_do() {
    let folder = Folder::new();
    drop(open(&folder.database()).unwrap());
    let connection = rusqlite::Connection::open(folder.database()).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = open(&folder.database()).unwrap_err();
    assert!(matches!(&error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("start the newer Pollux again"), "{error}");
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.database(), "these are my holiday notes, not a database of any kind at all").unwrap();
    let before = fs::read(folder.database()).unwrap();
    let error = open(&folder.database()).unwrap_err();
    assert!(matches!(&error, OpenError::NotOurs { .. }), "{error:?}");
    assert_eq!(fs::read(folder.database()).unwrap(), before);

    let other = folder.0.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(open(&other).unwrap_err(), OpenError::NotOurs { .. }));
}

#[test]
fn a_missing_folder_is_told() {
    let folder = Folder::new();
    let error = open(&folder.0.path().join("none/pollux.db")).unwrap_err();
    assert!(matches!(&error, OpenError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("check that the folder exists"), "{error}");
}

#[tokio::test]
async fn a_document_that_is_not_understood_is_told_without_its_contents() {
    let folder = Folder::new();
    let store = open(&folder.database()).unwrap();
    store.commit(Batch { writes: fixtures::everything() }).await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(folder.database()).unwrap();
    connection.execute("UPDATE secrets SET document = '{\"scope\": \"TOP-SECRET\", \"id\": 1}'", []).unwrap();
    connection.execute("UPDATE digital_twins SET document = 'x' WHERE id = 'room'", []).unwrap();
    drop(connection);
    let store = open(&folder.database()).unwrap();
    let error = store.secrets("issuer-key").await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("secrets") && !error.to_string().contains("TOP-SECRET"), "{error}");
    let twins = fixtures::name("twins-one");
    assert!(matches!(store.twin(&twins, "room").await, Err(StoreError::Corrupt(_))));
    // The others can still be read.
    assert!(store.twin(&twins, "Device-1").await.unwrap().is_some());
}

#[tokio::test]
async fn foreign_page_marks_are_refused() {
    let folder = Folder::new();
    let store = open(&folder.database()).unwrap();
    assert!(store.relationships(&fixtures::name("twins-one"), Some("nonsense"), 9).await.is_err());
    assert!(store.dead_letters(&fixtures::name("functions-one").into(), None, Some("x"), 9).await.is_err());
}
