//! What is told of connections, with a clock that stands still.

use pollux_amqp::Message;
use pollux_bus::Exchange;
use pollux_model::resource::Resource;
use pollux_model::{Clock as _, ResourceName};
use serde_json::Value;

use super::*;
use crate::caller::{Caller, DeviceProof, Identity};
use crate::fixture::World;
use crate::hub::connections::tests::node;
use crate::hub::{Connection, DeviceCommand, DeviceInput, DeviceLink, Entering};
use crate::resources::declared::DeclaredRoute;

#[derive(Debug)]
struct Deaf;

impl DeviceLink for Deaf {
    fn deliver(&self, _: DeviceCommand) {}
}

struct Telling {
    world: World,
    hub: Arc<Resource>,
    id: DeviceAddress,
}

impl Telling {
    async fn new() -> Self {
        let it = Self::of(World::new().await);
        let input = DeviceInput::new("d");
        it.service().create_device(&Caller::admin(), &it.hub, input).await.unwrap();
        it
    }

    fn of(world: World) -> Self {
        let hub = world.resource(ResourceKind::Hub, "hub1");
        Self { world, hub, id: DeviceAddress::parse("d").unwrap() }
    }

    fn service(&self) -> &Arc<Hub> {
        &self.world.services.hub
    }

    async fn route(&self) {
        let route = DeclaredRoute {
            name: "states".to_owned(),
            source: SOURCE,
            condition: None,
            endpoint: "events".to_owned(),
            enabled: None,
        };
        self.world.services.resources.put_route(&Caller::admin(), &self.hub.name, route).await.unwrap();
    }

    async fn connect(&self) -> Connection {
        let device = self.service().existing(&self.hub, &self.id.device).await.unwrap();
        let identity = Identity::Device {
            hub: self.hub.name.clone(),
            id: self.id.clone(),
            generation_id: device.identity.generation_id,
            by: DeviceProof::Key,
        };
        self.service()
            .connect_device(&Caller::own(identity), &self.hub, &self.id, Arc::new(Deaf))
            .await
            .unwrap()
    }

    /// Ends a connection, and has it noted.
    async fn leave(&self, connection: Connection) {
        drop(connection);
        for departure in self.service().connections.departed().await {
            self.service().left(&departure).await.unwrap();
        }
    }

    async fn pass(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
        self.service().expire_messages().await.unwrap();
    }

    /// What was told since the last look: operation and sequence number.
    async fn told(&self) -> Vec<(String, String)> {
        let store = &self.world.services.context.store;
        let mut rows = Vec::new();
        for shard in 0..store.outbox_shards() {
            rows.extend(store.outbox(shard, 100).await.unwrap());
        }
        rows.sort_by_key(|(number, _)| *number);
        store.outbox_done(&rows.iter().map(|(number, _)| *number).collect::<Vec<_>>()).await.unwrap();
        let of_state = rows.into_iter().filter_map(|(_, entry)| {
            let message = Message::decode(entry.payload.into()).unwrap();
            let text = |name: &str| {
                message.application_properties.get(name).and_then(|value| value.as_str().map(str::to_owned))
            };
            (text("iothub-message-schema")? == "deviceConnectionStateNotification").then(|| {
                assert_eq!(text("deviceId").as_deref(), Some("d"));
                let body: Value = serde_json::from_slice(&message.body.as_bytes().unwrap()).unwrap();
                (text("opType").unwrap(), body["sequenceNumber"].as_str().unwrap().to_owned())
            })
        });
        of_state.collect()
    }

    async fn operations(&self) -> Vec<String> {
        self.told().await.into_iter().map(|(operation, _)| operation).collect()
    }
}

#[tokio::test]
async fn a_device_that_is_away_for_long_is_told_of() {
    let it = Telling::new().await;
    it.route().await;
    let first = it.connect().await;
    let told = it.told().await;
    assert_eq!(told[0].0, "deviceConnected");
    assert_eq!((told.len(), told[0].1.len()), (1, 64));
    it.leave(first).await;
    it.pass(59).await;
    assert!(it.operations().await.is_empty());
    it.pass(1).await;
    let gone = it.told().await;
    assert_eq!((gone.len(), gone[0].0.as_str()), (1, "deviceDisconnected"));
    assert!(gone[0].1 > told[0].1, "it grows");
    // A clock that is behind changes nothing about that.
    let notice = it.service().notice(&it.hub.name, &it.id).await.unwrap().unwrap().1;
    let _again = it.connect().await;
    let again = it.told().await;
    assert_eq!(again[0].0, "deviceConnected");
    assert!(again[0].1 > gone[0].1 && notice.sequence.next(Timestamp::from_secs(0)).text() > gone[0].1);
}

