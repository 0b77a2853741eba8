//! When devices were last heard of, with a clock that stands still.

use pollux_model::resource::ResourceKind;

use super::*;
use crate::caller::{Caller, DeviceProof, Identity};
use crate::fixture::World;
use crate::hub::telemetry::Telemetry;
use crate::hub::{Connection, DeviceCommand, DeviceInput, DeviceLink};

#[derive(Debug)]
struct Deaf;

impl DeviceLink for Deaf {
    fn deliver(&self, _: DeviceCommand) {}
}

struct Heard {
    world: World,
    hub: Arc<Resource>,
    id: DeviceAddress,
}

impl Heard {
    async fn new() -> Self {
        let world = World::new().await;
        let hub = world.resource(ResourceKind::Hub, "hub1");
        let it = Self { world, hub, id: DeviceAddress::parse("d").unwrap() };
        it.create().await;
        it
    }

    fn service(&self) -> &Arc<Hub> {
        &self.world.services.hub
    }

    fn now(&self) -> Timestamp {
        self.service().context.clock.now()
    }

    async fn create(&self) {
        self.service().create_device(&Caller::admin(), &self.hub, DeviceInput::new("d")).await.unwrap();
    }

    async fn device(&self) -> Device {
        self.service().existing(&self.hub, &self.id.device).await.unwrap()
    }

    async fn caller(&self) -> Caller {
        Caller::own(Identity::Device {
            hub: self.hub.name.clone(),
            id: self.id.clone(),
            generation_id: self.device().await.identity.generation_id,
            by: DeviceProof::Key,
        })
    }

    async fn connect(&self) -> Connection {
        let caller = self.caller().await;
        self.service().connect_device(&caller, &self.hub, &self.id, Arc::new(Deaf)).await.unwrap()
    }

    async fn send(&self) {
        let message = Telemetry { body: "1".into(), ..Telemetry::default() };
        let caller = self.caller().await;
        let taken = self.service().telemetry(&caller, &self.hub, &self.id, vec![message]).await;
        assert_eq!(taken.durable, 1);
    }

    /// A second later.
    fn pass(&self) -> Timestamp {
        self.world.clock.advance(Duration::from_secs(1));
        self.now()
    }

    /// Whether it is connected, and the two times.
    async fn shown(&self) -> (bool, Timestamp, Timestamp) {
        let presence = self.service().presence(&self.hub, &self.device().await).await.unwrap();
        (presence.connected, presence.activity.state_updated, presence.activity.last)
    }

    async fn stored(&self) -> Activity {
        let found =
            self.service().context.store.activities(&self.hub.name, std::slice::from_ref(&self.id)).await;
        found.unwrap().remove(&self.id).unwrap_or(Activity::NONE)
    }
}

const NEVER: Timestamp = Timestamp::NEVER;

#[tokio::test]
async fn it_is_known_when_a_device_came_spoke_and_left() {
    let it = Heard::new().await;
    assert_eq!(it.shown().await, (false, NEVER, NEVER));
    let came = it.pass();
    let connection = it.connect().await;
    assert_eq!(it.shown().await, (true, came, came));
    let spoke = it.pass();
    it.send().await;
    assert_eq!(it.shown().await, (true, came, spoke));
    let left = it.pass();
    drop(connection);
    assert_eq!(it.shown().await, (false, left, spoke));
    it.service().store_activity().await.unwrap();
    assert!(it.service().connections.noted.waiting.lock().is_empty());
    assert_eq!(it.shown().await, (false, left, spoke));
    assert_eq!(it.stored().await, Activity { state_updated: left, last: spoke });
}

#[tokio::test]
async fn a_device_that_never_connects_is_heard_of_all_the_same() {
    let it = Heard::new().await;
    let spoke = it.pass();
    it.send().await;
    assert_eq!(it.shown().await, (false, NEVER, spoke));
    it.service().store_activity().await.unwrap();
    assert_eq!(it.stored().await, Activity::message(spoke));
}

#[tokio::test]
async fn a_connection_that_stands_is_stored_when_there_is_news_of_it() {
    let it = Heard::new().await;
    let came = it.pass();
    let _connection = it.connect().await;
    it.service().store_activity().await.unwrap();
    assert_eq!(it.stored().await, Activity { state_updated: came, last: came });
    let connections = &it.service().connections;
    connections.note_live();
    assert!(connections.noted.waiting.lock().is_empty(), "there is no news");
    let spoke = it.pass();
    it.send().await;
    assert!(connections.noted.waiting.lock().is_empty(), "it is noted with all others");
    connections.note_live();
    it.service().store_activity().await.unwrap();
    assert_eq!(it.stored().await, Activity { state_updated: came, last: spoke });
}

#[tokio::test]
async fn a_node_that_ends_stores_that_its_devices_leave() {
    let it = Heard::new().await;
    let came = it.pass();
    let _connection = it.connect().await;
    let ends = it.pass();
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(it.service()).run_activity(stop).await;
    assert_eq!(it.stored().await, Activity { state_updated: ends, last: came });
}

#[tokio::test]
async fn a_device_that_is_made_anew_was_never_heard_of() {
    let it = Heard::new().await;
    it.pass();
    drop(it.connect().await);
    it.service().delete_device(&Caller::admin(), &it.hub, "d", None).await.unwrap();
    it.pass();
    it.create().await;
    assert_eq!(it.shown().await, (false, NEVER, NEVER), "what is noted is of the device before");
    it.service().store_activity().await.unwrap();
    assert_eq!(it.shown().await, (false, NEVER, NEVER));
}
