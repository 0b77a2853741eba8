//! A batch is applied whole or not at all.

use std::sync::Arc;

use super::fixtures::{device, device_id, everything, name, outbox, put_device, put_relationship, put_twin};
use super::fixtures::{relationship, resources, secret, tell, twin};
use super::{Backend, commit, refused};
use crate::batch::{Batch, Expect, Write};
use crate::error::{CommitError, Mismatch};

fn put_secret(id: &str, expect: Expect) -> Write {
    Write::PutSecret { secret: Box::new(secret("scope", id)), expect }
}

pub(super) async fn an_empty_batch_is_nothing(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, []).await;
    assert!(outbox(&*store).await.is_empty());
}

pub(super) async fn a_refused_batch_leaves_nothing(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    // Every kind of row first, then a write that is refused.
    let writes = everything().into_iter().chain([put_secret("none", Expect::Present)]);
    let (index, mismatch) = refused(&*store, writes).await;
    assert_eq!((index, mismatch), (everything().len(), Mismatch::Absent));
    assert_eq!(store.resources().await.expect("resources"), []);
    assert_eq!(store.count_devices(&name("hub-one")).await.expect("count"), (0, 0));
    assert_eq!(store.count_registrations(&name("dps-one")).await.expect("count"), 0);
    assert_eq!(store.count_twins(&name("twins-one"), None).await.expect("count"), 0);
    assert_eq!(store.models(&name("twins-one")).await.expect("models"), []);
    assert_eq!(store.relationships(&name("twins-one"), None, 9).await.expect("relationships").items, []);
    assert_eq!(store.enrollments(&name("dps-one"), None, 9).await.expect("enrollments").items, []);
    assert_eq!(store.enrollment_groups(&name("dps-one"), None, 9).await.expect("groups").items, []);
    let letters = store.dead_letters(&name("functions-one").into(), None, None, 9).await;
    assert_eq!(letters.expect("dead letters").items, []);
    let key = super::fixtures::consumer("functions/functions-one/ingest");
    assert_eq!(store.checkpoints(&key).await.expect("checkpoints"), []);
    assert_eq!(store.secrets("issuer-key").await.expect("secrets"), []);
    assert!(outbox(&*store).await.is_empty());
    // Deletions are taken back too.
    commit(&*store, everything()).await;
    let hub = resources("one").remove(1);
    let writes = [
        Write::DeleteResource { kind: hub.kind(), name: hub.name, expect: Expect::Present },
        put_secret("none", Expect::Present),
    ];
    assert_eq!(refused(&*store, writes).await, (1, Mismatch::Absent));
    super::fixtures::check_everything(&*store).await;
}

pub(super) async fn the_first_refusal_is_named(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [put_secret("there", Expect::Absent)]).await;
    let writes = [
        put_secret("new", Expect::Absent),
        put_secret("there", Expect::Absent),
        put_secret("none", Expect::Present),
    ];
    assert_eq!(refused(&*store, writes).await, (1, Mismatch::Exists));
}

pub(super) async fn later_writes_see_earlier_ones(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    let delete = Write::DeleteDevice {
        hub: hub.clone(),
        id: device_id("d").into(),
        identity: Expect::Etag(device("d").identity.etag),
    };
    let again = Write::PutDevice {
        hub: hub.clone(),
        device: Box::new(device("d")),
        identity: Expect::Absent,
        twin: Expect::Absent,
    };
    commit(&*store, [put_device("hub-one", device("d")), delete, again]).await;
    assert_eq!(store.count_devices(&hub).await.expect("count"), (1, 1));
    let writes = [
        put_twin("twins-one", twin("a", "dtmi:m;1")),
        put_twin("twins-one", twin("b", "dtmi:m;1")),
        put_relationship("twins-one", relationship("a", "e", "b")),
        Write::DeleteRelationship {
            twins: name("twins-one"),
            source: "a".to_owned(),
            id: "e".to_owned(),
            expect: Expect::Present,
        },
        Write::DeleteTwin { twins: name("twins-one"), id: "b".to_owned(), expect: Expect::Present },
    ];
    commit(&*store, writes).await;
    assert_eq!(store.count_twins(&name("twins-one"), None).await.expect("count"), 1);
}

pub(super) async fn a_refused_batch_does_not_take_others_with_it(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let mut tasks = Vec::new();
    for number in 0..60_u64 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let last = if number % 3 == 0 { Expect::Present } else { Expect::Absent };
            let id = format!("d-{number}");
            let batch = Batch::new()
                .with(put_device("hub-one", device(&id)))
                .with(tell(number))
                .with(put_secret(&id, last));
            let answer = store.commit(batch).await;
            let found = store.device(&name("hub-one"), &device_id(&id)).await.expect("device");
            if number % 3 == 0 {
                assert!(
                    matches!(answer, Err(CommitError::Expectation { index: 2, mismatch: Mismatch::Absent })),
                    "{answer:?}"
                );
                assert_eq!(found, None);
            } else {
                answer.expect("the batch is applied");
                assert!(found.is_some());
            }
        }));
    }
    for task in tasks {
        task.await.expect("the task ends well");
    }
    assert_eq!(store.count_devices(&name("hub-one")).await.expect("count"), (40, 40));
    assert_eq!(outbox(&*store).await.len(), 40);
}
