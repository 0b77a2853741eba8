//! Configurations of hubs.

use std::sync::Arc;

use pollux_model::configuration::Configuration;

use super::fixtures::{configuration, name, put_configuration};
use super::{Backend, all_pages, commit};
use crate::batch::{Expect, Write};

pub(super) async fn configurations_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    let plain = Configuration { pending: false, deleted: false, ..configuration("-:+%_#*?!(),=@;'") };
    commit(&*store, [put_configuration("hub-one", configuration("a"))]).await;
    commit(&*store, [put_configuration("hub-one", plain.clone())]).await;
    let found = store.configuration(&hub, "a").await.expect("configuration");
    assert_eq!(found, Some(configuration("a")));
    let found = store.configuration(&hub, &plain.id).await.expect("configuration");
    assert_eq!(found, Some(plain));
    assert_eq!(store.configuration(&hub, "A").await.expect("configuration"), None);
    assert_eq!(store.configuration(&name("hub-two"), "a").await.expect("configuration"), None);
    let delete = Write::DeleteConfiguration { hub: hub.clone(), id: "a".to_owned(), expect: Expect::Present };
    commit(&*store, [delete]).await;
    assert_eq!(store.configuration(&hub, "a").await.expect("configuration"), None);
}

pub(super) async fn configurations_page_in_order(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let all: Vec<_> = ["-", "10", "9", "a", "b"].map(configuration).to_vec();
    commit(&*store, all.iter().rev().map(|one| put_configuration("hub-one", one.clone()))).await;
    // Neighbours in the table must not leak in.
    commit(&*store, [put_configuration("hub-onf", configuration("x"))]).await;
    let hub = &name("hub-one");
    for limit in [1, 2, 3, 100] {
        let page = async |after: Option<String>| store.configurations(hub, after.as_deref(), limit).await;
        assert_eq!(all_pages(limit, page).await, all);
    }
}
