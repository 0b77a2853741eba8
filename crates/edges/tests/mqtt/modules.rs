//! Modules of devices: who they are, their topics, and that they are not their device.

use pollux_model::Key;
use pollux_model::device::{Authentication, Status};
use pollux_model::resource::ResourceKind;
use pollux_services::Caller;
use pollux_services::hub::{MethodInput, ModuleInput, TwinInput};
use rmqtt_codec::v3::Connect;
use serde_json::json;

use crate::device::Device;
use crate::world::{World, address, connect, holds};

const EVENTS: &str = "devices/d1/modules/m1/messages/events/";

impl World {
    /// A module; its first key.
    async fn module(&self, device: &str, id: &str) -> Key {
        let input =
            ModuleInput { device: device.into(), id: id.into(), authentication: None, managed_by: None };
        let hub = self.resource(ResourceKind::Hub);
        let made = self.services.hub.create_module(&Caller::admin(), &hub, input).await.unwrap();
        let Authentication::Sas { keys } = made.identity.authentication else { panic!("no keys") };
        keys.primary
    }

    fn module_connect(&self, device: &str, id: &str, key: &Key) -> Connect {
        let username = format!("localhost/{device}/{id}/?api-version=2021-04-12&DeviceClientType=test%2F1");
        let token = self.token(&format!("localhost/devices/{device}/modules/{id}"), key, 3600);
        connect(&format!("{device}/{id}"), &username, &token)
    }

    async fn connected_module(&self, device: &str, id: &str, key: &Key) -> Device {
        let (mut pipe, _) = self.dial();
        assert_eq!(pipe.connect(self.module_connect(device, id, key)).await, 0);
        pipe
    }
}

#[tokio::test]
async fn a_module_sends_by_its_own_topic() {
    let world = World::new().await;
    world.device("d1").await;
    let key = world.module("d1", "m1").await;
    let mut module = world.connected_module("d1", "m1", &key).await;
    module.acknowledged(&format!("{EVENTS}%24.on=alerts&a=b/"), "hot").await;
    module.acknowledged("devices/%641/modules/%6d1/messages/events", "2").await;
    let events = world.events().await;
    assert_eq!(events.len(), 2);
    assert!(!holds(&events[0], "b/"), "the slash behind a bag is none of it");
    for part in ["iothub-connection-module-id", "m1", "iothub-outputname", "alerts", "hot"] {
        assert!(holds(&events[0], part), "{part}");
    }
}

#[tokio::test]
async fn the_topics_of_another_are_not_a_modules() {
    let world = World::new().await;
    let device = world.device("d1").await;
    let key = world.module("d1", "m1").await;
    world.module("d1", "m2").await;
    for topic in [
        "devices/d1/messages/events/",
        "devices/d1/modules/m2/messages/events/",
        "devices/d2/modules/m1/messages/events/",
        "devices/d1/modules/m1/messages/eventsx",
        "devices/d1/m1/messages/events/",
    ] {
        let mut module = world.connected_module("d1", "m1", &key).await;
        module.forget(topic, "x").await;
        module.closed().await;
    }
    let mut of_device = world.connected(&device).await;
    of_device.forget(EVENTS, "x").await;
    of_device.closed().await;
    assert!(world.events().await.is_empty());
    let mut module = world.connected_module("d1", "m1", &key).await;
    assert!(module.subscribe("devices/d1/modules/m1/inputs/#").await);
    for filter in [
        "devices/d1/modules/m2/inputs/#",
        "devices/d1/messages/devicebound/#",
        "devices/d1/modules/m1/#",
        "devices/d1/inputs/#",
    ] {
        assert!(!module.subscribe(filter).await, "{filter}");
    }
}