#[tokio::test]
async fn a_connection_that_takes_the_place_of_another_is_not_told_of() {
    let it = Telling::new().await;
    it.route().await;
    let first = it.connect().await;
    assert_eq!(it.operations().await, ["deviceConnected"]);
    let second = it.connect().await;
    drop(first);
    it.pass(100).await;
    it.leave(second).await;
    it.pass(30).await;
    let third = it.connect().await;
    it.pass(100).await;
    assert!(it.operations().await.is_empty());
    it.leave(third).await;
    it.pass(60).await;
    assert_eq!(it.operations().await, ["deviceDisconnected"]);
    it.pass(24 * 3600).await;
    assert!(it.service().notice(&it.hub.name, &it.id).await.unwrap().is_none(), "it is forgotten in the end");
}

#[tokio::test]
async fn what_an_earlier_process_had_runs_out() {
    let it = Telling::new().await;
    it.route().await;
    let connection = it.connect().await;
    it.service().sweep().await.unwrap();
    it.pass(1000).await;
    assert_eq!(it.operations().await, ["deviceConnected"]);
    std::mem::forget(connection);
    let Telling { world, .. } = it;
    let world = world.restarted();
    world.services.load(&[]).await.unwrap();
    let it = Telling::of(world);
    it.service().sweep().await.unwrap();
    it.pass(59).await;
    assert!(it.operations().await.is_empty());
    it.pass(1).await;
    assert_eq!(it.operations().await, ["deviceDisconnected"]);
}

#[tokio::test]
async fn only_where_somebody_asks() {
    let it = Telling::new().await;
    let before = it.connect().await;
    assert!(it.service().notice(&it.hub.name, &it.id).await.unwrap().is_none());
    // One that was connected before is missed when it leaves.
    it.route().await;
    it.leave(before).await;
    it.pass(60).await;
    assert_eq!(it.operations().await, ["deviceDisconnected"]);
    let connection = it.connect().await;
    let hub: &ResourceName = &it.hub.name;
    it.world.services.resources.delete_route(&Caller::admin(), hub, "states").await.unwrap();
    it.service().sweep().await.unwrap();
    assert!(it.service().notice(hub, &it.id).await.unwrap().is_none(), "nobody asks any more");
    it.leave(connection).await;
    it.pass(60).await;
    assert_eq!(it.operations().await, ["deviceConnected"]);
}

/// A device that went on to another node has not left, whatever the node thinks that it was on before.
#[tokio::test]
async fn of_what_another_node_has_only_that_one_says_that_it_left() {
    let it = Telling::new().await;
    it.route().await;
    let connection = it.connect().await;
    assert_eq!(it.operations().await, ["deviceConnected"]);
    let (message, notice) = it.service().notice(&it.hub.name, &it.id).await.unwrap().unwrap();
    let taken = Notice { node: "another".to_owned(), ..notice };
    let batch = it.service().replacing(&it.hub.name, &it.id, Some(&message), &taken, STANDS).unwrap();
    it.world.services.context.store.commit(batch).await.unwrap();
    it.leave(connection).await;
    it.pass(3600).await;
    assert!(it.operations().await.is_empty());
    let (message, notice) = it.service().notice(&it.hub.name, &it.id).await.unwrap().unwrap();
    assert_eq!((notice, message.expires), (taken, STANDS));
}

/// A node that does not answer may have the device: it is said to be gone once that is known.
#[tokio::test]
async fn a_device_is_not_gone_because_a_node_does_not_answer() {
    let exchange = Exchange::new();
    let world = World::among(&exchange).await;
    let it = Telling::of(world);
    it.service().create_device(&Caller::admin(), &it.hub, DeviceInput::new("d")).await.unwrap();
    it.route().await;
    let here = it.connect().await;
    assert_eq!(it.operations().await, ["deviceConnected"]);
    it.leave(here).await;
    // It is on another node now, which has lost its connection to the others without a word.
    let (elsewhere, other) = node(&it.world, "b", &exchange);
    let who = Entering::new(it.hub.name.clone(), it.id.clone(), String::new());
    let there = elsewhere.enter(who, Arc::new(Deaf), it.world.clock.now()).await.unwrap();
    other.cut_silently(true);
    it.pass(60).await;
    assert!(it.service().context.cluster.hears() && it.operations().await.is_empty(), "who knows?");
    other.cut_silently(false);
    it.pass(60).await;
    assert!(it.operations().await.is_empty() && !there.superseded(), "it is there");
}
