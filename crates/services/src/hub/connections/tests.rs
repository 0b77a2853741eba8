//! One device, two nodes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_bus::Exchange;
use pollux_model::{Clock as _, DeviceAddress, ResourceName, Timestamp};
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::Cluster;
use crate::fixture::World;

/// Remembers what it was handed.
#[derive(Debug, Default)]
struct Link {
    got: Mutex<Vec<DeviceCommand>>,
    news: Notify,
    open: OpenMethods,
}

impl DeviceLink for Link {
    fn deliver(&self, command: DeviceCommand) {
        self.got.lock().push(command);
        self.news.notify_one();
    }

    /// Answers at once with what it is asked, unless it is asked to be silent or deaf.
    fn invoke(
        &self,
        call: MethodCall,
    ) -> std::result::Result<oneshot::Receiver<MethodAnswer>, MethodFailure> {
        let (id, waits) = self.open.ask()?;
        match call.name.as_str() {
            "deaf" => return Err(MethodFailure::NotOnline),
            "silent" => {}
            _ => self.open.answer(id, MethodAnswer { status: 200, payload: call.payload }),
        }
        Ok(waits)
    }
}

impl Link {
    async fn closed(&self) {
        let closed = async {
            while !self.got.lock().iter().any(|command| matches!(command, DeviceCommand::Close { .. })) {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it is closed");
    }

    fn versions(&self) -> Vec<u64> {
        let got = self.got.lock();
        let version = |command: &DeviceCommand| match command {
            DeviceCommand::Desired { version, .. } => Some(*version),
            DeviceCommand::MessageWaiting | DeviceCommand::Close { .. } => None,
        };
        got.iter().filter_map(version).collect()
    }
}

/// A node's connections over a world's store.
pub(in crate::hub) fn node(
    world: &World,
    name: &str,
    exchange: &Arc<Exchange>,
) -> (Connections, Arc<pollux_bus::exchange::ExchangeBus>) {
    let (known, bus) = (&world.services.context, exchange.join());
    let cluster = Cluster::shared(name.to_owned(), bus.clone(), Arc::clone(&known.store));
    let context = Context {
        store: Arc::clone(&known.store),
        log: Arc::clone(&known.log),
        clock: Arc::clone(&known.clock),
        random: Arc::clone(&known.random),
        cluster,
        table: crate::resources::ResourceTable::new(Vec::new()),
        limits: known.limits.clone(),
        https_ports: std::sync::OnceLock::new(),
        http: known.http.clone(),
        trust: crate::SystemTrust::default(),
    };
    (Connections::new(Arc::new(context)), bus)
}

fn who(device: &str) -> Entering {
    let (hub, device) = (ResourceName::parse("hub1").unwrap(), DeviceAddress::parse(device).unwrap());
    Entering::new(hub, device, "1".to_owned())
}

fn desired(version: u64) -> DeviceCommand {
    DeviceCommand::Desired { patch: json!({ "v": version }), version }
}

async fn connect(node: &Connections, device: &str, now: Timestamp) -> (Connection, Arc<Link>) {
    let link = Arc::new(Link::default());
    let connection = node.enter(who(device), link.clone(), now).await.unwrap();
    connection.knows(1);
    (connection, link)
}

#[tokio::test]
async fn the_newest_connection_wins_on_whatever_node() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let now = world.clock.now();
    let ((a, _), (b, _)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
    let (first, link) = connect(&a, "d*.a", now).await;
    let (second, newest) = connect(&b, "d*.a", now).await;
    link.closed().await;
    assert!(first.superseded() && !second.superseded() && newest.got.lock().is_empty());
    drop(first);
    let Entering { hub, device, .. } = who("d*.a");
    assert_eq!(a.since(&hub, &device).await, Some(now), "asked of the other node");
    drop(second);
    assert_eq!(a.since(&hub, &device).await, None);
    assert!(!a.deliver(&hub, &device, desired(2)).await);
}

/// A device on one node, a module of it on another: what concerns one does not concern the other.
#[tokio::test]
async fn a_module_is_not_its_device() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let now = world.clock.now();
    let ((a, _), (b, _)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
    let (device, of_device) = connect(&a, "d", now).await;
    let (module, of_module) = connect(&b, "d/m", now).await;
    assert!(!device.superseded() && !module.superseded());
    let Entering { hub, device: id, .. } = who("d/m");
    assert!(a.deliver(&hub, &id, desired(2)).await);
    assert_eq!((of_device.versions(), of_module.versions()), (vec![], vec![2]));
    assert_eq!((a.count(&hub).await, a.since(&hub, &id).await), (1, Some(now)), "a module is no device");
    let (newer, _link) = connect(&a, "d/m", now).await;
    of_module.closed().await;
    assert!(!device.superseded() && !newer.superseded());
    drop(device);
    assert_eq!(b.since(&hub, &id).await, Some(now));
    // Whoever looks after a device looks after its modules.
    let both = BTreeSet::from([(hub.clone(), who("d").device)]);
    assert_eq!(a.covered(&both).len(), 1);
    assert!(b.covered(&both).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_enter_at_the_same_moment_one_stays() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let now = world.clock.now();
    let ((a, _), (b, _)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
    for round in 0..50 {
        let id = format!("d{round}");
        let ((first, one), (second, two)) = tokio::join!(connect(&a, &id, now), connect(&b, &id, now));
        let decided = async {
            while first.superseded() == second.superseded() {
                assert!(!(first.superseded() && second.superseded()), "somebody stays");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), decided).await.expect("one yields");
        let loser = if first.superseded() { one } else { two };
        loser.closed().await;
    }
}

#[tokio::test]
async fn changes_from_several_nodes_are_told_in_order_and_once() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let ((a, _), (b, _)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
    let (_connection, link) = connect(&a, "d", world.clock.now()).await;
    let Entering { hub, device, .. } = who("d");
    for version in [3, 1, 2, 2, 5, 4] {
        let by = if version % 2 == 0 { &b } else { &a };
        assert!(by.deliver(&hub, &device, desired(version)).await);
    }
    assert_eq!(link.versions(), [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_change_that_never_comes_ends_the_connection() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let (a, _) = node(&world, "a", &exchange);
    let (_connection, link) = connect(&a, "d", world.clock.now()).await;
    let Entering { hub, device, .. } = who("d");
    a.deliver(&hub, &device, desired(3)).await;
    link.closed().await;
    assert_eq!(link.versions(), Vec::<u64>::new(), "what follows a gap is not told");
}

#[tokio::test]
async fn a_node_that_cannot_reach_the_others_lets_nobody_in() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let (a, bus) = node(&world, "a", &exchange);
    bus.cut(true);
    let refused = a.enter(who("d"), Arc::new(Link::default()), world.clock.now()).await.unwrap_err();
    assert_eq!(refused.code, pollux_model::ErrorCode::Unavailable);
    bus.cut(false);
    assert_eq!(a.since(&who("d").hub, &who("d").device).await, None, "nothing of it is left");
}

#[tokio::test]
async fn many_are_asked_for_at_once() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let now = world.clock.now();
    let ((a, _), (b, _)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
    let question = |devices| elsewhere::Question { hub: who("d").hub, devices };
    let _one = connect(&a, "d1", now).await;
    let _two = connect(&b, "d2", now).await;
    let ids = || ["d1", "d2", "d3"].map(|id| DeviceAddress::parse(id).unwrap()).to_vec();
    let answer = b.answer("b", &question(Some(ids())));
    assert_eq!(answer.since.into_keys().collect::<Vec<_>>(), [DeviceAddress::parse("d2").unwrap()]);
    assert_eq!(b.answer("b", &question(None)).count, 1);
}

/// Two nodes that run and know of each other.
struct Pair {
    nodes: [Arc<Connections>; 2],
    stop: tokio_util::sync::CancellationToken,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Pair {
    async fn start(world: &World) -> Self {
        let exchange = Exchange::new();
        let nodes = ["a", "b"].map(|name| Arc::new(node(world, name, &exchange).0));
        let stop = tokio_util::sync::CancellationToken::new();
        let tasks = nodes.clone().map(|node| {
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::join!(node.context.cluster.clone().run(stop.clone()), node.run(stop.clone()));
            })
        });
        for node in &nodes {
            node.context.cluster.members().wait_for(|members| members.len() == 2).await.unwrap();
        }
        Self { nodes, stop, tasks }
    }

    async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn nodes_tell_each_other_the_messages_of_the_day() {
    let world = World::new().await;
    let pair = Pair::start(&world).await;
    let (hub, now) = (who("d").hub, world.clock.now());
    pair.nodes[1].today.count(&hub, now, 7, 100).unwrap();
    assert_eq!(pair.nodes[0].messages_elsewhere(&hub).await, 7);
    assert_eq!(pair.nodes[1].messages_elsewhere(&hub).await, 0);
    assert_eq!(
        (pair.nodes[0].context.cluster.live_nodes(), world.services.context.cluster.live_nodes()),
        (2, 1)
    );
    pair.end().await;
}

/// A change whose commit has no answer may be there: nobody tells of it, so whoever has the device looks.
#[tokio::test]
async fn what_an_uncertain_change_leaves_unsaid_is_looked_after() {
    let world = World::new().await;
    let pair = Pair::start(&world).await;
    // There are no such devices in the store: whoever looks after their connections ends them.
    let (_here, here) = connect(&pair.nodes[0], "d1", world.clock.now()).await;
    let (_there, there) = connect(&pair.nodes[1], "d2", world.clock.now()).await;
    let Entering { hub, .. } = who("d1");
    for device in ["d1", "d2"] {
        pair.nodes[0].look_later(&hub, &DeviceAddress::parse(device).unwrap());
    }
    here.closed().await;
    there.closed().await;
    pair.end().await;
}

/// What is said to a node that is lost unnoticed, or by one, is made up for: each way round.
#[tokio::test]
async fn a_command_that_was_lost_unnoticed_is_made_up_for() {
    for speaker_is_lost in [true, false] {
        let (world, exchange) = (World::new().await, Exchange::new());
        let ((a, at_a), (b, at_b)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
        let (a, b) = (Arc::new(a), Arc::new(b));
        let stop = tokio_util::sync::CancellationToken::new();
        let run = |node: &Arc<Connections>| {
            let (node, stop) = (Arc::clone(node), stop.clone());
            tokio::spawn(async move {
                tokio::join!(node.context.cluster.clone().run(stop.clone()), node.run(stop.clone()));
            })
        };
        let tasks = [run(&a), run(&b)];
        for node in [&a, &b] {
            let mut members = node.context.cluster.members();
            members.wait_for(|members| members.len() == 2).await.unwrap();
        }
        // There is no such device in the store: whoever looks after the connection ends it.
        let (_connection, link) = connect(&b, "d", world.clock.now()).await;
        let lost = if speaker_is_lost { at_a } else { at_b };
        lost.cut_silently(true);
        let Entering { hub, device, .. } = who("d");
        let close = DeviceCommand::Close { reason: "deleted".into() };
        assert!(!a.deliver(&hub, &device, close).await);
        lost.cut_silently(false);
        link.closed().await;
        stop.cancel();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_method_finds_the_device_on_whatever_node() {
    let (world, exchange) = (World::new().await, Exchange::new());
    let now = world.clock.now();
    let ((a, _), (b, _)) = (node(&world, "a", &exchange), node(&world, "b", &exchange));
    let (connection, link) = connect(&a, "d", now).await;
    let Entering { hub, device, .. } = who("d");
    let call = |name: &str| MethodCall { name: name.to_owned(), payload: json!({ "n": 1 }) };
    for asker in [&a, &b] {
        let ask = async |name: &str, millis: u64| {
            asker.invoke(&hub, &device, call(name), Duration::from_millis(millis)).await
        };
        assert_eq!(ask("echo", 20_000).await, Ok(MethodAnswer { status: 200, payload: json!({ "n": 1 }) }));
        assert_eq!(ask("deaf", 20_000).await, Err(MethodFailure::NotOnline));
        assert_eq!(ask("silent", 20).await, Err(MethodFailure::Late));
    }
    // The connection ends while somebody waits, or before.
    let asked = b.invoke(&hub, &device, call("silent"), Duration::from_secs(20));
    let (answer, ()) = tokio::join!(asked, async { link.open.end() });
    // It was asked, or it was not any more.
    assert!(matches!(answer, Err(MethodFailure::Gone | MethodFailure::NotOnline)), "{answer:?}");
    drop(connection);
    // Whoever listened for it is on its way out; asked now, it might not answer.
    assert_eq!(b.since(&hub, &device).await, None);
    assert_eq!(
        b.invoke(&hub, &device, call("echo"), Duration::from_secs(20)).await,
        Err(MethodFailure::NotOnline)
    );
}
