//! Leases: one owner at a time, epochs that only grow, batches that are held to them.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{device, device_id, name, outbox, put_device, tell};
use super::{Backend, commit, refused};
use crate::batch::{Batch, Write};
use crate::error::{CommitError, Mismatch};
use crate::leases::{Lease, LeaseHolder};
use crate::store::Store;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

async fn lease(store: &dyn Store, owner: &str, name: &str, ttl: Duration) -> Option<i64> {
    let taken = store.lease(owner, &[name.to_owned()], ttl).await.expect("lease");
    assert_eq!(taken.len(), 1, "an answer per name");
    taken[0]
}

fn require(owner: &str, name: &str, epoch: i64) -> Write {
    Write::RequireLease { owner: owner.to_owned(), lease: Lease { name: name.to_owned(), epoch } }
}

pub(super) async fn a_lease_has_one_owner(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    assert_eq!(store.lease("a", &[], LONG).await.expect("lease"), []);
    let first = lease(&*store, "a", "one", LONG).await.expect("it is free");
    assert!(first > 0, "epoch {first}");
    assert_eq!(lease(&*store, "b", "one", LONG).await, None);
    assert_eq!(lease(&*store, "a", "one", LONG).await, Some(first), "a renewal keeps the epoch");
    // Each name for itself, answers in the order of the names.
    let names = ["two", "one", "three"].map(ToOwned::to_owned);
    let taken = store.lease("b", &names, LONG).await.expect("lease");
    assert_eq!(taken.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(store.lease("b", &names, LONG).await.expect("lease"), taken);
    drop(store);
    let store = backend.open().await;
    assert_eq!(lease(&*store, "a", "one", LONG).await, Some(first), "reopening keeps leases");
}

pub(super) async fn a_lease_that_ran_out_is_taken(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let first = lease(&*store, "a", "one", Duration::ZERO).await.expect("it is free");
    let second = lease(&*store, "a", "one", Duration::ZERO).await.expect("it ran out");
    assert!(second > first, "what ran out is taken anew, even by the same owner");
    let third = lease(&*store, "b", "one", LONG).await.expect("it ran out");
    assert!(third > second);
    assert_eq!(lease(&*store, "a", "one", LONG).await, None);
    // An owner can shorten its own.
    assert_eq!(lease(&*store, "b", "one", Duration::ZERO).await, Some(third));
    assert!(lease(&*store, "a", "one", LONG).await.expect("it ran out") > third);
}

pub(super) async fn a_released_lease_is_free_and_keeps_its_epoch(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let first = lease(&*store, "a", "one", LONG).await.expect("it is free");
    store.release("b", &["one".to_owned(), "none".to_owned()]).await.expect("not b's: nothing happens");
    assert_eq!(lease(&*store, "b", "one", LONG).await, None);
    store.release("a", &["one".to_owned()]).await.expect("release");
    store.release("a", &["one".to_owned()]).await.expect("again");
    assert_eq!(refused(&*store, [require("a", "one", first)]).await, (0, Mismatch::LeaseLost));
    let second = lease(&*store, "a", "one", LONG).await.expect("it is free");
    assert!(second > first, "taken anew");
    store.release("a", &["one".to_owned()]).await.expect("release");
    assert!(lease(&*store, "b", "one", LONG).await.expect("it is free") > second);
}

pub(super) async fn leases_are_listed_by_prefix(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let names = ["relay/1", "relay/0", "relay_1", "RELAY/1", "relay/%", "relax/1"].map(ToOwned::to_owned);
    let taken = store.lease("a", &names, LONG).await.expect("lease");
    let late = lease(&*store, "b", "relay/9", Duration::ZERO).await;
    assert!(late.is_some());
    store.lease("c", &["relay/8".to_owned()], LONG).await.expect("lease");
    store.release("c", &["relay/8".to_owned()]).await.expect("release");
    let holder = |at: usize| LeaseHolder {
        name: names[at].clone(),
        owner: "a".to_owned(),
        epoch: taken[at].expect("it was free"),
    };
    assert_eq!(store.leases("relay/").await.expect("leases"), [4, 1, 0].map(holder));
    assert_eq!(store.leases("").await.expect("leases").len(), names.len());
    assert_eq!(store.leases("none").await.expect("leases"), []);
}

pub(super) async fn a_fenced_batch_needs_its_lease(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    assert_eq!(refused(&*store, [require("a", "one", 1)]).await, (0, Mismatch::LeaseLost));
    // It counts while nobody else took it, even after its time.
    let first = lease(&*store, "a", "one", Duration::ZERO).await.expect("it is free");
    commit(&*store, [require("a", "one", first), put_device("hub-one", device("d1")), tell(1)]).await;
    assert_eq!(refused(&*store, [require("b", "one", first)]).await, (0, Mismatch::LeaseLost));
    assert_eq!(refused(&*store, [require("a", "one", first + 1)]).await, (0, Mismatch::LeaseLost));
    let second = lease(&*store, "b", "one", LONG).await.expect("it ran out");
    // Wherever the lease stands in the batch, nothing of the batch is applied.
    let late = [put_device("hub-one", device("d2")), tell(2), require("a", "one", first)];
    assert_eq!(refused(&*store, late).await, (2, Mismatch::LeaseLost));
    let hub = name("hub-one");
    assert_eq!(store.device(&hub, &device_id("d2")).await.expect("device"), None);
    assert_eq!(outbox(&*store).await.len(), 1);
    commit(&*store, [put_device("hub-one", device("d2")), require("b", "one", second)]).await;
    assert_eq!(store.count_devices(&hub).await.expect("count").0, 2);
}

/// Owners take a lease from each other while each tries to write under it: every write that is applied was made by
/// whoever had the lease, so epochs in the order of the commits never fall.
pub(super) async fn one_of_many_takes_a_lease(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, owner) = (Arc::clone(&store), format!("owner-{task}"));
            tokio::spawn(async move {
                let mut applied = 0;
                for _ in 0..10 {
                    // Runs out at once, so the others are always about to take it.
                    let Some(epoch) = lease(&*store, &owner, "one", Duration::ZERO).await else { continue };
                    let told = u64::try_from(epoch).expect("epochs are positive");
                    let mut entry = super::fixtures::outbox_entry(told);
                    entry.partition_key = "one".to_owned();
                    let batch =
                        Batch::new().with(Write::Outbox(Box::new(entry))).with(require(&owner, "one", epoch));
                    match store.commit(batch).await {
                        Ok(()) => applied += 1,
                        Err(CommitError::Expectation { mismatch: Mismatch::LeaseLost, .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                applied
            })
        })
        .collect();
    let mut applied = 0;
    for task in tasks {
        applied += task.await.expect("the task ends well");
    }
    let told: Vec<u64> = outbox(&*store)
        .await
        .iter()
        .map(|(_, entry)| u64::from_be_bytes(*entry.payload.first_chunk().expect("eight bytes")))
        .collect();
    assert_eq!(told.len(), applied);
    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
}
