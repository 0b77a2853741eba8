//! Registering: the whole way, and the ways that lead nowhere.

use pollux_model::device::Status;
use pollux_model::{Key, SystemRandom, sas};
use serde_json::{Value, json};

use crate::device::Device;
use crate::world::{World, connect};

const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?$rid=";
const POLL: &str = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=";
const ANSWERS: &str = "$dps/registrations/res/#";

fn device_key(group: &Key, id: &str) -> Key {
    Key::from_bytes(&sas::derive_key(&group.bytes(), id))
}

async fn registering(world: &World, id: &str) -> Device {
    let key = device_key(&world.group(Status::Enabled).await, id);
    let (mut device, _) = world.dial();
    assert_eq!(device.connect(world.dps_connect(id, &key)).await, 0);
    assert!(device.subscribe(ANSWERS).await);
    device
}

async fn finished(device: &mut Device, operation: &str) -> Value {
    for round in 0.. {
        let (topic, body) = device.ask(&format!("{POLL}{round}&operationId={operation}"), " ").await;
        if topic == format!("$dps/registrations/res/200/?$rid={round}") {
            return body;
        }
        assert_eq!(topic, format!("$dps/registrations/res/202/?$rid={round}&retry-after=1"));
        assert_eq!(body["status"], "assigning");
        tokio::task::yield_now().await;
    }
    unreachable!()
}

#[tokio::test]
async fn a_device_registers_and_connects_to_its_hub() {
    let world = World::new().await;
    let group = world.group(Status::Enabled).await;
    let key = device_key(&group, "Dev-1");
    let (mut device, _) = world.dial();
    assert_eq!(device.connect(world.dps_connect("Dev-1", &key)).await, 0);
    assert!(device.subscribe(ANSWERS).await);
    let body = json!({"registrationId": "Dev-1", "payload": {"modelId": "dtmi:a;1"}}).to_string();
    let (topic, begun) = device.ask(&format!("{REGISTER}r%2B1"), body).await;
    assert_eq!(topic, "$dps/registrations/res/202/?$rid=r%2B1&retry-after=1");
    assert_eq!(begun["status"], "assigning");
    let done = finished(&mut device, begun["operationId"].as_str().unwrap()).await;
    let state = &done["registrationState"];
    assert_eq!((&done["status"], &state["deviceId"]), (&json!("assigned"), &json!("Dev-1")));
    assert_eq!(state["substatus"], "initialAssignment");
    let hub = state["assignedHub"].as_str().unwrap();
    let token = world.token(&format!("{hub}/devices/Dev-1"), &key, 60);
    let (mut at_hub, _) = world.dial();
    let user = format!("{hub}/Dev-1/?api-version=2021-04-12");
    assert_eq!(at_hub.connect(connect("Dev-1", &user, &token)).await, 0);
}

#[tokio::test]
async fn bad_requests_are_answered_on_the_same_connection() {
    let world = World::new().await;
    let mut device = registering(&world, "d1").await;
    for body in [
        "{",
        "[]",
        "null",
        "\u{fffd}",
        r#"{"registrationId":"d2"}"#,
        r#"{"registrationId":7}"#,
        r#"{"tpm":{}}"#,
    ] {
        let (topic, error) = device.ask(&format!("{REGISTER}1"), body.to_owned()).await;
        assert_eq!(topic, "$dps/registrations/res/400/?$rid=1", "{body}");
        assert_eq!(error["errorCode"], 400_004);
        for field in ["trackingId", "message", "timestampUtc"] {
            assert!(error[field].is_string(), "{error}");
        }
    }
    let large = json!({"payload": "x".repeat(20_000)}).to_string();
    assert_eq!(device.ask(&format!("{REGISTER}2"), large).await.0, "$dps/registrations/res/413/?$rid=2");
    for operation in ["", "nonsense", "%25"] {
        let (topic, error) = device.ask(&format!("{POLL}3&operationId={operation}"), "").await;
        assert_eq!(topic, "$dps/registrations/res/404/?$rid=3");
        assert_eq!(error["errorCode"], 404_203);
    }
    for (body, id) in [("", "4"), (r#"{"RegistrationId":"D1","payload":null}"#, "5")] {
        let (topic, begun) = device.ask(&format!("{REGISTER}{id}&forceRegistration=true"), body).await;
        assert_eq!(topic, format!("$dps/registrations/res/202/?$rid={id}&retry-after=1"));
        finished(&mut device, begun["operationId"].as_str().unwrap()).await;
    }
}

#[tokio::test]
async fn other_topics_close_the_connection() {
    let world = World::new().await;
    let key = device_key(&world.group(Status::Enabled).await, "d1");
    for topic in [
        "devices/d1/messages/events/",
        "$iothub/twin/GET/?$rid=1",
        "$dps/registrations/PUT/iotdps-register/",
        "$dps/registrations/GET/iotdps-get-operationstatus/?operationId=1",
        "$dps/registrations/DELETE/x/?$rid=1",
    ] {
        let (mut device, serving) = world.dial();
        assert_eq!(device.connect(world.dps_connect("d1", &key)).await, 0);
        assert!(!device.subscribe("#").await);
        let (packet, _) = device.publish(topic, "{}");
        device.send([packet]).await;
        assert!(device.recv().await.is_none(), "{topic}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn strangers_are_refused() {
    let world = World::new().await;
    let group = world.group(Status::Enabled).await;
    let (key, scope) = (device_key(&group, "d1"), world.id_scope());
    let user = |scope: &str| format!("{scope}/registrations/d1/api-version=2019-03-31");
    let token = |scope: &str, seconds| world.token(&format!("{scope}/registrations/d1"), &key, seconds);
    for (what, connect, code) in [
        ("another's key", world.dps_connect("d2", &key), 5),
        ("a key of nobody", world.dps_connect("d1", &Key::generate(&SystemRandom)), 5),
        ("an expired token", connect("d1", &user(&scope), &token(&scope, -1)), 5),
        ("an unknown scope", connect("d1", &user("0ne00000000"), &token("0ne00000000", 60)), 5),
        ("another scope's token", connect("d1", &user(&scope), &token("0ne00000000", 60)), 5),
        ("another client id", connect("d2", &user(&scope), &token(&scope, 60)), 2),
        (
            "no registration id",
            connect("d/1", &format!("{scope}/registrations/d/1/api-version=2019-03-31"), "x"),
            4,
        ),
    ] {
        assert_eq!(world.dial().0.connect(connect).await, code, "{what}");
    }
}

#[tokio::test]
async fn a_disabled_group_lets_nobody_in() {
    let world = World::new().await;
    let key = device_key(&world.group(Status::Disabled).await, "d1");
    assert_eq!(world.dial().0.connect(world.dps_connect("d1", &key)).await, 5);
}
