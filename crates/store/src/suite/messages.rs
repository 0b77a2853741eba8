//! Queues of a hub: order, bound, locks, expiry; and what goes with a device.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use pollux_model::DeviceAddress;
use pollux_model::message::{ConnectionQueue, LockedBy, MessageLock, MessageQueue, QueuedMessage};

use super::fixtures::{
    device, device_id, etag, free_message, message, moment, mqtt_session, name, put_device, put_message,
};
use super::{Backend, commit, refused};
use crate::batch::{Batch, Expect, Write};
use crate::error::Mismatch;
use crate::messages::Which;
use crate::store::Store;

fn enqueue(device: &str, sequence: i64, most: u32) -> Write {
    let message = Box::new(free_message(device, sequence));
    Write::EnqueueMessage { hub: name("hub-x"), message, most }
}

fn queue(device: &str) -> MessageQueue {
    MessageQueue::Device(device_id(device))
}

async fn sequences(store: &dyn Store, device: &str, which: Which<'_>) -> Vec<i64> {
    let found = store.messages(&name("hub-x"), &queue(device), which, 99).await.expect("messages");
    found.iter().map(|message| message.sequence).collect()
}

pub(super) async fn a_queue_keeps_its_order_and_its_bound(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    assert_eq!(refused(&*store, [enqueue("d", 10, 3)]).await, (0, Mismatch::Absent), "there is no device");
    commit(&*store, [put_device("hub-x", device("d")), put_device("hub-x", device("e"))]).await;
    // The second comes from a node whose clock is behind.
    for sequence in [10, 5, 20] {
        commit(&*store, [enqueue("d", sequence, 3)]).await;
    }
    assert_eq!(sequences(&*store, "d", Which::All).await, [10, 11, 20]);
    assert_eq!(refused(&*store, [enqueue("d", 30, 3)]).await, (0, Mismatch::QueueFull));
    commit(&*store, [enqueue("e", 30, 3)]).await;
    let first = store.messages(&name("hub-x"), &queue("d"), Which::All, 1).await.expect("messages");
    assert_eq!(first, [free_message("d", 10)]);
    let gone = Write::DeleteMessage {
        hub: name("hub-x"),
        queue: queue("d"),
        sequence: 10,
        expect: Expect::Etag(etag("q1")),
    };
    commit(&*store, [gone, enqueue("d", 30, 3)]).await;
    assert_eq!(sequences(&*store, "d", Which::All).await, [11, 20, 30]);
    let counts = store.count_messages(&name("hub-x"), &["d", "e", "f"].map(device_id)).await.expect("counts");
    assert_eq!(counts, HashMap::from([(device_id("d"), 3), (device_id("e"), 1)]));
}

pub(super) async fn senders_side_by_side_keep_the_bound(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [put_device("hub-x", device("d"))]).await;
    let sends = (0..20).map(|_| store.commit(Batch::from(enqueue("d", 1, 5))));
    let taken = join_all(sends).await.into_iter().filter(Result::is_ok).count();
    assert_eq!((taken, sequences(&*store, "d", Which::All).await), (5, vec![1, 2, 3, 4, 5]));
}