#[tokio::test]
async fn who_is_no_module_is_not_let_in() {
    let world = World::new().await;
    let device = world.device("d1").await;
    let key = world.module("d1", "m1").await;
    let own = |key: &Key| world.token("localhost/devices/d1/modules/m1", key, 60);
    let user = "localhost/d1/m1/?api-version=2021-04-12";
    for (client, user, password, expected) in [
        ("d1/m1", user, own(&key), 0),
        ("d1/m1", user, own(&device.key), 5),
        ("d1/m1", user, world.token("localhost/devices/d1", &device.key, 60), 5),
        ("d1/m2", "localhost/d1/m2/?api-version=2021-04-12", own(&key), 5),
        ("d1", user, own(&key), 2),
        ("d1/m2", user, own(&key), 2),
        ("d1/m1", "localhost/d1/?api-version=2021-04-12", own(&key), 2),
        ("d1/m1/x", "localhost/d1/m1/x/?api-version=2021-04-12", own(&key), 4),
        ("d1/m 1", "localhost/d1/m 1/?api-version=2021-04-12", own(&key), 4),
        ("d1/m1", user, String::new(), 5),
    ] {
        let (mut pipe, _) = world.dial();
        assert_eq!(pipe.connect(connect(client, user, &password)).await, expected, "{client} {user}");
    }
}

#[tokio::test]
async fn a_module_and_its_device_are_connected_side_by_side() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let key = world.module("d1", "m1").await;
    let mut device = world.connected(&good).await;
    let mut module = world.connected_module("d1", "m1", &key).await;
    device.acknowledged("devices/d1/messages/events/", "of the device").await;
    module.acknowledged(EVENTS, "of the module").await;
    // A newer connection of the module takes the module's place alone.
    let mut newer = world.connected_module("d1", "m1", &key).await;
    module.closed().await;
    newer.acknowledged(EVENTS, "newer").await;
    device.acknowledged("devices/d1/messages/events/", "still there").await;
    // The device disabled, both are cut off.
    world.set_status("d1", Status::Disabled).await;
    newer.closed().await;
    device.closed().await;
    let (mut pipe, _) = world.dial();
    assert_eq!(pipe.connect(world.module_connect("d1", "m1", &key)).await, 5);
}

#[tokio::test]
async fn a_modules_twin_and_methods_are_its_own() {
    let world = World::new().await;
    world.device("d1").await;
    let key = world.module("d1", "m1").await;
    let mut module = world.connected_module("d1", "m1", &key).await;
    assert!(module.subscribe("$iothub/twin/res/#").await);
    assert!(module.subscribe("$iothub/twin/PATCH/properties/desired/#").await);
    let (topic, _) =
        module.ask("$iothub/twin/PATCH/properties/reported/?$rid=1", json!({ "fw": 1 }).to_string()).await;
    assert_eq!(topic, "$iothub/twin/res/204/?$rid=1&$version=2");
    let (_, twin) = module.ask("$iothub/twin/GET/?$rid=2", " ".to_owned()).await;
    assert_eq!(twin, json!({ "desired": { "$version": 1 }, "reported": { "fw": 1, "$version": 2 } }));
    let (hub, admin) = (world.resource(ResourceKind::Hub), Caller::admin());
    for whose in ["d1", "d1/m1"] {
        let desired = json!({ "whose": whose }).as_object().cloned();
        let input = TwinInput { desired, ..TwinInput::default() };
        world.services.hub.patch_twin(&admin, &hub, &address(whose), input, None).await.unwrap();
    }
    let (topic, payload) = module.message().await;
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    let told: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(told["whose"], "d1/m1", "what is for its device is not for it");

    assert!(module.subscribe("$iothub/methods/POST/#").await);
    let invoke = async |whose: &str| {
        let input = MethodInput {
            name: "reboot".to_owned(),
            payload: None,
            response_timeout: Some(30),
            connect_timeout: None,
        };
        world.services.hub.invoke_method(&admin, &hub, &address(whose), input).await
    };
    assert!(invoke("d1").await.is_err(), "its device is not connected");
    let answering = async {
        let (topic, _) = module.message().await;
        let id = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").unwrap().to_owned();
        module.acknowledged(&format!("$iothub/methods/res/200/?$rid={id}"), "{}").await;
    };
    let (answer, ()) = tokio::join!(invoke("d1/m1"), answering);
    assert_eq!(answer.unwrap().status, 200);
    world.services.hub.delete_module(&admin, &hub, ("d1", "m1"), None).await.unwrap();
    module.closed().await;
}
