//! Modules and their devices hold together.

use std::sync::Arc;

use pollux_model::DeviceAddress;

use super::fixtures::{device, device_id, module, name, put_device};
use super::{Backend, all_pages, commit, refused};
use crate::batch::{Batch, Expect, Write};
use crate::error::{CommitError, Mismatch};

fn put(device: &str, id: &str) -> Write {
    put_device("hub-one", module(device, id))
}

fn delete(id: &str) -> Write {
    let id = DeviceAddress::parse(id).expect("an address");
    Write::DeleteDevice { hub: name("hub-one"), id, identity: Expect::Present }
}

pub(super) async fn modules_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    let odd = "$edge:-.+%_#*?!(),=@;$'";
    commit(&*store, [put_device("hub-one", device("d")), put("d", "m"), put("d", odd)]).await;
    for id in ["m", odd] {
        let module = module("d", id);
        let found = store.addressed(&hub, &module.address()).await.expect("module");
        assert_eq!(
            found.as_ref().map(|found| serde_json::to_string(found).ok()),
            Some(serde_json::to_string(&module).ok())
        );
        assert_eq!(found, Some(module.clone()));
        assert_eq!(store.addressed(&name("hub-two"), &module.address()).await.expect("module"), None);
    }
    // It is no device, and its device is no module.
    assert_eq!(store.device(&hub, &device_id("m")).await.expect("device"), None);
    assert_eq!(store.device(&hub, &device_id("d")).await.expect("device"), Some(device("d")));
    assert_eq!(store.count_devices(&hub).await.expect("count"), (1, 1));
    // The device changes, and its modules stay.
    commit(&*store, [put_device("hub-one", device("d"))]).await;
    assert_eq!(store.modules_of(&hub, &device_id("d")).await.expect("modules").len(), 2);
}

pub(super) async fn a_module_needs_its_device(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [put_device("hub-two", device("d"))]).await;
    assert_eq!(refused(&*store, [put("d", "m")]).await, (0, Mismatch::NoDevice));
    let fresh = Write::PutDevice {
        hub: name("hub-one"),
        device: Box::new(module("d", "m")),
        identity: Expect::Absent,
        twin: Expect::Any,
    };
    assert_eq!(refused(&*store, [fresh.clone()]).await, (0, Mismatch::NoDevice));
    assert_eq!(refused(&*store, [put("d", "m"), put_device("hub-one", device("d"))]).await.0, 0);
    commit(&*store, [put_device("hub-one", device("d")), fresh]).await;
}

pub(super) async fn a_device_with_modules_stays(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [put_device("hub-one", device("d")), put("d", "m"), put("d", "n")]).await;
    commit(&*store, [put_device("hub-one", device("d2"))]).await;
    assert_eq!(refused(&*store, [delete("d")]).await, (0, Mismatch::HasModules));
    assert_eq!(refused(&*store, [delete("d/m"), delete("d")]).await, (1, Mismatch::HasModules));
    commit(&*store, [delete("d2")]).await;
    commit(&*store, [delete("d/m"), delete("d/n"), delete("d")]).await;
    assert!(store.modules(&name("hub-one"), None, 9).await.expect("modules").items.is_empty());
}

pub(super) async fn modules_page_in_order_of_their_devices(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let devices = ["-", "10", "9", "A", "a"];
    let mut all: Vec<_> =
        devices.iter().flat_map(|of| ["$m", "1", "B", "b"].map(|id| module(of, id))).collect();
    commit(&*store, devices.iter().map(|id| put_device("hub-one", device(id)))).await;
    commit(&*store, all.iter().rev().map(|module| put_device("hub-one", module.clone()))).await;
    // Neighbours in the table must not leak in.
    commit(&*store, [put_device("hub-onf", device("x")), put_device("hub-onf", module("x", "m"))]).await;
    let hub = &name("hub-one");
    for limit in [1, 2, 3, 7, 100] {
        let found = all_pages(limit, async |after| store.modules(hub, after.as_deref(), limit).await).await;
        assert_eq!(found, all);
    }
    let of = store.modules_of(hub, &device_id("9")).await.expect("modules");
    all.retain(|module| module.id == device_id("9"));
    assert_eq!(of, all);
}

/// A device is deleted while a module of it is made: either there is no device any more, or the module stays with it.
pub(super) async fn a_module_and_its_device_come_and_go_at_once(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    for round in 0..20 {
        let id = format!("d{round}");
        commit(&*store, [put_device("hub-one", device(&id))]).await;
        let (made, gone) =
            tokio::join!(store.commit(Batch::from(put(&id, "m"))), store.commit(Batch::from(delete(&id))));
        let there = store.device(&hub, &device_id(&id)).await.expect("device").is_some();
        let modules = store.modules_of(&hub, &device_id(&id)).await.expect("modules").len();
        match (made, gone) {
            (Ok(()), Err(CommitError::Expectation { mismatch: Mismatch::HasModules, .. })) => {
                assert_eq!((there, modules), (true, 1));
            }
            (Err(CommitError::Expectation { mismatch: Mismatch::NoDevice, .. }), Ok(())) => {
                assert_eq!((there, modules), (false, 0));
            }
            other => panic!("{other:?}"),
        }
    }
}
