//! The SQLite backend: opening.

use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::{Store};

#[tokio::test]
async fn opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pollux.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    store.healthy().await.unwrap();
    assert!(SqliteStore::open(&path, SqliteOptions::default()).is_err());
    drop(store);
    SqliteStore::open(&path, SqliteOptions::default()).unwrap();
}
