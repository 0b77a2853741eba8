//! Who may connect, and how a connection ends.

use pollux_model::device::Status;
use pollux_model::{Key, SystemRandom};
use pollux_services::hub::TwinInput;
use rmqtt_codec::v3::Packet;

use crate::world::{Credentials, World, address, connect, eventually, holds, will};

const NOT_AUTHORIZED: u8 = 5;
const BAD_USER_NAME: u8 = 4;
const IDENTIFIER: u8 = 2;

#[tokio::test]
async fn a_hub_refuses_whoever_does_not_prove_who_he_is() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let (id, own) = ("d1", "localhost/devices/d1");
    let token = |resource: &str, seconds| world.token(resource, &good.key, seconds);
    let user = |id: &str| format!("localhost/{id}/?api-version=2021-04-12");
    let other = Credentials { id: "d1".to_owned(), key: Key::generate(&SystemRandom) };
    let unknown = Credentials { id: "d2".to_owned(), key: good.key.clone() };
    for (what, connect, code) in [
        ("a wrong key", world.hub_connect(&other), NOT_AUTHORIZED),
        ("an unknown device", world.hub_connect(&unknown), NOT_AUTHORIZED),
        ("an expired token", connect(id, &user(id), &token(own, -1)), NOT_AUTHORIZED),
        ("another's token", connect(id, &user(id), &token("localhost/devices/d2", 60)), NOT_AUTHORIZED),
        ("another client id", connect("d2", &user(id), &token(own, 60)), IDENTIFIER),
        ("no client id", connect("", &user(id), &token(own, 60)), IDENTIFIER),
        ("a module", connect("d1/m1", &user("d1/m1"), &token(own, 60)), NOT_AUTHORIZED),
        (
            "a hub that is not here",
            connect(id, "else.where/d1/?api-version=2021-04-12", &token(own, 60)),
            NOT_AUTHORIZED,
        ),
        ("no path", connect(id, "localhost", &token(own, 60)), BAD_USER_NAME),
        (
            "a version that is none",
            connect(id, "localhost/d1/?api-version=new", &token(own, 60)),
            BAD_USER_NAME,
        ),
        ("a model that is none", connect(id, "localhost/d1/?model-id=x", &token(own, 60)), BAD_USER_NAME),
        ("no token", connect(id, &user(id), "SharedAccessSignature nonsense"), BAD_USER_NAME),
        ("an empty password", connect(id, &user(id), ""), NOT_AUTHORIZED),
    ] {
        let (mut device, serving) = world.dial();
        assert_eq!(device.connect(connect).await, code, "{what}");
        device.closed().await;
        serving.await.unwrap();
    }
    assert!(!world.is_connected("d1").await);
}

#[tokio::test]
async fn a_device_without_credentials_is_refused() {
    let world = World::new().await;
    let mut bare = connect("d1", "", "");
    (bare.username, bare.password) = (None, None);
    assert_eq!(world.dial().0.connect(bare).await, BAD_USER_NAME);
    let mut no_password = world.hub_connect(&world.device("d1").await);
    no_password.password = None;
    assert_eq!(world.dial().0.connect(no_password).await, NOT_AUTHORIZED);
}

#[tokio::test]
async fn a_disabled_device_is_cut_off_and_kept_out() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = world.connected(&good).await;
    assert!(world.is_connected("d1").await);
    world.set_status("d1", Status::Disabled).await;
    device.closed().await;
    eventually(|| async { !world.is_connected("d1").await }).await;
    assert_eq!(world.dial().0.connect(world.hub_connect(&good)).await, NOT_AUTHORIZED);
}

#[tokio::test]
async fn a_deleted_device_is_cut_off_without_a_will() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let (mut device, serving) = world.dial();
    let mut connect = world.hub_connect(&good);
    connect.last_will = Some(will("devices/d1/messages/events/", b"last"));
    assert_eq!(device.connect(connect).await, 0);
    let hub = world.resource(pollux_model::resource::ResourceKind::Hub);
    world.services.hub.delete_device(&pollux_services::Caller::admin(), &hub, "d1", None).await.unwrap();
    device.closed().await;
    serving.await.unwrap();
    assert!(world.events().await.is_empty());
}

#[tokio::test]
async fn the_newest_connection_wins() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut first = world.connected(&good).await;
    let mut second = world.connected(&good).await;
    first.closed().await;
    second.acknowledged("devices/d1/messages/events/", "still here").await;
    assert!(world.is_connected("d1").await);
    drop(second);
    eventually(|| async { !world.is_connected("d1").await }).await;
}

#[tokio::test]
async fn the_connection_ends_with_its_token() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let token = world.token("localhost/devices/d1", &good.key, 1);
    let (mut device, serving) = world.dial();
    assert_eq!(device.connect(connect("d1", "localhost/d1/?api-version=2021-04-12", &token)).await, 0);
    device.closed().await;
    serving.await.unwrap();
}

#[tokio::test]
async fn a_silent_device_is_closed_after_one_and_a_half_keep_alives() {
    let world = World::new().await;
    let (mut device, serving) = world.dial();
    let mut connect = world.hub_connect(&world.device("d1").await);
    connect.keep_alive = 1;
    assert_eq!(device.connect(connect).await, 0);
    device.send([Packet::PingRequest]).await;
    assert!(matches!(device.recv().await, Some(Packet::PingResponse)));
    assert!(device.recv().await.is_none());
    serving.await.unwrap();
    assert!(!world.is_connected("d1").await);
}

#[tokio::test]
async fn the_will_of_a_device_that_vanishes_becomes_telemetry() {
    let world = World::new().await;
    let good = world.device("d1").await;
    for goodbye in [true, false] {
        let (mut device, serving) = world.dial();
        let mut connect = world.hub_connect(&good);
        connect.last_will = Some(will("devices/d1/messages/events/why=power", b"last words"));
        assert_eq!(device.connect(connect).await, 0);
        if goodbye {
            device.send([Packet::Disconnect]).await;
        }
        drop(device);
        serving.await.unwrap();
        assert_eq!(world.events().await.len(), usize::from(!goodbye));
    }
    let events = world.events().await;
    for part in ["last words", "iothub-MessageType", "Will", "why", "power"] {
        assert!(holds(&events[0], part), "{part}");
    }
}

#[tokio::test]
async fn shutdown_closes_after_what_was_sent_is_acknowledged() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let (mut device, serving) = world.dial();
    assert_eq!(device.connect(world.hub_connect(&good)).await, 0);
    device.acknowledged("devices/d1/messages/events/", "1").await;
    world.shutdown.cancel();
    device.closed().await;
    serving.await.unwrap();
    assert!(!world.is_connected("d1").await);
}

#[tokio::test]
async fn a_device_that_does_not_read_is_given_up() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = world.connected(&good).await;
    assert!(device.subscribe("$iothub/twin/PATCH/properties/desired/#").await);
    let hub = world.resource(pollux_model::resource::ResourceKind::Hub);
    let filler = "x".repeat(4000);
    // More than pipe and queue take: the connection closes rather than keep it all.
    for round in 0..600 {
        let desired = serde_json::json!({"round": round, "a": filler, "b": filler});
        let input = TwinInput { desired: desired.as_object().cloned(), ..TwinInput::default() };
        let caller = pollux_services::Caller::admin();
        world.services.hub.patch_twin(&caller, &hub, &address("d1"), input, None).await.unwrap();
        if !world.is_connected("d1").await {
            return;
        }
    }
    panic!("the connection keeps everything");
}
