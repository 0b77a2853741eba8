//! Many at once: no lost update, read your writes, no torn reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fixtures::{
    device, device_id, etag, name, outbox, put_device, put_twin, registration, tell, twin,
};
use super::{Backend, commit};
use crate::batch::{Batch, Expect, Write};
use crate::error::{CommitError, Mismatch};
use pollux_model::registration::RegistrationStatus;

pub(super) async fn one_of_many_conflicting_commits_wins(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    for round in 0..10 {
        let id = format!("d-{round}");
        commit(&*store, [put_device("hub-one", device(&id))]).await;
        let tasks: Vec<_> = (0..16)
            .map(|number| {
                let (store, mut device) = (Arc::clone(&store), device(&id));
                tokio::spawn(async move {
                    let expect = Expect::Etag(device.twin.etag.clone());
                    device.twin.etag = etag(&format!("winner-{number}"));
                    let write = Write::PutDevice {
                        hub: name("hub-one"),
                        device: Box::new(device),
                        identity: Expect::Any,
                        twin: expect,
                    };
                    match store.commit(Batch::from(write)).await {
                        Ok(()) => Some(number),
                        Err(CommitError::Expectation { index: 0, mismatch: Mismatch::OtherEtag }) => None,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            winners.extend(task.await.expect("the task ends well"));
        }
        let found = store.device(&name("hub-one"), &device_id(&id)).await.expect("device");
        let tag = found.map(|found| found.twin.etag);
        assert_eq!(winners.len(), 1, "exactly one wins");
        assert_eq!(tag, Some(etag(&format!("winner-{}", winners[0]))));
    }
}

pub(super) async fn no_update_is_lost(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let mut start = twin("counter", "dtmi:m;1");
    (start.etag, start.document) = (etag("0"), serde_json::json!(0));
    commit(&*store, [put_twin("twins-one", start)]).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                while done < 10 {
                    let found = store.twin(&name("twins-one"), "counter").await.expect("twin");
                    let mut twin = found.expect("the counter is there");
                    let (expect, count) =
                        (Expect::Etag(twin.etag.clone()), twin.document.as_u64().expect("a count") + 1);
                    (twin.etag, twin.document) = (etag(&count.to_string()), serde_json::json!(count));
                    let write = Write::PutTwin { twins: name("twins-one"), twin: Box::new(twin), expect };
                    done += u32::from(store.commit(Batch::from(write)).await.is_ok());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends well");
    }
    let found = store.twin(&name("twins-one"), "counter").await.expect("twin").expect("the counter is there");
    assert_eq!(found.document, serde_json::json!(80));
}

pub(super) async fn everyone_reads_his_own_writes(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (hub, dps, id) = (name(&format!("hub-{task}")), name("dps-one"), format!("d-{task}"));
                for version in 1..=10_u64 {
                    let mut device = device(&id);
                    device.twin.version = version;
                    let mut record = registration(&id, Some(&id), RegistrationStatus::Assigned);
                    record.etag = etag(&version.to_string());
                    let record = Write::PutRegistration {
                        dps: dps.clone(),
                        registration: Box::new(record),
                        expect: Expect::Any,
                    };
                    commit(&*store, [put_device(&hub, device), record]).await;
                    let found = store.device(&hub, &device_id(&id)).await.expect("device");
                    assert_eq!(found.map(|found| found.twin.version), Some(version));
                    let found = store.devices(&hub, None, 9).await.expect("devices").items;
                    assert_eq!(found.iter().map(|found| found.twin.version).collect::<Vec<_>>(), [version]);
                    let found =
                        store.registrations_of_group(&dps, &id, None, 9).await.expect("registrations").items;
                    assert!(found.len() == 1 && *found[0].etag == *version.to_string());
                }
                let gone = Write::DeleteDevice {
                    hub: hub.clone(),
                    id: device_id(&id).into(),
                    identity: Expect::Present,
                };
                commit(&*store, [gone]).await;
                assert_eq!(store.device(&hub, &device_id(&id)).await.expect("device"), None);
                assert_eq!(store.count_devices(&hub).await.expect("count"), (0, 0));
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends well");
    }
}

pub(super) async fn a_reader_never_sees_half_a_batch(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        async move {
            while !done.load(Ordering::Acquire) {
                let found = store.devices(&name("hub-one"), None, 100).await.expect("devices").items;
                assert_eq!(found.len() % 5, 0, "each batch has five devices");
                let versions: Vec<_> = found.iter().map(|device| device.twin.version).collect();
                assert!(versions.iter().all(|version| Some(version) == versions.first()), "{versions:?}");
                let told = outbox(&*store).await.len();
                assert_eq!(told % 2, 0, "each batch tells of two events");
                tokio::task::yield_now().await;
            }
        }
    });
    for version in 0..40_u64 {
        let devices = (0..5).map(|n| {
            let mut device = device(&format!("d-{n}"));
            device.twin.version = version;
            put_device("hub-one", device)
        });
        commit(&*store, devices.chain([tell(version), tell(version)])).await;
    }
    done.store(true, Ordering::Release);
    reader.await.expect("the reader ends well");
}