pub(super) async fn what_is_locked_is_not_seen(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let (hub, now) = (name("hub-x"), moment(100));
    let locked = |sequence, until, by| {
        let lock = Some(MessageLock { until: moment(until), by });
        put_message("hub-x", QueuedMessage { lock, etag: etag("token"), ..free_message("d", sequence) })
    };
    let expired = QueuedMessage { expires: moment(100), ..free_message("d", 5) };
    let writes = [
        put_message("hub-x", free_message("d", 1)),
        locked(2, 160, LockedBy::Request),
        locked(3, 130, LockedBy::Connection),
        locked(4, 100, LockedBy::Connection),
        put_message("hub-x", expired.clone()),
    ];
    commit(&*store, writes).await;
    assert_eq!(sequences(&*store, "d", Which::Available(now)).await, [1, 4]);
    assert_eq!(sequences(&*store, "d", Which::Etag("token")).await, [2, 3, 4]);
    assert_eq!(sequences(&*store, "d", Which::Held).await, [3, 4]);
    assert!(sequences(&*store, "e", Which::All).await.is_empty());
    let next = async |seconds| store.next_unlocked(&hub, &queue("d"), moment(seconds)).await.expect("next");
    assert_eq!(next(100).await, Some(moment(130)));
    assert_eq!((next(130).await, next(160).await), (Some(moment(160)), None));
    assert_eq!(store.expired_messages(moment(99), 9).await.expect("expired"), []);
    assert_eq!(store.expired_messages(now, 9).await.expect("expired"), [(hub.clone(), expired)]);
    // What somebody holds is his, until the lock runs out.
    let all = store.expired_messages(moment(4000), 3).await.expect("expired");
    assert_eq!(all.len(), 3);
}

pub(super) async fn a_change_of_state_keeps_the_payload(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [put_message("hub-x", message("d", 1))]).await;
    let changed = QueuedMessage { etag: etag("q2"), lock: None, payload: Vec::new(), ..message("d", 1) };
    let expect = Expect::Etag(etag("q1"));
    commit(&*store, [Write::PutMessage { hub: name("hub-x"), message: Box::new(changed.clone()), expect }])
        .await;
    let found = store.messages(&name("hub-x"), &queue("d"), Which::All, 9).await.expect("messages");
    assert_eq!(found, [QueuedMessage { payload: message("d", 1).payload, ..changed }]);
}

pub(super) async fn notices_of_connections_come_in_pages(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let notice = |id: &str| {
        let address = DeviceAddress::parse(id).expect("an address");
        QueuedMessage {
            queue: MessageQueue::Connection(ConnectionQueue::of(&address)),
            ..free_message("d", 0)
        }
    };
    let feedback = QueuedMessage { queue: MessageQueue::Feedback, ..free_message("d", 1) };
    let ids = ["a", "b", "b/m", "z"];
    let writes = ids.map(|id| put_message("hub-x", notice(id))).into_iter();
    commit(
        &*store,
        writes.chain([put_message("hub-x", feedback), put_message("hub-x", free_message("d", 1))]),
    )
    .await;
    commit(&*store, [put_message("hub-y", notice("c"))]).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.connection_notices(&name("hub-x"), after.as_deref(), 3).await.expect("notices");
        found.extend(page.items);
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(found, ids.map(notice));
}

pub(super) async fn what_goes_with_a_device(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-x");
    let session =
        |device: &str| Write::PutMqttSession { hub: name("hub-x"), session: Box::new(mqtt_session(device)) };
    let feedback = QueuedMessage { queue: MessageQueue::Feedback, ..free_message("d", 1) };
    commit(&*store, [put_device("hub-x", device("d")), put_device("hub-x", device("e"))]).await;
    let writes = ["d", "e"].map(|id| [enqueue(id, 1, 9), session(id)]).into_iter().flatten();
    commit(&*store, writes.chain([put_message("hub-x", feedback.clone())])).await;
    let gone = Write::DeleteDevice { hub: hub.clone(), id: device_id("d").into(), identity: Expect::Present };
    commit(&*store, [gone]).await;
    assert!(sequences(&*store, "d", Which::All).await.is_empty());
    assert_eq!(sequences(&*store, "e", Which::All).await, [1]);
    let left = async |id| store.mqtt_session(&hub, id).await.expect("session");
    assert_eq!((left("d").await, left("e").await), (None, Some(mqtt_session("e"))));
    commit(&*store, [Write::DeleteMqttSession { hub: hub.clone(), device: "e".to_owned() }]).await;
    assert_eq!(left("e").await, None);
    let kept = store.messages(&hub, &MessageQueue::Feedback, Which::All, 9).await.expect("messages");
    assert_eq!(kept, [feedback]);
}
