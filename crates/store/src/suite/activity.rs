//! When devices and modules were last heard of.

use std::sync::Arc;

use pollux_model::DeviceAddress;
use pollux_model::device::Activity;

use super::fixtures::{device, device_id, module, moment, name, note_activity, put_device};
use super::{Backend, commit};
use crate::batch::{Expect, Write};
use crate::store::Store;

fn address(text: &str) -> DeviceAddress {
    DeviceAddress::parse(text).expect("an address")
}

async fn found(store: &dyn Store, hub: &str, device: &str) -> Option<Activity> {
    let device = address(device);
    store.activities(&name(hub), std::slice::from_ref(&device)).await.expect("times").remove(&device)
}

fn times(state_updated: i64, last: i64) -> Option<Activity> {
    Some(Activity { state_updated: moment(state_updated), last: moment(last) })
}

pub(super) async fn each_time_only_grows(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let there = ["d", "d.2", "D"].map(|id| put_device("hub-one", device(id)));
    commit(&*store, there.into_iter().chain([put_device("hub-one", module("d", "m"))])).await;
    assert_eq!(found(&*store, "hub-one", "d").await, None);
    let notes =
        [("d", 5, 2), ("d", 3, 9), ("d/m", 1, 1), ("d.2", 4, 4), ("D", 2, 2), ("none", 1, 1), ("d/n", 1, 1)];
    commit(&*store, notes.map(|(id, state, last)| note_activity("hub-one", id, state, last))).await;
    commit(&*store, [note_activity("hub-one", "D", 2, 3), note_activity("hub-two", "d", 6, 6)]).await;
    let all = ["d", "d/m", "d.2", "D", "none", "d/n"];
    let wanted = [times(5, 9), times(1, 1), times(4, 4), times(2, 3), None, None];
    let together = store.activities(&name("hub-one"), &all.map(address)).await.expect("times");
    for (id, wanted) in all.into_iter().zip(wanted) {
        assert_eq!(together.get(&address(id)).copied(), wanted, "{id}");
        assert_eq!(found(&*store, "hub-one", id).await, wanted, "{id}");
    }
    assert_eq!(found(&*store, "hub-two", "d").await, None, "there is no such device");
    assert!(store.activities(&name("hub-one"), &[]).await.expect("times").is_empty());
}

pub(super) async fn nothing_is_kept_of_what_is_gone(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let put = || [put_device("hub-one", device("d")), put_device("hub-one", module("d", "m"))];
    let gone =
        |id: DeviceAddress| Write::DeleteDevice { hub: name("hub-one"), id, identity: Expect::Present };
    let both = || [note_activity("hub-one", "d", 1, 1), note_activity("hub-one", "d/m", 2, 2)];
    commit(&*store, put().into_iter().chain(both())).await;
    commit(&*store, [gone(address("d/m")), put_device("hub-one", module("d", "m"))]).await;
    assert_eq!(
        (found(&*store, "hub-one", "d").await, found(&*store, "hub-one", "d/m").await),
        (times(1, 1), None)
    );
    commit(&*store, both()).await;
    commit(&*store, [gone(address("d/m")), gone(device_id("d").into())]).await;
    commit(&*store, both()).await;
    commit(&*store, put()).await;
    assert_eq!((found(&*store, "hub-one", "d").await, found(&*store, "hub-one", "d/m").await), (None, None));
}
