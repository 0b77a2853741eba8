//! What is refused, and that nothing is written then.

use std::fs;

use pollux_server::transfer::{Export, TransferError, export};
use pollux_testkit::{Nats, Postgres, TestServer};

use crate::world::{Place, Quiet, laptop};

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_is_found_before_anything_is_written() {
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let export = out.path().join("export");
    from.export(&export, true).await.unwrap();
    for name in ["devices.ndjson", "manifest.json", "events/events-one/deviceevents/00000.ndjson"] {
        let to = Place::files();
        let whole = fs::read(export.join(name)).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(export.join(name), &bytes).unwrap();
        let error = to.import(&export, true).await.unwrap_err();
        assert!(matches!(error, TransferError::Damaged(_)), "{error:?}");
        assert!(error.to_string().contains(name.rsplit('/').next().unwrap()), "{error}");
        fs::write(export.join(name), &whole[..middle]).unwrap();
        assert!(matches!(to.import(&export, true).await.unwrap_err(), TransferError::Damaged(_)));
        assert!(!to.data("").exists(), "nothing was made");
        fs::write(export.join(name), whole).unwrap();
    }
    fs::remove_file(export.join("outbox.ndjson")).unwrap();
    let error = Place::files().import(&export, true).await.unwrap_err().to_string();
    assert!(error.contains("outbox.ndjson is not there"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_holds_something_is_refused() {
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let export = out.path().join("export");
    from.export(&export, false).await.unwrap();
    let folder = TestServer::start().await.stop().await;
    let used = Place { folder, state: None, events: None };
    let error = used.import(&export, false).await.unwrap_err().to_string();
    assert!(error.contains("not empty") && error.contains("5 resources"), "{error}");
    // State gone, events and CA still there.
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(used.data(name));
    }
    let error = used.import(&export, false).await.unwrap_err().to_string();
    assert!(error.contains("a CA of its own"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_would_be_lost_is_refused() {
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let folder = out.path().join("export");
    let error = Place::files().import(&folder, false).await.unwrap_err();
    assert!(matches!(error, TransferError::NotThere(_)), "{error:?}");
    let nobody = Place::files();
    let error = nobody.export(&folder, false).await.unwrap_err();
    assert!(matches!(error, TransferError::NotThere(_)), "{error:?}");
    assert!(!nobody.data("").exists() && !folder.exists(), "nothing was made");
    from.export(&folder, false).await.unwrap();
    let error = from.export(&folder, true).await.unwrap_err().to_string();
    assert!(error.contains("--overwrite"), "{error}");
    let what = Export { to: folder.clone(), events: true, overwrite: true };
    assert_eq!(export(&from.config(), &what, &Quiet).await.unwrap().events, 1527);
    fs::write(out.path().join("letter.txt"), "mine").unwrap();
    let error = from.export(out.path(), false).await.unwrap_err().to_string();
    assert!(error.contains("something else"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_deployment_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let server = TestServer::start().await;
    let mut config = pollux_server::Config::default();
    config.server.data_dir = server.connections().data_dir.into();
    let what = Export { to: out.path().join("export"), events: false, overwrite: false };
    let error = export(&config, &what, &Quiet).await.unwrap_err();
    assert!(matches!(error, TransferError::Open(pollux_server::ServeError::InUse(_))), "{error:?}");
    drop(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_is_named() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start().await) else { return };
    let (state, events) = (postgres.create_database("busy"), nats.url());
    let place = || Place::on(Some(&state), Some(&events));
    let running = place();
    let mut config = running.config();
    config.server.node = Some("plant-7".to_owned());
    let server = TestServer::start_in(running.folder, |one| *one = config).await;
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("export");
    // Its lease is there soon after the start.
    let error = loop {
        match place().export(&folder, false).await {
            Err(error) => break error.to_string(),
            Ok(_) => fs::remove_dir_all(&folder).unwrap(),
        }
    };
    assert!(error.contains("plant-7-") && error.contains("stop it"), "{error}");
    drop(server.stop().await);
    place().export(&folder, false).await.unwrap();
}
