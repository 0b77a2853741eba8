use std::sync::Arc;

use pollux_model::SystemRandom;
use pollux_model::resource::Setting;
use pollux_store::sqlite::{SqliteOptions, SqliteStore};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

struct Folder {
    data: DataDir,
    _folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { data: DataDir::open(&folder.path().join("data")).unwrap(), _folder: folder }
    }

    fn store(&self) -> DynStore {
        Arc::new(SqliteStore::open(&self.data.file("state.db"), SqliteOptions::default()).unwrap())
    }

    async fn bind(&self, store: &DynStore, config: &Config) -> Result<(), String> {
        let bound = bind_events(config, &self.data, store, &SystemRandom, NOW).await;
        bound.map_err(|error| error.to_string())
    }
}

/// The URLs are not connected to: any store will do.
fn config(state: Option<&str>, events: Option<&str>) -> Config {
    let mut config = Config::default();
    config.state.url = state.map(|url| Setting(url.to_owned()));
    config.events.url = events.map(|url| Setting(url.to_owned()));
    config
}

#[tokio::test]
async fn events_in_files_bind_a_shared_state_to_their_folder() {
    let (one, other) = (Folder::new(), Folder::new());
    let store = one.store();
    let embedded = config(Some("postgres://db"), None);
    one.bind(&store, &embedded).await.unwrap();
    one.bind(&store, &embedded).await.unwrap();
    let error = other.bind(&store, &embedded).await.unwrap_err();
    let id = one.data.read(FOLDER_ID).unwrap().unwrap();
    assert!(error.contains(id.trim()) && error.contains("start it with that folder"), "{error}");
    let error = one.bind(&store, &config(Some("postgres://db"), Some("nats://h"))).await.unwrap_err();
    assert!(error.contains("remove events.url, or move the deployment"), "{error}");
}

#[tokio::test]
async fn events_in_nats_are_not_left_there() {
    for state in [None, Some("postgres://db")] {
        let folder = Folder::new();
        let store = folder.store();
        let mut nats = config(state, Some("nats://h"));
        folder.bind(&store, &nats).await.unwrap();
        folder.bind(&store, &nats).await.unwrap();
        let error = folder.bind(&store, &config(state, None)).await.unwrap_err();
        assert!(error.contains("prefix 'pollux', and events.url is not set: set it"), "{error}");
        nats.events.prefix = "plant".to_owned();
        let error = folder.bind(&store, &nats).await.unwrap_err();
        assert!(error.contains("set it to 'pollux'"), "{error}");
    }
}

#[tokio::test]
async fn a_data_folder_with_events_does_not_begin_anew_in_nats() {
    let folder = Folder::new();
    let store = folder.store();
    folder.bind(&store, &config(None, None)).await.unwrap();
    assert!(
        store.secrets(SCOPE).await.unwrap().is_empty(),
        "nothing is written down: it is all in one folder"
    );
    std::fs::create_dir(folder.data.file("events")).unwrap();
    folder.bind(&store, &config(None, None)).await.unwrap();
    let error = folder.bind(&store, &config(None, Some("nats://h"))).await.unwrap_err();
    assert!(error.contains("data/events") && error.contains("pollux admin export"), "{error}");
}
