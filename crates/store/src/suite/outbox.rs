//! The outbox: order, forgetting, waking.

use std::sync::Arc;

use pollux_model::event::OutboxEntry;

use super::fixtures::{outbox, outbox_entry, tell};
use super::{Backend, commit};
use crate::batch::Write;
use crate::outbox::shard_of;
use crate::store::Store;

fn number(entry: &OutboxEntry) -> u64 {
    u64::from_be_bytes(*entry.payload.first_chunk().expect("eight bytes"))
}

async fn numbers(store: &dyn Store) -> Vec<u64> {
    outbox(store).await.iter().map(|(_, entry)| number(entry)).collect()
}

async fn rows(store: &dyn Store) -> Vec<i64> {
    outbox(store).await.iter().map(|(row, _)| *row).collect()
}

pub(super) async fn what_shares_a_key_shares_a_shard(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let shards = store.outbox_shards();
    assert!(shards > 0);
    // Four entries of each of fifty keys, in turns.
    let entry =
        |number: u64| OutboxEntry { partition_key: format!("d-{}", number % 50), ..outbox_entry(number) };
    for first in (0..200).step_by(20) {
        commit(&*store, (first..first + 20).map(|number| Write::Outbox(Box::new(entry(number))))).await;
    }
    let mut found = Vec::new();
    for shard in 0..shards {
        let all = store.outbox(shard, usize::MAX).await.expect("outbox");
        assert!(all.is_sorted_by(|a, b| a.0 < b.0), "row numbers ascend");
        assert!(all.iter().all(|(_, entry)| shard_of(&entry.partition_key, shards) == shard));
        assert!(all.is_sorted_by_key(|(_, entry)| number(entry)), "a shard keeps the order of commits");
        let first = store.outbox(shard, 3).await.expect("outbox");
        assert_eq!(first, all[..all.len().min(3)], "the oldest first");
        found.extend(all.iter().map(|(_, entry)| number(entry)));
    }
    found.sort_unstable();
    assert_eq!(found, (0..200).collect::<Vec<_>>());
    assert!(store.outbox(shards, 9).await.expect("outbox").is_empty(), "there is no such shard");
}

pub(super) async fn entries_keep_the_order_of_commits(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    for first in (0..50).step_by(5) {
        commit(&*store, (first..first + 5).map(tell)).await;
    }
    assert_eq!(numbers(&*store).await, (0..50).collect::<Vec<_>>());
    let some: Vec<_> = outbox(&*store).await.into_iter().take(3).map(|(_, entry)| entry).collect();
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

pub(super) async fn a_batch_of_very_many_entries_keeps_their_order(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [tell(1_000_000)]).await;
    commit(&*store, (0..10_000).map(tell)).await;
    commit(&*store, [tell(1_000_001)]).await;
    let expected: Vec<u64> = [1_000_000].into_iter().chain(0..10_000).chain([1_000_001]).collect();
    assert_eq!(numbers(&*store).await, expected);
    store.outbox_done(&rows(&*store).await).await.expect("done");
    assert!(numbers(&*store).await.is_empty());
}

pub(super) async fn done_entries_are_gone_and_numbers_grow(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, (0..4).map(tell)).await;
    let done = rows(&*store).await;
    store.outbox_done(&[]).await.expect("nothing is done");
    store.outbox_done(&done[..2]).await.expect("done");
    assert_eq!(numbers(&*store).await, [2, 3]);
    // Idempotent, and in any order.
    store.outbox_done(&[done[3], done[0], done[2]]).await.expect("done");
    assert!(numbers(&*store).await.is_empty());
    commit(&*store, [tell(4)]).await;
    assert!(rows(&*store).await.iter().all(|row| *row > done[3]), "a row number is not used twice");
    drop(store);
    let store = backend.open().await;
    let done = rows(&*store).await;
    store.outbox_done(&done).await.expect("done");
    drop(store);
    let store = backend.open().await;
    commit(&*store, [tell(5)]).await;
    assert!(rows(&*store).await.iter().all(|row| *row > done[0]), "nor after reopening");
}

pub(super) async fn a_commit_with_entries_wakes_the_relay(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let relay = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let shard = shard_of(&outbox_entry(0).partition_key, store.outbox_shards());
            let mut seen = 0;
            while seen < 20 {
                store.outbox_changed(shard).await;
                let rows: Vec<i64> =
                    store.outbox(shard, 99).await.expect("outbox").iter().map(|(row, _)| *row).collect();
                seen += rows.len();
                store.outbox_done(&rows).await.expect("done");
            }
        }
    });
    for number in 0..20 {
        let entry = OutboxEntry { partition_key: outbox_entry(0).partition_key, ..outbox_entry(number) };
        commit(&*store, [Write::Outbox(Box::new(entry))]).await;
    }
    relay.await.expect("the relay sees every entry");
    assert!(numbers(&*store).await.is_empty());
}

pub(super) async fn what_an_earlier_run_left_wakes_the_relay(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [tell(1)]).await;
    drop(store);
    let store = backend.open().await;
    store.outbox_changed(shard_of(&outbox_entry(1).partition_key, store.outbox_shards())).await;
    assert_eq!(numbers(&*store).await, [1]);
}
