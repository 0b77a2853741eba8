//! Two nodes on one store, in one process.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pollux_bus::Exchange;
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use pollux_store::{Batch, CommitError, Mismatch};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Holding};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    cluster: Cluster,
    bus: Arc<pollux_bus::exchange::ExchangeBus>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Node {
    fn start(name: &str, exchange: &Arc<Exchange>, store: &DynStore) -> Self {
        let bus = exchange.join();
        let cluster = Cluster::shared(name.to_owned(), bus.clone(), Arc::clone(store));
        let stop = CancellationToken::new();
        let running = tokio::spawn(cluster.clone().run(stop.clone()));
        Self { cluster, bus, stop, running }
    }

    /// Does a piece of work as long as it may, and says when it begins and ends.
    fn work(&self, name: &'static str, said: &mpsc::Sender<(String, bool)>) -> JoinHandle<()> {
        let (cluster, stop, said) = (self.cluster.clone(), self.stop.clone(), said.clone());
        tokio::spawn(async move {
            let node = cluster.node().unwrap().to_owned();
            let work = |holding: Holding| {
                let (said, node) = (said.clone(), node.clone());
                async move {
                    said.send((node.clone(), true)).await.unwrap();
                    holding.stop.cancelled().await;
                    said.send((node, false)).await.unwrap();
                }
            };
            cluster.while_held(name, &stop, work).await;
        })
    }

    async fn leave(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }

    /// As if it had been killed.
    fn die(self) {
        self.running.abort();
        self.stop.cancel();
    }
}

