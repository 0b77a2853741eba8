//! The outbox: order, forgetting, waking.

use std::sync::Arc;

use super::fixtures::{outbox_entry, tell};
use super::{Backend, commit};
use crate::store::Store;

async fn numbers(store: &dyn Store) -> Vec<u64> {
    let entries = store.outbox(usize::MAX).await.expect("outbox");
    assert!(entries.is_sorted_by(|a, b| a.0 < b.0), "row numbers ascend");
    let number = |payload: &[u8]| u64::from_be_bytes(*payload.first_chunk().expect("eight bytes"));
    entries.iter().map(|(_, entry)| number(&entry.payload)).collect()
}

pub(super) async fn entries_keep_the_order_of_commits(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    for first in (0..50).step_by(5) {
        commit(&*store, (first..first + 5).map(tell)).await;
    }
    assert_eq!(numbers(&*store).await, (0..50).collect::<Vec<_>>());
    let some = store.outbox(3).await.expect("outbox");
    let some: Vec<_> = some.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(some, [outbox_entry(0), outbox_entry(1), outbox_entry(2)]);
    // Each task's batches follow each other, and no batch is torn apart.
    let mut tasks = Vec::new();
    for task in 1..=8_u64 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            for batch in 0..10 {
                let first = task * 1000 + batch * 2;
                commit(&*store, [tell(first), tell(first + 1)]).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("the task ends well");
    }
    let found = numbers(&*store).await;
    for task in 1..=8_u64 {
        let own: Vec<u64> = found.iter().copied().filter(|number| number / 1000 == task).collect();
        assert_eq!(own, (task * 1000..task * 1000 + 20).collect::<Vec<_>>());
    }
    assert!(found[50..].chunks(2).all(|pair| pair[1] == pair[0] + 1), "a batch's entries stand together");
}

pub(super) async fn done_entries_are_gone_and_numbers_grow(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, (0..4).map(tell)).await;
    let rows: Vec<i64> = store.outbox(9).await.expect("outbox").iter().map(|(row, _)| *row).collect();
    store.outbox_done(&[]).await.expect("nothing is done");
    store.outbox_done(&rows[..2]).await.expect("done");
    assert_eq!(numbers(&*store).await, [2, 3]);
    // Idempotent, and in any order.
    store.outbox_done(&[rows[3], rows[0], rows[2]]).await.expect("done");
    assert!(numbers(&*store).await.is_empty());
    commit(&*store, [tell(4)]).await;
    let next = store.outbox(9).await.expect("outbox");
    assert!(next.iter().all(|(row, _)| *row > rows[3]), "a row number is not used twice");
    drop(store);
    let store = backend.open().await;
    let rows: Vec<i64> = store.outbox(9).await.expect("outbox").iter().map(|(row, _)| *row).collect();
    store.outbox_done(&rows).await.expect("done");
    drop(store);
    let store = backend.open().await;
    commit(&*store, [tell(5)]).await;
    let next = store.outbox(9).await.expect("outbox");
    assert!(next.iter().all(|(row, _)| *row > rows[0]), "nor after reopening");
}

pub(super) async fn a_commit_with_entries_wakes_the_relay(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let relay = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut seen = 0;
            while seen < 20 {
                store.outbox_changed().await;
                let rows: Vec<i64> =
                    store.outbox(99).await.expect("outbox").iter().map(|(row, _)| *row).collect();
                seen += rows.len();
                store.outbox_done(&rows).await.expect("done");
            }
        }
    });
    for number in 0..20 {
        commit(&*store, [tell(number)]).await;
    }
    relay.await.expect("the relay sees every entry");
    assert!(numbers(&*store).await.is_empty());
}

pub(super) async fn what_an_earlier_run_left_wakes_the_relay(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [tell(1)]).await;
    drop(store);
    let store = backend.open().await;
    store.outbox_changed().await;
    assert_eq!(numbers(&*store).await, [1]);
}