fn store(folder: &tempfile::TempDir) -> DynStore {
    Arc::new(SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap())
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

#[tokio::test]
async fn work_is_shared_out_and_moves_when_a_node_leaves() {
    let (folder, exchange) = (tempfile::tempdir().unwrap(), Exchange::new());
    let store = store(&folder);
    let (a, b) = (Node::start("a", &exchange, &store), Node::start("b", &exchange, &store));
    let names = ["w/0", "w/1", "w/2", "w/3", "w/4", "w/5", "w/6", "w/7"];
    let (said, mut heard) = mpsc::channel(64);
    for name in names {
        a.work(name, &said);
        b.work(name, &said);
    }
    // Each piece is done by one, and both do some: whoever began what is the other's hands it over.
    let shared_out = async {
        loop {
            let held = store.leases("w/").await.unwrap();
            let of = |node: &str| held.iter().filter(|lease| lease.owner == node).count();
            if of("a") + of("b") == names.len() && of("a") > 0 && of("b") > 0 {
                return;
            }
            heard.recv().await.unwrap();
        }
    };
    soon(shared_out).await;
    b.leave().await;
    let moved = async {
        while store.leases("w/").await.unwrap().iter().filter(|lease| lease.owner == "a").count()
            < names.len()
        {
            heard.recv().await.unwrap();
        }
    };
    // No time needs to pass: what is left is taken over at once.
    soon(moved).await;
    a.leave().await;
    assert_eq!(store.leases("").await.unwrap(), [], "nothing is kept by who has left");
}

#[tokio::test]
async fn a_node_that_died_loses_its_work_and_what_it_still_writes_does_not_count() {
    let (folder, exchange) = (tempfile::tempdir().unwrap(), Exchange::new());
    let store = store(&folder);
    let a = Node::start("a", &exchange, &store);
    let (fences, mut fence) = mpsc::channel(1);
    let (cluster, stop) = (a.cluster.clone(), CancellationToken::new());
    let begun = tokio::spawn(async move {
        let work = |holding: Holding| {
            let fences = fences.clone();
            async move {
                fences.send(holding.fence.clone().unwrap()).await.unwrap();
                std::future::pending::<()>().await;
            }
        };
        cluster.while_held("w", &stop, work).await;
    });
    let old = soon(fence.recv()).await.unwrap();
    store.commit(Batch::from(old.write())).await.expect("it has the lease");
    a.die();
    let (b, (said, mut heard)) = (Node::start("b", &exchange, &store), mpsc::channel(8));
    b.work("w", &said);
    assert_eq!(soon(heard.recv()).await.unwrap(), ("b".to_owned(), true));
    let late = store.commit(Batch::from(old.write())).await;
    let lost = CommitError::Expectation { index: 0, mismatch: Mismatch::LeaseLost };
    assert_eq!(late.unwrap_err().to_string(), lost.to_string());
    begun.abort();
    b.leave().await;
}

#[tokio::test]
async fn a_node_that_others_cannot_hear_gives_its_work_away_though_the_store_is_there() {
    let (folder, exchange) = (tempfile::tempdir().unwrap(), Exchange::new());
    let store = store(&folder);
    let a = Node::start("a", &exchange, &store);
    let (said, mut heard) = mpsc::channel(8);
    a.work("w", &said);
    assert_eq!(soon(heard.recv()).await.unwrap(), ("a".to_owned(), true));
    a.bus.cut_silently(true);
    let b = Node::start("b", &exchange, &store);
    b.work("w", &said);
    // Whichever name hashing prefers: the one that is heard does it in the end.
    let moved = async { while heard.recv().await.unwrap() != ("b".to_owned(), true) {} };
    soon(moved).await;
    assert!(!a.cluster.hears() && !b.cluster.is_live("a"));
    assert!(
        a.cluster.alone("l", "test").await.is_err(),
        "nor does it change what others could not be told of"
    );
    a.bus.cut_silently(false);
    let back = async {
        let mut members = b.cluster.members();
        while members.borrow_and_update().len() < 2 {
            members.changed().await.unwrap();
        }
    };
    soon(back).await;
    assert!(a.cluster.hears());
    a.leave().await;
    b.leave().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_leases_to_run_out() {
    let (folder, exchange) = (tempfile::tempdir().unwrap(), Exchange::new());
    let store = store(&folder);
    let a = Node::start("a", &exchange, &store);
    let (said, mut heard) = mpsc::channel(64);
    // Whether the end of the work or the shutdown is seen first is a matter of chance.
    let tasks: Vec<_> =
        ["w/0", "w/1", "w/2", "w/3", "w/4", "w/5", "w/6", "w/7"].map(|name| a.work(name, &said)).into();
    for _ in &tasks {
        soon(heard.recv()).await.unwrap();
    }
    a.stop.cancel();
    let ended = futures_util::future::join_all(tasks);
    tokio::time::timeout(super::leases::TICK, ended).await.expect("they end at once");
    soon(a.leave()).await;
}

#[tokio::test]
async fn the_lock_lets_one_in_at_a_time() {
    let (folder, exchange) = (tempfile::tempdir().unwrap(), Exchange::new());
    let store = store(&folder);
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..4)
        .map(|number| {
            let cluster = Cluster::shared(format!("n{number}"), exchange.join(), Arc::clone(&store));
            let inside = Arc::clone(&inside);
            tokio::spawn(async move {
                let alone = cluster.alone("start", "test").await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                alone.release().await;
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_is_dropped_does_not_take_its_successor_along() {
    let (folder, exchange) = (tempfile::tempdir().unwrap(), Exchange::new());
    let store = store(&folder);
    let a = Node::start("a", &exchange, &store);
    let dropped = a.cluster.alone("l", "test").await.unwrap();
    drop(dropped);
    let held = a.cluster.alone("l", "test").await.unwrap();
    // Each question lets what was left to do for the first one happen.
    for _ in 0..100 {
        let asked = store.lease("b", &["lock/l".to_owned()], PATIENCE).await.unwrap();
        assert_eq!(asked.first(), Some(&None), "another got the lock");
    }
    held.release().await;
    assert!(matches!(
        store.lease("b", &["lock/l".to_owned()], PATIENCE).await.unwrap().first(),
        Some(Some(_))
    ));
    a.leave().await;
}

#[tokio::test]
async fn alone_everything_is_done_here() {
    let cluster = Cluster::solo();
    let (said, mut heard) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let work = |holding: Holding| {
        let said = said.clone();
        async move { said.send(holding.fence.is_none()).await.unwrap() }
    };
    cluster.while_held("w", &stop, work).await;
    assert!(heard.recv().await.unwrap());
    assert!(cluster.is_live("whoever") && cluster.does("w") && cluster.hears());
}
